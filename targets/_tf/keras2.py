"""What Keras 2 wrote into .h5 files and Keras 3 does not read: arguments that say nothing, and where shapes stand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py

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


def readable(path: Path, folder: Path) -> Path:
    """The .h5 file itself, or where Keras 2 wrote it, a copy in ``folder`` with a config that Keras 3 reads."""
    with h5py.File(path, "r") as file:
        stored = file.attrs["model_config"]
        config = json.loads(stored)
    mended = _mend(config)
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


def _with_input(layers: list[Any]) -> list[Any]:
    """Keras 2 gave the input's shape to the first layer; Keras 3 takes its batch for one dimension more."""
    first = layers[0].get("config", {})
    shape = first.get("batch_input_shape")
    if shape is None or layers[0].get("class_name") == "InputLayer":
        return layers
    config = {"batch_shape": shape, "dtype": "float32", "name": f"{first.get('name')}_input"}
    return [{"class_name": "InputLayer", "config": config}, *layers]
