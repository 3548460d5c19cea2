"""The .tflite file as objects: read, written, given a signature. Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from edgepack.errors import UsageError
from edgepack.spec import Array, Quantization, Signature, TensorSpec

SIGNATURE_KEY = "serving_default"

_OPS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_DTYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
_BOUNDED = {schema.ActivationFunctionType.RELU6, schema.ActivationFunctionType.RELU_N1_TO_1}


@dataclass(frozen=True)
class OpView:
    """One op and where it is.

    Attributes:
        name: that of its first output tensor: unique in the file, kept by the quantizer.
        constants: its inputs whose data is in the file.
        activation: the one that is fused into it, by its number in the schema.
        options: its table in the schema.
    """

    name: str
    kind: str
    subgraph: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: tuple[int, ...]
    activation: int = schema.ActivationFunctionType.NONE
    options: Any = None

    @property
    def activated(self) -> bool:
        """Whether an activation is fused into it."""
        return bool(self.activation != schema.ActivationFunctionType.NONE)

    @property
    def bounded(self) -> bool:
        """Whether that cuts its output off at a constant (RELU6, RELU_N1_TO_1)."""
        return self.activation in _BOUNDED


class ModelView:
    """A parsed .tflite. Raises UsageError when the bytes are none."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 8 or data[4:8] != b"TFL3":
            raise UsageError(
                "This is not a .tflite file: the identifier TFL3 is missing.", "Give a .tflite file."
            )
        with mistrust():
            self.model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
            self._codes = [
                flatbuffer_utils.get_builtin_code_from_operator_code(c)
                for c in self.model.operatorCodes or []
            ]
            self._ops = list(self._read_ops())

    @property
    def ops(self) -> list[OpView]:
        """The ops of all subgraphs, the main one first, in the order they run."""
        return self._ops

    def _read_ops(self) -> Iterator[OpView]:
        for index, graph in enumerate(self.model.subgraphs or []):
            for op in graph.operators if graph.operators is not None else []:
                inputs, outputs = _indices(op.inputs), _indices(op.outputs)
                kind, named = self.kind(op), outputs or inputs
                yield OpView(
                    name=self.tensor_name(index, named[0]) if named else f"{kind}_{index}",
                    kind=kind,
                    subgraph=index,
                    inputs=inputs,
                    outputs=outputs,
                    constants=tuple(i for i in inputs if self.data_bytes(index, i)),
                    activation=getattr(op.builtinOptions, "fusedActivationFunction", 0),
                    options=op.builtinOptions,
                )

    def inputs(self, subgraph: int) -> tuple[int, ...]:
        return _indices(self.model.subgraphs[subgraph].inputs)

    def outputs(self, subgraph: int) -> tuple[int, ...]:
        return _indices(self.model.subgraphs[subgraph].outputs)

    def kind(self, operator: Any) -> str:
        """The op's name in the schema, or a custom op's own."""
        kind: str = _OPS.get(self._codes[operator.opcodeIndex], "UNKNOWN")
        custom: bytes | None = self.model.operatorCodes[operator.opcodeIndex].customCode
        return custom.decode(errors="replace") if kind == "CUSTOM" and custom else kind

    def tensor(self, subgraph: int, index: int) -> Any:
        return self.model.subgraphs[subgraph].tensors[index]

    def tensor_name(self, subgraph: int, index: int) -> str:
        return str((self.tensor(subgraph, index).name or b"").decode(errors="replace"))

    def dtype(self, subgraph: int, index: int) -> str:
        """NumPy's name of a tensor's type."""
        return str(_DTYPES.get(self.tensor(subgraph, index).type, "unknown"))

    def data_bytes(self, subgraph: int, index: int) -> int:
        """The size of a tensor's data in the file; 0 for one that is computed."""
        buffer = self.model.buffers[self.tensor(subgraph, index).buffer]
        return len(buffer.data) if buffer.data is not None else int(buffer.size or 0)

    def shape(self, subgraph: int, index: int) -> tuple[int, ...]:
        """A tensor's sizes; none for a scalar."""
        shape = self.tensor(subgraph, index).shape
        return tuple(int(size) for size in shape) if shape is not None else ()

    def values(self, subgraph: int, index: int) -> Array:
        """A constant's values, in its shape; a copy."""
        data = self.model.buffers[self.tensor(subgraph, index).buffer].data
        flat = np.frombuffer(bytes(data), self.dtype(subgraph, index))
        return flat.reshape(self.shape(subgraph, index)).copy()

    def put(self, subgraph: int, index: int, values: Array) -> None:
        """Give a constant other values of its type."""
        flat = np.ascontiguousarray(values, self.dtype(subgraph, index))
        self.model.buffers[self.tensor(subgraph, index).buffer].data = np.frombuffer(flat.tobytes(), np.uint8)

    @property
    def signature(self) -> Signature:
        """The named inputs and outputs; tensor names where the file has no signature."""
        graph = self.model.subgraphs[0]
        definitions = self.model.signatureDefs or []
        if definitions:
            first = definitions[0]
            inputs = [(mapping.name.decode(), mapping.tensorIndex) for mapping in first.inputs]
            outputs = [(mapping.name.decode(), mapping.tensorIndex) for mapping in first.outputs]
        else:
            inputs = [(self.tensor_name(0, i), i) for i in _indices(graph.inputs)]
            outputs = [(self.tensor_name(0, i), i) for i in _indices(graph.outputs)]
        return Signature(
            tuple(self._spec(name, index) for name, index in inputs),
            tuple(self._spec(name, index) for name, index in outputs),
        )

    def _spec(self, name: str, index: int) -> TensorSpec:
        tensor = self.tensor(0, index)
        shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
        return TensorSpec(name, shape, self.dtype(0, index), per_tensor_quantization(tensor))


