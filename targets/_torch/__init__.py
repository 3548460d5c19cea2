"""PyTorch, shared by the targets that take its models: sources into programs."""
