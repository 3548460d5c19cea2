"""What Keras 2 wrote into .h5 files and Keras 3 does not read: arguments that say nothing, and where shapes stand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import keras

ANY = object()
"""The value of an argument that repeats what other arguments and the inputs say: it may be anything."""

_KERNEL = {"kernel_initializer": ANY, "kernel_regularizer": ANY, "kernel_constraint": ANY}

SURPLUS: dict[str, dict[str, object]] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D"), {"time_major": False}),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), {"groups": 1}),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), {"groups": 1}),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), {"groups": 1, **_KERNEL}),
    **dict.fromkeys(("RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast"), {"rng_type": ANY}),
    **dict.fromkeys(("RandomTranslation", "RandomCrop", "RandomBrightness"), {"rng_type": ANY}),
    "MultiHeadAttention": dict.fromkeys(
        ("query_shape", "key_shape", "value_shape", "softmax_robust_masking"), ANY
    ),
}
"""By layer: arguments that Keras 3 refuses, each with the only value that it may have to be left out."""

WRAPPED = {"layer", "backward_layer", "cell", "cells"}
"""Keys under which wrappers keep the layers that they hold."""


@keras.saving.register_keras_serializable("edgepack")  # type: ignore[untyped-decorator]  # keras has no types
def hard_sigmoid_2(x: Any) -> Any:
    """Keras 2's: ``clip(0.2 x + 0.5, 0, 1)``. Keras 3 has another function, ``relu6(x + 3) / 6``, under that name."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


HARD_SIGMOID = {
    "class_name": "function",
    "module": "builtins",
    "config": "hard_sigmoid_2",
    "registered_name": "edgepack>hard_sigmoid_2",
}


def readable(path: Path, folder: Path) -> Path:
    """The .h5 file itself, or where Keras 2 wrote it, a copy in ``folder`` with a config that Keras 3 reads."""
    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
        version = file.attrs.get("keras_version", "")
    mended = _mend(config)
    if str(version.decode() if isinstance(version, bytes) else version)[:2] in ("1.", "2."):
        mended = _with_old_activations(mended)
    if mended == config:
        return path
    copy = folder / path.name
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(mended)
    return copy


def _mend(value: Any) -> Any:
    """The same config, without surplus arguments, in whatever wrapper or nested model the layers are."""
    if isinstance(value, list):
        return [_mend(each) for each in value]
    if not isinstance(value, dict):
        return value
    mended = {key: _mend(each) for key, each in value.items()}
    for key in WRAPPED & set(mended):
        mended[key] = _with_module(mended[key])
    config, kind = mended.get("config"), mended.get("class_name")
    if isinstance(config, dict):
        surplus = SURPLUS.get(str(kind), {})
        mended["config"] = {
            name: each
            for name, each in config.items()
            if name not in surplus or surplus[name] is not ANY and surplus[name] != each
        }
        if kind == "Sequential" and config.get("layers"):
            mended["config"]["layers"] = _with_input(config["layers"])
    return mended


def _with_module(layer: Any) -> Any:
    """A wrapper's layer is looked up by its module, which Keras before 2.12 did not write."""
    if isinstance(layer, list):
        return [_with_module(each) for each in layer]
    is_own = isinstance(layer, dict) and hasattr(keras.layers, str(layer.get("class_name")))
    return {"module": "keras.layers", "registered_name": None, **layer} if is_own else layer


def _with_input(layers: list[Any]) -> list[Any]:
    """Keras 2 gave the input's shape to the first layer; Keras 3 takes its batch for one dimension more."""
    first = layers[0].get("config", {})
    shape = first.get("batch_input_shape")
    if shape is None or layers[0].get("class_name") == "InputLayer":
        return layers
    config = {"batch_shape": shape, "dtype": "float32", "name": f"{first.get('name')}_input"}
    return [{"class_name": "InputLayer", "config": config}, *layers]


def _with_old_activations(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_old_activations(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: HARD_SIGMOID
        if key in ("activation", "recurrent_activation") and each == "hard_sigmoid"
        else _with_old_activations(each)
        for key, each in value.items()
    }
