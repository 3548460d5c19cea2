"""TensorFlow.js, run by browsers and, to prove a bundle, by Node."""
