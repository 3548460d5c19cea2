"""Which way a sample is more of a class, for a module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import torch

from edgepack.spec import Array, Signature

from .loss import probability_log


def towards(
    module: torch.nn.Module,
    signature: Signature,
    stacks: Iterable[tuple[torch.Tensor, ...]],
    output: str,
    classes: Sequence[int],
) -> list[dict[str, Array]]:
    """See edgepack.compress.student.Student.towards; the samples in stacks."""
    place = [spec.name for spec in signature.outputs].index(output)
    names = [spec.name for spec in signature.inputs if np.dtype(spec.dtype).kind == "f"]
    found: list[dict[str, Array]] = []
    rest = iter(classes)
    for tensors in stacks:
        followed = [each.requires_grad_(True) for each in tensors if each.is_floating_point()]
        wanted = torch.tensor(list(islice(rest, len(tensors[0]))))[:, None]
        with torch.enable_grad():
            seen = probability_log(module(*tensors)[place]).gather(1, wanted).sum()
            slopes = (
                torch.autograd.grad(seen, followed) if seen.requires_grad else map(torch.zeros_like, followed)
            )
        found += [
            {name: slope[index : index + 1].numpy() for name, slope in zip(names, slopes, strict=True)}
            for index in range(len(wanted))
        ]
    return found
