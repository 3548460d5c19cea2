"""A TensorFlow source as a Model: shapes resolved, boundary types narrowed, wrap realised, traced and frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from edgepack.errors import ModelError, UsageError
from edgepack.model import HandedOver, LoadRequest
from edgepack.spec import Affine, Array, Arrays, Signature, TensorSpec, format_shape
from edgepack.wrap import Where

from .._keras import source as keras_source
from .._keras.function import Function, Tensors
from . import wrap
from .frozen import Frozen
from .graph_student import GraphStudent
from .student import KerasStudent
from .trace import traced

BOUNDARY = {"int64": "int32", "uint32": "int32", "uint64": "int32", "int16": "int32", "float64": "float32"}
"""What a mobile runtime takes instead of the types that only servers like."""


class TFModel:
    """The wrapped original (see edgepack.model.Model), run by TensorFlow."""

    forms = frozenset({"tf"})

    def __init__(
        self,
        name: str,
        function: Function,
        concrete: Any,
        frozen: Frozen,
        scalings: Mapping[str, Affine],
        processing: tuple[tuple[str, str, Where], ...],
        notes: tuple[str, ...],
        rebuild: Callable[[Function | None], TFModel],
    ) -> None:
        self.name = name
        self.signature = frozen.signature
        self.scalings = scalings
        self.processing = processing
        self.notes = notes
        self._function = function  # its variables live as long as the model
        self._concrete = concrete
        self._frozen = frozen
        self._rebuild = rebuild

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        """The unfrozen original's outputs for one sample."""
        tensors = [tf.constant(inputs[spec.name], spec.dtype) for spec in self.signature.inputs]
        outputs = self._concrete(*tensors)
        return {spec.name: value.numpy() for spec, value in zip(self.signature.outputs, outputs, strict=True)}

    def form(self, name: str) -> Frozen:
        """The frozen function, for ``tf``."""
        return {"tf": self._frozen}[name]

    def student(self, taught_by: KerasStudent | None = None) -> KerasStudent:
        """To be made smaller. A Keras model is so itself, and this model must not be asked any more. Raises ModelError."""
        if isinstance(self._function.keep, keras.Model):
            return KerasStudent(self._function, self.signature, self._rebuild, taught_by)
        return GraphStudent(self)

    def hand_over(self, folder: Path) -> HandedOver:
        """Write what is needed to make it again, in another framework too, where that can be."""
        kept = self._function.keep
        return keras_source.hand_over(kept, folder) if isinstance(kept, keras.Model) else HandedOver()

    def with_frozen(self, frozen: Frozen) -> TFModel:
        """The same model, computed by another frozen function."""
        told = (self.scalings, self.processing, self.notes)
        return TFModel(self.name, self._function, frozen.concrete, frozen, *told, self._rebuild)


def build(function: Function, request: LoadRequest) -> TFModel:
    """Make the model of a source. Raises ModelError, UsageError."""
    inputs = tuple(_resolve(spec, request) for spec in function.inputs)
    _check_shape_names(inputs, request)
    notes = [
        f"The input '{was.name}' is {was.dtype} in the original and {now.dtype} here."
        for was, now in zip(function.inputs, inputs, strict=True)
        if was.dtype != now.dtype
    ]
    bare = replace(function, inputs=inputs, call=_narrowed(function))
    concrete, frozen = traced(bare)
    graph = wrap.inspect(frozen.concrete, frozen.signature)
    wrapped = wrap.realise(bare, frozen, graph, request.wrap)
    notes += wrapped.notes
    if wrapped.function is not bare:
        concrete, frozen = traced(wrapped.function)
        graph = wrap.inspect(frozen.concrete, frozen.signature)
    frozen = replace(
        frozen,
        signature=_with_ranges(frozen.signature, request),
        retrace=_retrace(wrapped.function, function.inputs, request),
    )
    return TFModel(
        request.name,
        wrapped.function,
        concrete,
        frozen,
        graph.scalings,
        wrapped.processing,
        tuple(notes),
        rebuild=lambda other: build(other or function, request),
    )


