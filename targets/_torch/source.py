"""The one shape that every PyTorch source is brought into: a module, and what is known of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgepack.spec import TensorSpec


@dataclass(frozen=True)
class Parameter:
    """A parameter of forward that can take a tensor.

    Attributes:
        required: it has no default.
        keyword: it can only be given by name.
        spec: what the source declares of it; dimensions may be unknown. ``None`` where it declares nothing.
    """

    name: str
    required: bool = True
    keyword: bool = False
    spec: TensorSpec | None = None


@dataclass(frozen=True)
class Source:
    """A source as PyTorch sees it.

    Attributes:
        module: in eval mode, on the CPU, its weights float32 and without gradients.
        parameters: of its forward, in order.
        notes: what was changed to make it so.
    """

    module: torch.nn.Module
    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Input:
    """One input of a source, all of it known.

    Attributes:
        spec: as the app feeds it.
        dtype: as the module takes it.
        keyword: it is given by name.
    """

    spec: TensorSpec
    dtype: torch.dtype
    keyword: bool = False

    @property
    def name(self) -> str:
        return self.spec.name
