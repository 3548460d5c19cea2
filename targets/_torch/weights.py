"""What a module is made of, brought into the one state that it is built in: CPU, float32, eval mode, no gradients."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.parameter import is_lazy

from edgepack.errors import ModelError

from .outputs import dtype_name

NORMALISATIONS = torch.nn.modules.batchnorm._NormBase
DROPOUTS = torch.nn.modules.dropout._DropoutNd
GIVE_FLOAT = "Give the float model: edgepack quantizes it, for each target as that target needs it."


def prepare(module: torch.nn.Module, has_modes: bool = True) -> tuple[str, ...]:
    """Change the module in place; what was changed, in words. Raises ModelError for what cannot be.

    Args:
        has_modes: it can be switched to eval; an exported program has its mode in its ops.
    """
    _refuse_quantized(module)
    _refuse_elsewhere(module)
    notes = (*_to_float32(module), *(_to_eval(module) if has_modes else ()))
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return notes


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _refuse_quantized(module: torch.nn.Module) -> None:
    for path, each in module.named_modules():
        where = type(each).__module__
        if ".quantized" in where and where.startswith(("torch.ao.", "torch.nn.")):
            raise ModelError(f"The module '{path}' is quantized already ({where}).", GIVE_FLOAT)
    for name, tensor in _tensors(module):
        if tensor.is_quantized or type(tensor).__module__.startswith("torchao."):
            raise ModelError(
                f"The weight '{name}' is quantized already ({type(tensor).__name__}).", GIVE_FLOAT
            )


def _refuse_elsewhere(module: torch.nn.Module) -> None:
    for name, tensor in _tensors(module):
        if is_lazy(tensor) or tensor.is_meta:
            raise ModelError(
                f"The weight '{name}' has no values yet ({'lazy' if is_lazy(tensor) else 'on the meta device'}).",
                "Load the weights in the factory; a lazy module gets them when it is first called.",
            )
        if tensor.device.type != "cpu":
            raise ModelError(
                f"The weight '{name}' is on the device {tensor.device}.",
                "Return the model on the CPU: model.cpu(); load weights with map_location='cpu'.",
            )


def _to_float32(module: torch.nn.Module) -> Iterator[str]:
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.complex128):
        names = [name for name, tensor in _tensors(module) if tensor.dtype == dtype]
        if names:
            target = torch.complex64 if dtype.is_complex else torch.float32
            some = ", ".join(f"'{name}'" for name in names[:3])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"Weights that are {dtype_name(dtype)} are cast to {dtype_name(target)}: {some}{more}."
            _cast(module, dtype, target)


def _cast(module: torch.nn.Module, dtype: torch.dtype, target: torch.dtype) -> None:
    module._apply(  # type: ignore[no-untyped-call]
        lambda tensor: tensor.to(target) if tensor.dtype == dtype else tensor
    )


def _to_eval(module: torch.nn.Module) -> Iterator[str]:
    training = [(path, each) for path, each in module.named_modules() if getattr(each, "training", False)]
    if not training:
        return
    module.eval()
    for _, each in training:
        each.training = False  # where a class keeps itself in train mode by a train() of its own
    changed = [f"'{path}' ({_class(each)})" for path, each in training if _has_modes(each)]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        yield f"The model came in train mode and is switched to eval, which changes {', '.join(changed[:3])}{more}."


def _class(module: torch.nn.Module) -> str:
    return str(
        getattr(module, "original_name", type(module).__name__)
    )  # what a TorchScript module was made of


def _has_modes(module: torch.nn.Module) -> bool:
    """Whether the module itself computes otherwise in train mode."""
    if isinstance(module, torch.jit.ScriptModule):
        return _class(module).startswith(("BatchNorm", "InstanceNorm", "Dropout"))
    if type(module).__module__.startswith("torch.nn."):
        if isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention):
            return bool(module.dropout > 0)
        return isinstance(module, NORMALISATIONS | DROPOUTS)
    code = getattr(type(module).forward, "__code__", None)
    return code is not None and "training" in code.co_names
