"""TensorFlow and Keras sources: loaded, wrapped, frozen. Shared by the targets that take the form ``tf``."""
