"""Keras models, on whatever Keras computes with; and, on PyTorch, as models of the form ``torch``."""
