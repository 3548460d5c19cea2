"""The inputs of a source: names from its parameters, shapes and types from what it declares, --shape or the first sample."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

import torch

from edgepack.errors import ModelError, UsageError
from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec, format_shape

from .layout import refuse_other_layout
from .probe import computes, scales_with_batch
from .source import Input, Parameter, Source

NETWORK = {"int32": "int64", "int64": "int64", "bool": "bool"}
"""Integers in samples may be ids, and int64 is PyTorch's integer; all else is what float networks are fed with."""

BOUNDARY = {"int64": "int32", "int16": "int32", "uint16": "int32", "uint32": "int32", "uint64": "int32"}
"""What a mobile runtime takes instead of the types that only servers like."""


def resolve(source: Source, request: LoadRequest) -> tuple[Input, ...]:
    """Every input, its shape and types known. Raises UsageError, ModelError."""
    samples = _by_parameter(source.parameters, request.sample_specs)
    chosen = _chosen(source.parameters, samples, request)
    _check_names(chosen, request)
    dtypes = [_dtype(each, samples.get(each.name), request) for each in chosen]
    candidates = [
        tuple(_input(each, shape, dtype) for each, shape, dtype in zip(chosen, shapes, dtypes, strict=True))
        for shapes in _shapes(chosen, samples, request)
    ]
    working = [each for each in candidates if computes(source, each)]
    if not working:
        refuse_other_layout(source, candidates[0], request)
        return candidates[0]  # calling it shows the reason
    if len(working) == 1:
        return working[0]
    return next((each for each in working if scales_with_batch(source, each)), working[0])