@contextmanager
def mistrust() -> Iterator[None]:
    """Reading what may be damaged: whatever that trips over is a UsageError."""
    try:
        yield
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        struct.error,
    ) as error:
        raise UsageError(
            f"This .tflite file is damaged: {type(error).__name__}: {error}", "Get it again."
        ) from error


def per_tensor_quantization(tensor: Any) -> Quantization | None:
    """Scale and zero point, where there is one pair for the whole tensor."""
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        return None
    return Quantization(
        float(parameters.scale[0]), int(parameters.zeroPoint[0]) if parameters.zeroPoint is not None else 0
    )


def with_signature(data: bytes, signature: Signature) -> bytes:
    """The file with its inputs and outputs, in order, under the names of ``signature``.

    The converter drops the names of a frozen function; the quantizer wants a signature to calibrate by.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    graph = model.subgraphs[0]

    def mapping(name: str, index: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(index)
        return entry

    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = SIGNATURE_KEY.encode(), 0
    definition.inputs = [
        mapping(spec.name, i) for spec, i in zip(signature.inputs, graph.inputs, strict=True)
    ]
    definition.outputs = [
        mapping(spec.name, i) for spec, i in zip(signature.outputs, graph.outputs, strict=True)
    ]
    model.signatureDefs = [definition]
    _rename(graph, signature)
    return write(model)


def with_true_boundary(data: bytes) -> bytes:
    """The file with its signature at the graph's own inputs and outputs, in the same order; often the same bytes.

    Where the quantizer puts another tensor in the place of an output that ops read too, it forgets the signature.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    graph, definition = model.subgraphs[0], model.signatureDefs[0]
    entries, indices = (*definition.inputs, *definition.outputs), (*graph.inputs, *graph.outputs)
    if [entry.tensorIndex for entry in entries] == list(indices):
        return data
    for entry, index in zip(entries, indices, strict=True):
        entry.tensorIndex = int(index)
    return write(model)


def _rename(graph: Any, signature: Signature) -> None:
    """Short names, and the user's at the boundary, for reports and profilers to show; every name once."""
    specs, indices = (*signature.inputs, *signature.outputs), (*graph.inputs, *graph.outputs)
    boundary = {int(index): spec.name.encode() for spec, index in zip(specs, indices, strict=True)}
    results = {int(index) for operator in graph.operators for index in operator.outputs}
    order = dict.fromkeys(
        [*boundary, *sorted(results), *range(len(graph.tensors))]
    )  # who gets a name that several want
    taken: set[bytes] = set()
    for index in order:
        # a fused op is called by all that went into it, "relu;batchnorm;conv": the first, its last step, tells enough
        wanted = boundary.get(index) or graph.tensors[index].name.partition(b";")[0]
        name = wanted if wanted not in taken else b"%s_%d" % (wanted, index)
        taken.add(name)
        graph.tensors[index].name = name


def write(model: Any) -> bytes:
    """The bytes of a parsed model."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _indices(values: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in (values if values is not None else []) if i >= 0)
