"""Float islands that need not be: ops with an int8 kernel in LiteRT that the quantizer does not know.

The quantizer leaves such an op in float, between a DEQUANTIZE and a QUANTIZE. Here it takes the int8 tensor before the
one and gives the int8 tensor after the other. What each kernel asks of scales and zero points is in its Prepare
function, tensorflow/lite/kernels, and in the specification tensorflow.org/lite/performance/quantization_spec.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .calibrate import Ranges
from .flatbuffer import ModelView, OpView, write

FREE = {"LEAKY_RELU": 2, "PRELU": 1, "ELU": 1, "RELU6": 2, "RELU_N1_TO_1": 1}
"""Kernels that rescale, so that input and output have scales of their own; with the op version that knows int8."""

SAME = {
    "EXPAND_DIMS": 1,
    "SQUEEZE": 1,
    "TILE": 2,
    "DEPTH_TO_SPACE": 2,
    "SPACE_TO_BATCH_ND": 2,
    "BATCH_TO_SPACE_ND": 2,
    "REVERSE_V2": 1,
    "REDUCE_MAX": 2,
}
"""Kernels that move values: input and output share scale and zero point."""

INDEX = {"ARG_MAX": 2, "ARG_MIN": 2}
"""Kernels that answer with positions, which quantization keeps."""

ABSORBED = {**FREE, **SAME, **INDEX}


def absorb(data: bytes, ranges: Ranges) -> bytes:
    """The file with its avoidable float islands in int8; the same bytes where there are none."""
    view = ModelView(data)
    islands = [op for op in view.ops if op.subgraph == 0 and op.kind in ABSORBED and _is_float(view, op)]
    if not islands:
        return data
    graph = _Graph(view)
    for op in islands:
        graph.absorb(op, ranges)
    graph.fold_conversions()
    return write(view.model)


def _is_float(view: ModelView, op: OpView) -> bool:
    return view.dtype(0, op.inputs[0]) == "float32"


class _Graph:
    """The main subgraph under change. Tensors are indices, ops the schema's objects."""

    def __init__(self, view: ModelView) -> None:
        self._model = view.model
        self._graph = view.model.subgraphs[0]
        self._view = view

    def absorb(self, op: OpView, ranges: Ranges) -> None:
        """Give one op int8 input and output, if what feeds it is an int8 tensor made float."""
        operator = next(each for each in self._graph.operators if op.outputs[0] in each.outputs)
        before = self._producer(op.inputs[0])
        if before is None or self._kind(before) != "DEQUANTIZE" or not self._is_int8(before.inputs[0]):
            return
        stored = int(before.inputs[0])
        result = op.outputs[0]
        if op.kind not in INDEX:
            if op.kind in FREE and op.name not in ranges:
                return
            parameters = self._parameters(stored) if op.kind in SAME else _parameters(ranges[op.name])
            output = self._add_tensor(op.name, result, parameters)
            self._graph.tensors[result].name = f"{op.name}_float".encode()
            operator.outputs = _replaced(operator.outputs, result, output)
            self._insert_after(operator, self._make("DEQUANTIZE", output, result))
        operator.inputs = _replaced(operator.inputs, op.inputs[0], stored)
        if op.kind == "PRELU":
            self._quantize_slope(operator)
        code = self._model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, ABSORBED[op.kind])

    def fold_conversions(self) -> None:
        """DEQUANTIZE then QUANTIZE is one rescaling QUANTIZE; a DEQUANTIZE that nobody reads is nothing."""
        for operator in self._graph.operators:
            if self._kind(operator) == "QUANTIZE":
                before = self._producer(operator.inputs[0])
                if (
                    before is not None
                    and self._kind(before) == "DEQUANTIZE"
                    and self._is_int8(before.inputs[0])
                ):
                    self._join(operator, int(before.inputs[0]))
        reads = Counter(int(i) for each in self._graph.operators for i in each.inputs) + Counter(
            int(i) for i in self._graph.outputs
        )
        self._graph.operators = [
            each
            for each in self._graph.operators
            if self._kind(each) != "DEQUANTIZE" or reads[int(each.outputs[0])]
        ]

    def _join(self, quantize: Any, stored: int) -> None:
        """Let a QUANTIZE read the int8 tensor; where its scale may as well be the op's own, the op writes its result."""
        output = int(quantize.outputs[0])
        maker = self._producer(stored)
        readers = [
            each for each in self._graph.operators if stored in each.inputs and self._kind(each) == "QUANTIZE"
        ]
        if maker is not None and self._kind(maker) in FREE and not readers:
            maker.outputs = _replaced(maker.outputs, stored, output)
            names = self._graph.tensors[stored], self._graph.tensors[output]
            names[0].name, names[1].name = names[1].name, names[0].name  # the op keeps its name
            for each in self._graph.operators:
                each.inputs = _replaced(each.inputs, stored, output)
            self._graph.operators = [each for each in self._graph.operators if each is not quantize]
            return
        quantize.inputs = np.array([stored], np.int32)
        code = self._model.operatorCodes[quantize.opcodeIndex]
        code.version = max(code.version, 2)  # the first that rescales int8 to int8

    def _quantize_slope(self, operator: Any) -> None:
        """PRELU's slope, a constant, as symmetric int8."""
        index = int(operator.inputs[1])
        tensor = self._graph.tensors[index]
        slope = np.frombuffer(bytes(self._model.buffers[tensor.buffer].data), np.float32)
        scale = max(float(np.abs(slope).max(initial=0)) / 127, 1e-9)
        buffer = schema.BufferT()
        buffer.data = np.clip(np.rint(slope / scale), -127, 127).astype(np.int8).view(np.uint8)
        self._model.buffers.append(buffer)
        new = self._add_tensor(f"{self._view.tensor_name(0, index)}_int8", index, _affine(scale, 0))
        self._graph.tensors[new].buffer = len(self._model.buffers) - 1
        operator.inputs = _replaced(operator.inputs, index, new)

    def _producer(self, index: int) -> Any:
        return next((each for each in self._graph.operators if index in each.outputs), None)

    def _kind(self, operator: Any) -> str:
        return self._view.kind(operator)

    def _is_int8(self, index: int) -> bool:
        return bool(self._graph.tensors[index].type == schema.TensorType.INT8)

    def _parameters(self, index: int) -> Any:
        parameters = self._graph.tensors[index].quantization
        return _affine(float(parameters.scale[0]), int(parameters.zeroPoint[0]))

    def _add_tensor(self, name: str, like: int, parameters: Any) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = (
            name.encode(),
            self._graph.tensors[like].shape,
            schema.TensorType.INT8,
        )
        tensor.buffer, tensor.quantization, tensor.hasRank = 0, parameters, True
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _make(self, kind: str, source: int, result: int) -> Any:
        code = getattr(schema.BuiltinOperator, kind)
        codes = self._model.operatorCodes
        index = next(i for i, each in enumerate(codes) if each.builtinCode == code)
        operator = schema.OperatorT()
        operator.opcodeIndex = index
        operator.inputs, operator.outputs = np.array([source], np.int32), np.array([result], np.int32)
        return operator

    def _insert_after(self, operator: Any, new: Any) -> None:
        operators = list(self._graph.operators)
        operators.insert(next(i for i, each in enumerate(operators) if each is operator) + 1, new)
        self._graph.operators = operators


def _replaced(indices: Any, old: int, new: int) -> Any:
    return np.array([new if index == old else index for index in indices], np.int32)


def _parameters(values: dict[str, Any]) -> Any:
    """Asymmetric int8 over a range that includes zero."""
    low, high = min(float(values["min"].min()), 0.0), max(float(values["max"].max()), 0.0)
    scale = max((high - low) / 255, 1e-9)
    return _affine(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def _affine(scale: float, zero_point: int) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint = np.array([scale], np.float32), np.array([zero_point], np.int64)
    return parameters
