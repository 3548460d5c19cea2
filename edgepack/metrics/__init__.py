"""Task metrics: how well the original and an artifact do what the model is for, on labelled samples."""