def _retrace(
    function: Function, declared: tuple[TensorSpec, ...], request: LoadRequest
) -> Callable[[], Frozen] | None:
    """Tracing with the batch as the source declares it, where that is unknown and no --shape was given."""
    is_open = [spec.shape[:1] == (None,) and spec.name not in request.shapes for spec in declared]
    if not any(is_open):
        return None
    inputs = tuple(
        replace(spec, shape=(None, *spec.shape[1:])) if opened else spec
        for spec, opened in zip(function.inputs, is_open, strict=True)
    )

    def retrace() -> Frozen:
        _, frozen = traced(replace(function, inputs=inputs))
        return replace(frozen, signature=_with_ranges(frozen.signature, request))

    return retrace


def _with_ranges(signature: Signature, request: LoadRequest) -> Signature:
    def ranged(spec: TensorSpec) -> TensorSpec:
        declared = request.wrap.input(spec.name)
        return replace(spec, range=(0.0, 255.0)) if declared and declared.kind == "image" else spec

    return replace(signature, inputs=tuple(map(ranged, signature.inputs)))


def _resolve(spec: TensorSpec, request: LoadRequest) -> TensorSpec:
    """An input with every dimension known: an unknown batch is 1, others come from --shape."""
    if spec.dtype == "string":
        raise ModelError(
            f"The input '{spec.name}' takes strings, which no edge runtime does.",
            "Move the text processing into the app, and give a model (or --signature) that takes ids.",
        )
    if spec.dtype in ("resource", "variant", "complex64", "complex128"):
        raise ModelError(f"The input '{spec.name}' is {spec.dtype}.", "Give a model that takes numbers.")
    shape = spec.shape
    if spec.name in request.shapes:
        shape = _given(spec, request.shapes[spec.name][0])
    elif shape[:1] == (None,):
        shape = (1, *shape[1:])
    if None in shape:
        like = "x".join("224" if size is None else str(size) for size in shape)
        sample = next(
            (s.shape for s in request.sample_specs if s.name == spec.name or len(request.sample_specs) == 1),
            None,
        )
        if sample is not None and len(sample) in (len(shape), len(shape) - 1):
            like = format_shape(sample if len(sample) == len(shape) else (1, *sample))
        raise UsageError(
            f"The input '{spec.name}' has unknown dimensions: {format_shape(shape)}.",
            f"Give its shape, for example --shape {spec.name}={like}.",
        )
    return TensorSpec(spec.name, shape, BOUNDARY.get(spec.dtype, spec.dtype))


def _given(spec: TensorSpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    fits = len(shape) == len(spec.shape) and all(
        known is None or known == size for known, size in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise UsageError(
            f"--shape {spec.name}={format_shape(shape)} does not fit the model, which has {format_shape(spec.shape)}.",
            "Only unknown dimensions (?) can be chosen.",
        )
    return shape


def _check_shape_names(inputs: tuple[TensorSpec, ...], request: LoadRequest) -> None:
    names = [spec.name for spec in inputs]
    for name in [*request.shapes, *(name for name, _ in request.wrap.inputs)]:
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise UsageError(
                f"The model has no input '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                f"Its inputs: {', '.join(names)}.",
            )


def _narrowed(function: Function) -> Any:
    """The call with boundary types: int64 ids come in as int32, int64 and float64 outputs go out narrow."""
    dtypes = {spec.name: spec.dtype for spec in function.inputs}

    def call(tensors: Tensors) -> Tensors:
        given = {name: tf.cast(value, dtypes[name]) for name, value in tensors.items()}
        return {name: _narrow(name, value) for name, value in function.call(given).items()}

    return call


def _narrow(name: str, value: Any) -> Any:
    if not isinstance(value, tf.Tensor | tf.Variable) and not tf.is_tensor(value):
        raise ModelError(
            f"The output '{name}' is a {type(value).__name__}, not a tensor.", "Return tensors only."
        )
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        raise ModelError(
            f"The output '{name}' is a {type(value).__name__}.", "Return a dense tensor: .to_tensor()."
        )
    if value.dtype == tf.string:
        raise ModelError(
            f"The output '{name}' is a string.", "Return numbers; look names up in the app (labels)."
        )
    if value.dtype.is_complex:
        raise ModelError(
            f"The output '{name}' is {value.dtype.name}.", "Return tf.abs, or the real and imaginary parts."
        )
    narrow = BOUNDARY.get(value.dtype.name, value.dtype.name)
    narrow = "float32" if narrow in ("float16", "bfloat16") else narrow
    return tf.identity(tf.cast(value, narrow))
