"""Which loader a source needs: Keras file, SavedModel folder, or an object that a factory made."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import keras
import tensorflow as tf

from edgepack.errors import ModelError
from edgepack.model import HandedOver, LoadRequest

from .._keras import source as keras_source
from . import module_source, saved_model_source
from .model import TFModel, build


def load(request: LoadRequest) -> TFModel:
    """The model in ``request.path``. Raises ModelError, UsageError."""
    assert request.path is not None
    loader: ModuleType = saved_model_source if request.path.is_dir() else keras_source
    return build(loader.load(request), request)


def adopt(made: object, request: LoadRequest) -> TFModel:
    """The model in what a factory returned. Raises ModelError, UsageError."""
    if isinstance(made, keras.Model):
        return build(keras_source.function(made, request), request)
    if isinstance(made, tf.Module) or hasattr(made, "get_concrete_function"):
        return build(module_source.function(made, request), request)
    raise ModelError(
        f"The factory returned a {type(made).__module__}.{type(made).__qualname__}.",
        "Return a keras.Model, or a tf.Module with a tf.function(input_signature=...).",
    )


def hand_over(made: object, folder: Path) -> HandedOver:
    """Of a Keras model, all that can be written; of other objects nothing."""
    return keras_source.hand_over(made, folder) if isinstance(made, keras.Model) else HandedOver()
