"""A program as a TorchScript lowering: one graph in float, from which every precision is emitted."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.fx import GraphModule, Node

from edgepack.events import Step, step, warn
from edgepack.precision.notes import Note
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision, Signature
from edgepack.target import Artifact, Lowering, Op, Plan, Samples

from .canonical import canonicalise
from .emit import emit
from .graph import NotExportable, calls, capture, constant, is_op, kind
from .improve import State, Workshop, improve
from .kernels import Limits, absorbed
from .logits import logits, outputs
from .ranges import Ranges, calibrate
from .runtime import qnnpack
from .scaled import noted
from .scales import fit
from .scripted import ScriptedLowering, script
from .writer import write

if TYPE_CHECKING:
    from .._torch.model import Program

PRECISIONS = frozenset({Precision.INT8, Precision.INT8_DYNAMIC, Precision.FLOAT32})


def lower(program: Program, calibration: Samples) -> Lowering:
    """The lowering of a program; one that branches on its data is taken as a whole. Raises ModelError."""
    try:
        module = capture(program)
    except NotExportable as error:
        lowering = ScriptedLowering(program, script(program))
        warn(f"The model has no fixed graph, so it is packed without int8 activations: {error}")
        return lowering
    canonicalise(module)
    return TorchScriptLowering(module, program.signature, calibration)


class TorchScriptLowering:
    """See edgepack.target.Lowering."""

    improves = frozenset({Precision.INT8})

    def __init__(self, module: GraphModule, signature: Signature, calibration: Samples) -> None:
        self._module = module
        self._signature = signature
        self._calibration = calibration
        self._limits = Limits(module)
        self.notes: list[Note] = []

    @property
    def ops(self) -> tuple[Op, ...]:
        """The ops in the order in which they run; a weight that several share counts for the first."""
        inside = set(absorbed(self._module).values())
        counted: set[str] = set()
        found = []
        for node in calls(self._module):
            if not is_op(node) or node in inside:
                continue
            cannot = self._limits.of(node)
            size = self._weight_bytes(node, counted)
            found.append(Op(node.meta["name"], kind(node), size, PRECISIONS - set(cannot), cannot))
        return tuple(found)

    def _weight_bytes(self, node: Node, counted: set[str]) -> int:
        size = 0
        for source in node.all_input_nodes:
            tensor = constant(self._module, source)
            if tensor is not None and source.name not in counted:
                counted.add(source.name)
                size += tensor.numel() * tensor.element_size()
        return size

    @cached_property
    def _ranges(self) -> Ranges:
        with step("calibrate") as calibrating:
            return self._measure(self._module, calibrating)

    def _measure(self, module: GraphModule, calibrating: Step) -> Ranges:
        wanted = set()
        for node in calls(module):
            if is_op(node) and self._limits.is_static(node):
                wanted |= {node.name, *(source.name for source in node.all_input_nodes)}
        wanted -= {source.name for source in absorbed(module)}
        ranges = calibrate(module, self._signature, wanted, self._calibration, calibrating)
        fit(module, self._limits, ranges)
        return ranges

    @cached_property
    def _best(self) -> State:
        """What improved integers are made from."""
        plan = uniform_plan(self, Precision.INT8, "auto")
        with step("improve int8") as improving:
            workshop = Workshop(
                lambda state: self._emit(state, plan, logits(self._module)),
                lambda module: self._measure(module, improving),
                self._signature,
                self._limits,
                self._calibration,
            )
            found, notes = improve(State(self._module, self._ranges), workshop, improving)
        self.notes += [replace(note, precision=Precision.INT8.value) for note in notes]
        return found

    def emit(self, plan: Plan, out: Path) -> Artifact:
        """Write ``model.ptl`` and ``operators.yaml`` for a plan into ``out``."""
        with qnnpack(), torch.no_grad():
            if Precision.INT8 not in (plan.default, *plan.ops.values()):
                state = State(self._module, {})
            else:
                state = State(self._module, self._ranges) if plan.plain else self._best
            data = self._emit(state, plan, outputs(self._module))
        return write(data, out)

    def _emit(self, state: State, plan: Plan, given: tuple[Node, ...]) -> bytes:
        notes = noted(state.scaled)
        parts = (plan, self._limits, state.ranges, state.layers)
        return emit(state.module, self._signature, *parts, given, notes)
