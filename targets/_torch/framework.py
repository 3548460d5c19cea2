"""Which loader a source needs: a file that TorchScript or torch.export wrote, or an object that a factory made."""

from __future__ import annotations

from pathlib import Path

import torch

from edgepack.errors import ModelError
from edgepack.model import HandedOver, LoadRequest

from . import exported_source, files, module_source, scripted_source
from .model import TorchModel, build
from .source import Source


def load(request: LoadRequest) -> TorchModel:
    """The model in ``request.path``. Raises ModelError, UsageError."""
    assert request.path is not None
    return build(_source(files.load(request.path), request), request)


def adopt(made: object, request: LoadRequest) -> TorchModel:
    """The model in what a factory returned. Raises ModelError, UsageError."""
    if request.weights is not None and isinstance(made, torch.nn.Module):
        made.load_state_dict(torch.load(request.weights, map_location="cpu", weights_only=True))
    return build(_source(made, request), request)


def hand_over(made: object, folder: Path) -> HandedOver:
    """The weights of a module; of other objects, which have theirs in them, nothing."""
    if not isinstance(made, torch.nn.Module):
        return HandedOver()
    weights = folder / "original.weights.pt"
    torch.save(made.state_dict(), weights)
    return HandedOver(weights)


def _source(made: object, request: LoadRequest) -> Source:
    if isinstance(made, torch.export.ExportedProgram):
        return exported_source.source(made)
    if isinstance(made, torch.jit.ScriptModule):
        return scripted_source.source(made, request)
    if isinstance(made, torch.nn.Module):
        return module_source.source(made)
    raise ModelError(
        f"The factory returned a {type(made).__module__}.{type(made).__qualname__}.",
        "Return a torch.nn.Module, a TorchScript module or a torch.export program.",
    )
