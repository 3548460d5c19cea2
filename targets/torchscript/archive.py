"""Reads a .ptl as data: its bytecode, and what kind of tensors it holds. No code in it runs, and no class in it is made.

The format: a zip whose ``bytecode.pkl`` and ``data.pkl`` are pickles, tensors and packed weights by reference; see
torch/csrc/jit/mobile/import.cpp and serialization/export_bytecode.cpp.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from edgepack.errors import UsageError

EXTRA = "edgepack.json"
MOST_BYTES = 2**31
"""Of a pickle or of the notes, unpacked: a zip may claim more than it is worth."""

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "QInt32Storage": "int32",
}
WIDTHS = {
    "complex128": 16,
    "complex64": 8,
    "float64": 8,
    "int64": 8,
    "float32": 4,
    "int32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int16": 2,
}


@dataclass(frozen=True)
class Tensor:
    """A stored tensor: what it is, not its values."""

    dtype: str
    shape: tuple[int, ...]
    storage: str
    quantized: bool = False

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * WIDTHS.get(self.dtype, 1)


class Thing:
    """An object of any class in a pickle: a class of its own for each, ``kind`` its name, its parts as they lie there."""

    kind = ""
    parts: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *parts: Any) -> Thing:
        made = super().__new__(cls)
        made.parts = parts
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


def tensors(found: object) -> Iterator[Tensor]:
    """All tensors in what a pickle gave."""
    pending, seen = [found], set()
    while pending:
        each = pending.pop()
        if isinstance(each, Tensor):
            yield each
            continue
        if id(each) in seen:
            continue
        seen.add(id(each))
        match each:
            case Thing():
                pending += [each.parts, each.state]
            case tuple() | list():
                pending += each
            case dict():
                pending += each.values()


@dataclass(frozen=True)
class Method:
    """A compiled function: instructions ``(opcode, X, N)`` of a stack machine with registers.

    Attributes:
        operators: (name, overload, number of arguments; None where it is the schema's).
    """

    name: str
    instructions: tuple[tuple[str, int, int], ...]
    operators: tuple[tuple[str, str, int | None], ...]
    constants: tuple[Any, ...]
    registers: int
    arguments: tuple[str, ...]
    returns: int


@dataclass(frozen=True)
class Archive:
    """A .ptl.

    Attributes:
        notes: what edgepack wrote into it; empty in others' files.
        attributes: of the module, in the order of their slots.
    """

    version: int
    methods: tuple[Method, ...]
    attributes: tuple[tuple[str, Any], ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def forward(self) -> Method:
        """Raises UsageError."""
        for method in self.methods:
            if method.name.rpartition(".")[2] == "forward":
                return method
        raise UsageError("The .ptl has no method forward.", "Save it with _save_for_lite_interpreter.")


@contextmanager
def mistrust() -> Iterator[None]:
    """Turn what a damaged file does to its reader into our error."""
    try:
        yield
    except UsageError:
        raise
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        EOFError,
        OverflowError,
        NotImplementedError,
        RecursionError,
        MemoryError,
    ) as error:
        raise UsageError(
            f"This is no readable .ptl: {type(error).__name__}: {str(error)[:200]}",
            "Give a file for PyTorch's lite interpreter, saved by _save_for_lite_interpreter, in pickle format.",
        ) from error


def read(data: bytes) -> Archive:
    """Raises UsageError for anything but a .ptl."""
    with mistrust(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        if "bytecode.pkl" not in entries:
            raise UsageError(
                "The file has no bytecode for the lite interpreter.",
                "Save it with _save_for_lite_interpreter; torch.jit.save writes another kind of file.",
            )

        def content(name: str) -> bytes:
            entry = entries[name]
            if entry.file_size > MOST_BYTES:
                raise UsageError(f"The record {name} of the .ptl claims {entry.file_size} bytes.")
            return archive.read(entry)

        version, *methods = _Reader(content("bytecode.pkl")).load()
        module = _Reader(content("data.pkl")).load()
        state = module.state if isinstance(module, Thing) else None
        notes = json.loads(content(f"extra/{EXTRA}")) if f"extra/{EXTRA}" in entries else {}
        if not isinstance(notes, dict):
            raise UsageError("The notes in the .ptl are not edgepack's.")
        return Archive(
            int(version),
            tuple(_method(*parts) for parts in methods),
            tuple(state.items()) if isinstance(state, dict) else (),
            notes,
        )


def _method(name: str, code: tuple[Any, ...], schema: tuple[Any, ...] = ()) -> Method:
    table, signature = dict(code), dict(schema)
    return Method(
        name=str(name),
        instructions=tuple((str(op), int(x), int(n)) for op, x, n in table["instructions"]),
        operators=tuple(
            (str(op), str(overload), rest[0] if rest else None) for op, overload, *rest in table["operators"]
        ),
        constants=tuple(table["constants"]),
        registers=int(table["register_size"]),
        arguments=tuple(str(dict(each)["name"]) for each in signature.get("arguments", ()))[1:],
        returns=len(signature.get("returns", ())),
    )


class _Reader(pickle.Unpickler):
    """Reads torch's pickles without importing anything: classes become their names, tensors what they are."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))

    def find_class(self, module: str, name: str) -> Any:
        known = {
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_qtensor": _quantized_tensor,
            "torch.jit._pickle.restore_type_tag": _first,
            "collections.OrderedDict": dict,
        }
        path = f"{module}.{name}"
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return _first
        return known.get(path) or type("Thing", (Thing,), {"kind": path})

    def persistent_load(self, reference: Any) -> tuple[str, str]:
        _, storage, key, *_ = reference
        return STORAGES[storage.kind.rpartition(".")[2]], str(key)


def _first(found: Any, *rest: Any) -> Any:
    return found


def _tensor(storage: tuple[str, str], offset: int, shape: tuple[int, ...], *rest: Any) -> Tensor:
    return Tensor(storage[0], tuple(map(int, shape)), storage[1])


def _quantized_tensor(storage: tuple[str, str], offset: int, shape: tuple[int, ...], *rest: Any) -> Tensor:
    return Tensor(storage[0], tuple(map(int, shape)), storage[1], quantized=True)
