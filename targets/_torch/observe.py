"""A source tried out before it is built: what it returns, what it does at its edges, and what no runtime could do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from edgepack.errors import ModelError
from edgepack.spec import Affine, format_shape
from edgepack.wrap import Found

from .outputs import Output, outputs_of
from .places import explained, running
from .probe import call, examples
from .recorder import Finding, Record, record, version_of
from .source import Input, Source
from .weights import GIVE_FLOAT

TRIES = 5
"""How often a model with random numbers, or sizes that depend on values, is asked: a few values may agree by chance."""

WORDS = {
    "flow": (
        "The model decides by the values of a tensor",
        "Use torch.where, or take the check out of forward: a converted model computes the same ops for every input. "
        "TorchScript alone keeps a branch: for that target, torch.jit.script the module that has it.",
    ),
    "array": (
        "The model leaves PyTorch in the middle (NumPy, a list)",
        "Write that part with PyTorch's own functions.",
    ),
    "custom": (
        "The model calls an operator of its own that no edge runtime has",
        "Write it with PyTorch's own functions, or leave that part to the app.",
    ),
    "higher": (
        "The model calls an operator that takes functions, which no edge runtime has",
        "Use torch.where instead of torch.cond; write a loop of fixed length instead of torch.while_loop.",
    ),
    "quantized": ("The model is quantized already", GIVE_FLOAT),
}


@dataclass(frozen=True)
class Observed(Found):
    """What one call showed.

    Attributes:
        overwritten: the inputs that the module writes into.
    """

    outputs: tuple[Output, ...]
    overwritten: frozenset[str] = frozenset()


def observe(source: Source, inputs: tuple[Input, ...]) -> Observed:
    """Call the source's module and look on. Raises ModelError for what cannot be converted, with its place."""
    given = ", ".join(str(each.spec) for each in inputs)
    values = examples(inputs)
    versions = {name: version_of(value) for name, value in values.items()}
    with torch.no_grad(), explained(source.module, given):
        call(source, inputs, examples(inputs))  # first as it is: an error tells more, and caches are filled
        result, seen = record(
            lambda: call(source, inputs, values), list(values.values()), lambda: running(source.module)
        )
    _refuse(seen.findings)
    outputs = outputs_of(result)
    with torch.no_grad(), explained(source.module, given):
        _refuse_change(source, inputs, outputs, seen)
    return Observed(
        dict(_scalings(list(values), seen)),
        {each.name: name for each in outputs if (name := seen.activation(each.tensor))},
        outputs,
        frozenset(name for name, value in values.items() if version_of(value) != versions[name]),
    )


def _scalings(names: list[str], seen: Record) -> Iterator[tuple[str, Affine]]:
    for name, edge in zip(names, seen.edges, strict=True):
        affine = edge.affine() if edge is not None else None
        if affine is not None:
            yield name, affine


def _refuse(findings: list[Finding]) -> None:
    for finding in findings:
        if finding.kind in WORDS:
            what, hint = WORDS[finding.kind]
            raise ModelError(f"{what}: {finding.what} in {finding.where}.", hint)


def _refuse_change(
    source: Source, inputs: tuple[Input, ...], outputs: tuple[Output, ...], seen: Record
) -> None:
    """Refuse a module that answers the same question differently, or in another size. Raises ModelError."""
    before = _buffers(source.module)
    again = [outputs_of(call(source, inputs, examples(inputs)))]
    written = [name for name, state in _buffers(source.module).items() if before.get(name) != state]
    if written:
        raise ModelError(
            f"The model keeps state between calls, in {', '.join(map(repr, written[:5]))}.",
            "Make it stateless, or give the state as an input and return it as an output; "
            "what was exported in train mode, export again after model.eval().",
        )
    suspects = {each.kind: each for each in seen.findings if each.kind in ("random", "sized")}
    tries = TRIES if suspects else 1
    again += [outputs_of(call(source, inputs, examples(inputs))) for _ in range(tries - 1)]
    others = [outputs_of(call(source, inputs, examples(inputs, seed + 1))) for seed in range(tries)]
    for index, output in enumerate(outputs):
        if not all(_same(output.tensor, each[index].tensor) for each in again):
            random = suspects.get("random")
            why = f" It draws random numbers: {random.what} in {random.where}." if random else ""
            raise ModelError(
                f"The answers differ between two runs on the same input, in the output '{output.name}'.{why}",
                "Leave randomness out in eval mode: F.dropout(x, training=self.training); "
                "give a state as an input and return it as an output.",
            )
        sizes = {tuple(each[index].tensor.shape) for each in others} - {tuple(output.tensor.shape)}
        if sizes:
            sized = suspects.get("sized")
            why = f" It selects by value: {sized.what} in {sized.where}." if sized else ""
            raise ModelError(
                f"The output '{output.name}' has a size that depends on the data: "
                f"{format_shape(tuple(output.tensor.shape))}, then {format_shape(sizes.pop())}.{why}",
                "Return a tensor of fixed size: pad it, or take the k best.",
            )


def _buffers(module: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Tells, by identity and count of writes, whether a buffer was written into."""
    return {name: (id(each), version_of(each)) for name, each in module.named_buffers()}


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(
        one.double(), other.double(), rtol=1e-4, atol=1e-6, equal_nan=True
    )
