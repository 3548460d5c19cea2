"""What Keras 2 wrote into .h5 files and Keras 3 does not read: arguments that say nothing, and where shapes stand."""

from __future__ import annotations

from typing import Any

import keras

ANY = object()
"""An argument that repeats what other arguments and the inputs say: dropped, whatever it is."""

_KERNEL = {"kernel_initializer": ANY, "kernel_regularizer": ANY, "kernel_constraint": ANY}

SURPLUS: dict[str, dict[str, object]] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D"), {"time_major": False}),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), {"groups": 1}),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), {"groups": 1}),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), {"groups": 1, **_KERNEL}),
    **dict.fromkeys(("RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast"), {"rng_type": ANY}),
    **dict.fromkeys(("RandomTranslation", "RandomCrop", "RandomBrightness"), {"rng_type": ANY}),
    "MultiHeadAttention": {
        "query_shape": ANY,
        "key_shape": ANY,
        "value_shape": ANY,
        "softmax_robust_masking": ANY,
    },
}
"""By layer: arguments that Keras 3 refuses, each with the only value that it may have to be left out."""


def objects() -> dict[str, Any]:
    """Custom objects under which ``keras.saving.load_model`` reads an .h5 file of Keras 2.

    They have ``from_config`` only, and it makes Keras's own layers: wrappers such as Bidirectional copy what they hold.
    """
    tolerant = {name: _Tolerant(getattr(keras.layers, name), surplus) for name, surplus in SURPLUS.items()}
    return {**tolerant, "Sequential": _Sequential()}


class _Tolerant:
    def __init__(self, layer: type[Any], surplus: dict[str, object]) -> None:
        self._layer, self._surplus = layer, surplus
        self.__name__ = layer.__name__

    def from_config(self, config: dict[str, Any]) -> Any:
        missing = object()
        kept = {
            name: value
            for name, value in config.items()
            if (surplus := self._surplus.get(name, missing)) is not ANY and (surplus is missing or value != surplus)
        }
        return self._layer.from_config(kept)


class _Sequential:
    """Keras 2 gave the input's shape to the first layer; Keras 3 then takes its batch for one dimension more."""

    __name__ = "Sequential"

    def from_config(self, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        layers = config.get("layers") or [{}]
        first = layers[0].get("config", {})
        shape = first.get("batch_input_shape")
        if shape is not None and layers[0].get("class_name") != "InputLayer":
            entry = {"batch_shape": shape, "dtype": _dtype(layers[0]), "name": f"{first.get('name')}_input"}
            config = {**config, "layers": [{"class_name": "InputLayer", "config": entry}, *layers]}
        return keras.Sequential.from_config(config, custom_objects=custom_objects)


def _dtype(layer: dict[str, Any]) -> str:
    """Ids go into an Embedding; its own dtype is that of its vectors."""
    dtype = layer["config"].get("dtype")
    return dtype if isinstance(dtype, str) and layer["class_name"] != "Embedding" else "float32"