def _by_parameter(parameters: tuple[Parameter, ...], specs: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    """The sampled arrays under the names of the parameters that take them; arrays that none takes are left out."""
    names = [each.name for each in parameters]
    matching = {spec.name: spec for spec in specs if spec.name in names}
    if matching:
        return matching
    if [spec.name for spec in specs] == [f"input_{index}" for index in range(len(specs))]:
        return dict(zip(names, specs, strict=False))  # a tuple, in the order of the parameters
    required = [each.name for each in parameters if each.required] or names[:1]
    return {required[0]: specs[0]} if len(specs) == len(required) == 1 else {}


def _chosen(
    parameters: tuple[Parameter, ...], samples: dict[str, TensorSpec], request: LoadRequest
) -> list[Parameter]:
    """The parameters that are inputs: those without a default, and those that samples or --shape name."""
    named = {*samples, *request.shapes}
    chosen = [each for each in parameters if each.required or each.name in named] or list(parameters[:1])
    for each in chosen:
        if each.spec is None and each.name not in named:
            raise _unknown(each.name, [spec.name for spec in request.sample_specs], request)
    return chosen


def _unknown(name: str, sampled: list[str], request: LoadRequest) -> UsageError:
    if sampled:
        near = get_close_matches(name, sampled, 1)
        return UsageError(
            f"The model's forward takes '{name}', for which the samples have no array; they have {', '.join(sampled)}."
            + (f" Is it '{near[0]}'?" if near else ""),
            f"Name the arrays as forward's parameters, or give --shape {name}=....",
        )
    like = f"{name}=1x3x224x224"
    declare = f' For a folder of images declare it too: [input.{name}] kind = "image", layout = "NCHW".'
    return UsageError(
        f"The shape of the input '{name}' is not known: a PyTorch module does not tell it.",
        f"Give --shape {like}, as its forward takes it, batch included."
        + (declare if request.wrap.otherwise else " Samples as .npz or file.py:generator tell it too."),
    )


def _check_names(chosen: list[Parameter], request: LoadRequest) -> None:
    names = [each.name for each in chosen]
    for name in [*request.shapes, *(name for name, _ in request.wrap.inputs)]:
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise UsageError(
                f"The model has no input '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                f"Its inputs: {', '.join(names)}.",
            )


def _shapes(
    chosen: list[Parameter], samples: dict[str, TensorSpec], request: LoadRequest
) -> Iterator[list[tuple[int, ...]]]:
    """What the inputs' shapes may be, likeliest first."""
    fixed = {each.name: _fixed(each, samples.get(each.name), request) for each in chosen}
    open_ = [samples[name].static_shape for name, shape in fixed.items() if shape is None]
    before: list[tuple[int, ...]] = [(1,)]
    if open_ and all(shape[:1] == (1,) for shape in open_):
        before = [(), (1,)]  # each carries a batch of one, or each has a first dimension of one
    elif len(open_) == 1 and len(open_[0]) == 2:
        before = [(1,), (1, 1)]  # a single channel, that the sample leaves out
    for axes in before:
        yield [shape or (*axes, *samples[name].static_shape) for name, shape in fixed.items()]


def _fixed(parameter: Parameter, sample: TensorSpec | None, request: LoadRequest) -> tuple[int, ...] | None:
    """The shape that is declared, by the source, --shape or a wrap; ``None`` where only the sample tells it."""
    if parameter.spec is not None:
        return _declared(parameter.spec, sample, request)
    if parameter.name in request.shapes:
        return request.shapes[parameter.name][0]
    wrap = request.wrap.input(parameter.name)
    is_moved = wrap is not None and (wrap.kind == "image" or wrap.layout == "NCHW")
    if sample is None or wrap is None or not is_moved or len(sample.shape) not in (2, 3, 4):
        return None
    shape = sample.static_shape
    shape = (*shape, 1) if len(shape) == 2 else shape
    shape = (1, *shape) if len(shape) == 3 else shape
    if wrap.layout == "NCHW" and len(shape) == 4:
        return (shape[0], shape[3], shape[1], shape[2])
    return shape


def _declared(spec: TensorSpec, sample: TensorSpec | None, request: LoadRequest) -> tuple[int, ...]:
    """The shape of an input that an exported program declares: an unknown batch is 1, others come from --shape."""
    shape = spec.shape
    if spec.name in request.shapes:
        given = request.shapes[spec.name][0]
        fits = len(given) == len(shape) and all(
            known is None or known == size for known, size in zip(shape, given, strict=True)
        )
        if not fits:
            raise UsageError(
                f"--shape {spec.name}={format_shape(given)} does not fit the model, which has {format_shape(shape)}.",
                "Only unknown dimensions (?) can be chosen.",
            )
        return given
    if shape[:1] == (None,):
        shape = (1, *shape[1:])
    if None in shape:
        found = sample.shape if sample is not None and len(sample.shape) == len(shape) - 1 else ()
        guess = (1, *found) if found else tuple(size or 224 for size in shape)
        raise UsageError(
            f"The input '{spec.name}' has unknown dimensions: {format_shape(shape)}.",
            f"Give its shape, for example --shape {spec.name}={format_shape(guess)}.",
        )
    return TensorSpec(spec.name, shape, spec.dtype).static_shape


def _dtype(parameter: Parameter, sample: TensorSpec | None, request: LoadRequest) -> str:
    """The type that the module takes."""
    name = parameter.name
    given = request.shapes[name][1] if name in request.shapes else None
    declared = parameter.spec.dtype if parameter.spec else given
    if declared is None:
        return NETWORK.get(sample.dtype, "float32") if sample is not None else "float32"
    if declared.startswith("complex"):
        raise ModelError(f"The input '{name}' is {declared}.", "Give a model that takes real numbers.")
    if not isinstance(getattr(torch, declared, None), torch.dtype):
        raise UsageError(
            f"--shape {name}: there is no type '{declared}'.", "Types: float32, int32, int64, bool, uint8."
        )
    return "float32" if declared in ("float64", "float16", "bfloat16") else declared


def _input(parameter: Parameter, shape: tuple[int, ...], dtype: str) -> Input:
    spec = TensorSpec(parameter.name, shape, BOUNDARY.get(dtype, dtype))
    return Input(spec, getattr(torch, dtype), parameter.keyword)


def boundary_notes(inputs: tuple[Input, ...]) -> Iterator[str]:
    """Which inputs have another type here than in the original."""
    for each in inputs:
        was = str(each.dtype).removeprefix("torch.")
        if was != each.spec.dtype:
            yield f"The input '{each.name}' is {was} in the original and {each.spec.dtype} here."
