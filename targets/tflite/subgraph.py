"""Ops and tensors added to a subgraph of a parsed .tflite. Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

_DTYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "bool": schema.TensorType.BOOL,
}


class Subgraph:
    """A subgraph under construction. Tensors are indices into it.

    Attributes:
        index: of it in the model.
        operators: those that were added here.
    """

    def __init__(self, model: Any, index: int, name: str) -> None:
        self.index = index
        self.operators: list[Any] = []
        self._model = model
        self._graph = model.subgraphs[index]
        self._name = name

    @classmethod
    def new(cls, model: Any, name: str) -> Subgraph:
        """An empty one, added to the model."""
        graph = schema.SubGraphT()
        graph.name, graph.tensors = name.encode(), []
        model.subgraphs.append(graph)
        return cls(model, len(model.subgraphs) - 1, name)

    def close(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Give it its inputs, its outputs, and the operators that were added."""
        self._graph.operators = self.operators
        self._graph.inputs, self._graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "float32", buffer: int = 0) -> int:
        """Add a tensor; its name is put behind the subgraph's."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = f"{self._name}/{name}".encode(), _DTYPES[dtype], buffer
        tensor.shape, tensor.hasRank = np.array(shape, np.int32), True
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, name: str, values: Any, dtype: str = "int32") -> int:
        """Add a tensor with its values in the file."""
        array = np.array(values, dtype)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self.tensor(name, array.shape, dtype, len(self._model.buffers) - 1)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape; an empty one for a scalar."""
        shape = self._graph.tensors[tensor].shape
        return tuple(int(size) for size in shape) if shape is not None else ()

    def buffer(self, tensor: int) -> int:
        """The number of a tensor's buffer in the file."""
        return int(self._graph.tensors[tensor].buffer)

    def apply(
        self,
        kind: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        **options: Any,
    ) -> int:
        """Add an op with one output, and give that."""
        output = self.tensor(name, shape, dtype)
        self.call(kind, inputs, [output], **options)
        return output

    def call(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """Add an op with these outputs. ``options`` are fields of the schema's table for its kind."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(schema.BuiltinOperator, kind))
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        table = "".join(part.capitalize() for part in kind.split("_")) + "Options"
        if hasattr(schema.BuiltinOptions, table):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
        for field, value in options.items():
            setattr(operator.builtinOptions, field, value)
        self.operators.append(operator)

    def _code(self, kind: int) -> int:
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if flatbuffer_utils.get_builtin_code_from_operator_code(code) == kind:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = kind, min(kind, 127)
        codes.append(code)
        return len(codes) - 1
