"""Keras models: .keras and .h5 files, and what factories return."""

from __future__ import annotations

import inspect
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import keras

from edgepack.errors import ModelError, UsageError
from edgepack.model import HandedOver, LoadRequest
from edgepack.spec import TensorSpec

from . import keras2
from .function import Function, Tensors, named_outputs


def load(request: LoadRequest) -> Function:
    """Read a .keras, .h5 or .hdf5 file. Raises ModelError."""
    path = request.path
    assert path is not None
    if not path.is_file():
        raise UsageError(f"{path} is not a file.", "Give a .keras or .h5 file, or a SavedModel folder.")
    _check_container(request)
    try:
        with TemporaryDirectory() as folder:
            file = path if path.suffix == ".keras" else keras2.readable(path, Path(folder))
            model = keras.saving.load_model(file, compile=False, safe_mode=not request.allow_code)
    except Exception as error:
        raise _explain(error, request) from error
    return function(model, request)


def _check_container(request: LoadRequest) -> None:
    """Tell a damaged file, and one with only weights, before Keras says something about it that nobody understands."""
    path = str(request.path)
    zipped = path.endswith(".keras")
    if zipped and not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path} is not a Keras file, or it is damaged.",
            "If it is an HDF5 file, name it .h5; otherwise save it again: model.save('model.keras').",
        )
    if not zipped:
        try:
            with h5py.File(path, "r") as file:
                config = file.attrs.get("model_config")
        except OSError as error:
            raise ModelError(
                f"{path} is not an HDF5 file, or it is damaged.", "Save it again: model.save(...)."
            ) from error
        if config is None:
            raise ModelError(
                f"{path} holds weights only, no model.",
                "Build the model in code and load them: a file.py:factory that calls model.load_weights.",
            )
        if not request.allow_code and "Lambda" in str(config) and '"class_name": "Lambda"' in _text(config):
            raise _lambda_error(request)


def _text(config: object) -> str:
    return config.decode() if isinstance(config, bytes) else str(config)


def _lambda_error(request: LoadRequest) -> ModelError:
    return ModelError(
        f"{request.path} has a Lambda layer: Python code inside the model file, which is not run.",
        "Build the model by a file.py:factory instead; or, if you trust the file, give --allow-code.",
    )


def _explain(error: Exception, request: LoadRequest) -> ModelError:
    text = str(error)
    if "Lambda" in text and not request.allow_code and ("safe" in text or "unsafe" in text):
        return _lambda_error(request)
    lines = text.rpartition("Exception encountered: ")[2].strip().splitlines()
    first = lines[0][:300] if lines else type(error).__name__
    if "OpLambda'" in text or "'TensorFlowOpLayer'" in text:
        return ModelError(
            f"{request.path} has TensorFlow operations as layers, a way of Keras 2 that Keras 3 does not read: {first}",
            "Save it as a SavedModel with the TensorFlow that wrote it, or build it by a file.py:factory.",
        )
    if "Could not locate class" in text or "Unknown layer" in text or "register_keras_serializable" in text:
        name = re.search(r"(?:Could not locate class|Unknown layer:) '(\w+)", text)
        return ModelError(
            f"{request.path} uses a class of its own that only its code knows: {name[1] if name else first}.",
            "Build the model by a file.py:factory that imports that class.",
        )
    return ModelError(
        f"{request.path} cannot be loaded by Keras {keras.__version__}: {first}",
        "Check that keras.saving.load_model reads it; if another version wrote it, save it again with this one.",
    )


def hand_over(model: keras.Model, folder: Path) -> HandedOver:
    """Write its weights, and where it can say all of itself, the whole model."""
    weights, source = folder / "original.weights.h5", folder / "original.keras"
    model.save_weights(weights)
    try:
        model.save(source)
    except (
        Exception
    ):  # a class of the user's own that has no config; the weights then go into what the factory makes
        return HandedOver(weights)
    return HandedOver(weights, source)


def function(model: keras.Model, request: LoadRequest) -> Function:
    """A built or buildable model as a function. Raises UsageError when its inputs cannot be told; ModelError."""
    made = _function(model, request)
    if request.weights is not None:
        if not model.built:
            made.call({spec.name: _zeros(spec, request) for spec in made.inputs})
        try:
            model.load_weights(request.weights)
        except ValueError as error:
            raise ModelError(
                f"The original's weights do not fit what the factory makes here: {str(error).splitlines()[0]}",
                "Register the model's classes by keras.saving.register_keras_serializable, so that all of it is handed over.",
            ) from error
    return made


def _zeros(spec: TensorSpec, request: LoadRequest) -> Any:
    given = request.shapes[spec.name][0] if spec.name in request.shapes else spec.shape
    return keras.ops.zeros([size or 1 for size in given], spec.dtype)


def _function(model: keras.Model, request: LoadRequest) -> Function:
    _compute_in_float32(model)
    if isinstance(model, keras.Sequential) and not model.built:
        (spec, *_) = _given_inputs(model, request)
        named = keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name=spec.name)
        model = keras.Sequential([named, *model.layers], name=model.name)
    if getattr(model, "inputs", None):
        return symbolic(model)
    return _subclassed(model, request)


def _compute_in_float32(model: keras.Model) -> None:
    """Undo mixed precision, which only speeds up training: its weights are float32 already, and no converter takes it."""
    for layer in model._flatten_layers():
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = keras.DTypePolicy("float32")


def symbolic(model: keras.Model) -> Function:
    """Functional and sequential models know their inputs, in whatever structure they were given."""
    names = {id(tensor): input_name(tensor) for tensor in model.inputs}
    inputs = tuple(
        TensorSpec(names[id(t)], tuple(t.shape), keras.backend.standardize_dtype(t.dtype))
        for t in model.inputs
    )
    structure = model.input if not isinstance(model, keras.Sequential) else model.inputs[0]
    outputs = _output_names(model)

    def call(tensors: Tensors) -> Tensors:
        arguments = keras.tree.map_structure(lambda tensor: tensors[names[id(tensor)]], structure)
        return named_outputs(model(arguments, training=False), outputs)

    return Function(inputs, call, model)


def _output_names(model: keras.Model) -> tuple[str, ...]:
    """The names of the layers that outputs come from; none where the model returns a dict, whose keys name them."""
    if isinstance(model, keras.Sequential):
        return (model.layers[-1].name,)
    return () if isinstance(model.output, dict) else tuple(model.output_names)


def input_name(tensor: Any) -> str:
    """The name that the user gave; Keras numbers unnamed tensors, the input layer's name is steadier."""
    if not tensor.name.startswith("keras_tensor"):
        return str(tensor.name)
    return str(tensor._keras_history.operation.name)


def _subclassed(model: keras.Model, request: LoadRequest) -> Function:
    """A subclassed model: names from ``call``'s parameters or the dict it takes; shapes from --shape or the samples."""
    specs = _given_inputs(model, request)
    parameters = _tensor_parameters(model.call)
    names = {spec.name for spec in specs}
    by_keyword = len(specs) > 1 and (len(parameters) > 1 or names <= _parameters(model.call).keys())
    if by_keyword and not set(parameters) <= names:
        specs = tuple(replace(spec, name=name) for name, spec in zip(parameters, specs, strict=False))
    elif len(specs) == 1 and specs[0].name in ("input", "input_0") and parameters:
        specs = (replace(specs[0], name=parameters[0]),)
    training = {"training": False} if "training" in _parameters(model.call) else {}

    def call(tensors: Tensors) -> Tensors:
        if by_keyword:
            return named_outputs(model(**tensors, **training))
        single = len(tensors) == 1 and not _takes_dict(model)
        return named_outputs(model(next(iter(tensors.values())) if single else dict(tensors), **training))

    return Function(specs, call, model)


def _given_inputs(model: keras.Model, request: LoadRequest) -> tuple[TensorSpec, ...]:
    built = _built_inputs(model)
    sampled = tuple(
        # a sample carries no batch axis, unless it is 1
        replace(
            spec,
            shape=spec.shape if spec.shape[:1] == (1,) else (1, *spec.shape),
            dtype=_network_dtype(spec.dtype),
        )
        for spec in request.sample_specs
    )
    if built and len(request.shapes) <= len(built):
        dtypes = {spec.name: spec.dtype for spec in sampled}
        only = sampled[0].dtype if len(sampled) == len(built) == 1 else "float32"
        return tuple(replace(spec, dtype=dtypes.get(spec.name, only)) for spec in built)
    if request.shapes:
        return tuple(
            TensorSpec(name, shape, dtype or "float32") for name, (shape, dtype) in request.shapes.items()
        )
    if sampled:
        return sampled
    raise UsageError(
        f"The model '{model.name}' does not know its inputs: it was never built, or Keras noted only the first.",
        "Give --shape NAME=1x224x224x3 for every input; if it has only one, calling it once in the factory will do.",
    )


def _built_inputs(model: keras.Model) -> tuple[TensorSpec, ...]:
    """What a subclassed model saw when it was first called, as Keras keeps it for export."""
    shapes = getattr(model, "_build_shapes_dict", None)
    if not model.built or not shapes:
        return ()
    specs: list[TensorSpec] = []
    for key, shape in shapes.items():
        name = key.removesuffix("_shape") if len(shapes) > 1 else "input"
        if isinstance(shape, dict):
            specs += [TensorSpec(str(inner), (None, *size[1:]), "float32") for inner, size in shape.items()]
        elif isinstance(shape, tuple) and all(size is None or isinstance(size, int) for size in shape):
            specs.append(TensorSpec(name, (None, *shape[1:]), "float32"))
        else:
            return ()  # lists of tensors: no names to tell them apart
    # where a model has no build method of its own, Keras keeps the shape of the first argument alone
    return tuple(specs) if len(specs) >= len(_tensor_parameters(model.call)) else ()


def _network_dtype(sample: str) -> str:
    """Integers may be ids: they stay integers; pixels (uint8) and float64 are what float networks are fed with."""
    return {"int64": "int32", "int32": "int32", "bool": "bool"}.get(sample, "float32")


def _parameters(call: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {
        name: parameter
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _tensor_parameters(call: Callable[..., Any]) -> list[str]:
    """The parameters that have to be given."""
    return [
        name
        for name, parameter in _parameters(call).items()
        if name != "training" and parameter.default is parameter.empty
    ]


def _takes_dict(model: keras.Model) -> bool:
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    return any(isinstance(shape, dict) for shape in shapes.values())
