"""Graphs that come quantised: taken as they are, repaired where TensorRT's parser would refuse them, or refused.

TensorRT takes Q/DQ with constant positive scales, of INT8, with zero points of 0. Common forms are equal to that
exactly: unsigned codes around 128 are signed codes around 0, and constants in any other codes (biases of 32 bits,
asymmetric weights) are their floating-point values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from edgefer.bundle.manifest import Precision
from edgefer.errors import ExportError
from edgefer_export.foreign.wellformed import label, tensors_within
from edgefer_export.quantise.graph_index import GraphIndex, UniqueNames, nodes_within

QDQ = ("QuantizeLinear", "DequantizeLinear")
_REFUSED = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})
_MIDDLE = 128


def precision_of(model: onnx.ModelProto) -> Precision:
    """The precision that a graph is written in: `int8` with Q/DQ, `fp16` with tensors of half precision, or both."""
    nodes = list(nodes_within(model.graph))
    int8 = any(node.op_type in QDQ for node in nodes)
    half = any(tensor.data_type == TensorProto.FLOAT16 for _, tensor in tensors_within(model.graph))
    half = half or any(value.type.tensor_type.elem_type == TensorProto.FLOAT16 for value in model.graph.input)
    half = half or any(
        attribute.name == "to" and attribute.i == TensorProto.FLOAT16
        for node in nodes
        if node.op_type == "Cast"
        for attribute in node.attribute
    )
    if int8:
        return "int8+fp16" if half else "int8"
    return "fp16" if half else "fp32"


def check_integer_operators(graph: onnx.GraphProto, where: str) -> None:
    """Refuse operators that compute on codes themselves.

    Raises:
        ExportError: naming the first.
    """
    for node in nodes_within(graph):
        if node.op_type in _REFUSED:
            raise ExportError(
                f"{where}: {label(node)} computes on integer codes, which TensorRT does not take",
                hint="quantise in the Q/DQ format (QuantFormat.QDQ), or give the network before it was quantised",
            )


def repaired(model: onnx.ModelProto, where: str) -> tuple[str, ...]:
    """Rewrite Q/DQ of a model, in place, into what TensorRT takes; sentences on what was changed.

    Raises:
        ExportError: a Q/DQ node that has no equal of that form; the message names it.
    """
    repair = _Repair(model.graph, where)
    notes = []
    repair.store_codes()
    shifted = sum([repair.shift(node) for node in model.graph.node if node.op_type in QDQ])
    floats = repair.floats()
    if floats:
        notes.append(f"{floats} constants in codes that TensorRT does not take (such as 32-bit biases) became floats")
    if shifted:
        notes.append(f"{shifted} Q/DQ nodes of unsigned codes around {_MIDDLE} became signed around 0, which is equal")
    for node in model.graph.node:
        if node.op_type in QDQ:
            repair.check(node)
    repair.finish()
    return tuple(notes)


class _Repair:
    def __init__(self, graph: onnx.GraphProto, where: str) -> None:
        self._graph = graph
        self._where = where
        self._constants = GraphIndex(graph)
        self._names = UniqueNames(graph)
        self._added: list[onnx.TensorProto] = []
        self._new: dict[str, onnx.TensorProto] = {}
        self._moved: dict[str, str] = {}

    def store_codes(self) -> None:
        """Replace each Q of a constant by its codes."""
        for node in list(self._graph.node):
            if node.op_type == "QuantizeLinear" and self._known(node.input[0]):
                values = self._value(node.input[0])
                scale, zero = self._along_axis(node, values.ndim)
                limits = np.iinfo(zero.dtype)
                codes = np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(zero.dtype)
                self._replace(node, codes)

    def floats(self) -> int:
        """Replace each DQ of constant codes that TensorRT does not take by the values; how many there were."""
        count = 0
        for node in list(self._graph.node):
            if node.op_type != "DequantizeLinear" or not self._known(node.input[0]):
                continue
            codes = self._value(node.input[0])
            scale, zero = self._along_axis(node, codes.ndim, codes.dtype)
            if codes.dtype == np.int8 and not zero.any():
                continue
            count += 1
            # As onnxruntime computes it: the difference of the codes, as a float, times the scale.
            self._replace(node, (codes.astype(np.int64) - zero).astype(scale.dtype) * scale)
        return count

    def shift(self, node: onnx.NodeProto) -> bool:
        """Turn unsigned codes around 128 into signed ones around 0: of the zero point, and of codes that are stored."""
        zero = self._zero(node)
        if zero is None or zero.dtype != np.uint8 or not (zero == _MIDDLE).all():
            return False
        node.input[2] = self._stored(node.input[2], np.zeros(zero.shape, np.int8))
        if node.op_type == "DequantizeLinear" and self._known(node.input[0]):
            codes = self._value(node.input[0])
            node.input[0] = self._stored(node.input[0], (codes.astype(np.int16) - _MIDDLE).astype(np.int8))
        return True

    def check(self, node: onnx.NodeProto) -> None:
        """Refuse what TensorRT would."""
        scale = self._array(node, 1)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise self._refused(node, "has a scale that is not positive", "calibrate and quantise again")
        zero = self._zero(node)
        if zero is None:
            if node.op_type == "QuantizeLinear":
                raise self._refused(node, "quantises to unsigned codes from 0", _SYMMETRIC)
            return
        if zero.dtype == np.uint8:
            around = sorted(set(zero.reshape(-1).tolist()))[:4]
            raise self._refused(node, f"has unsigned codes around {', '.join(map(str, around))}", _SYMMETRIC)
        if zero.dtype != np.int8:
            raise self._refused(node, f"has codes of type {zero.dtype}", "quantise to signed 8 bits")
        if zero.any():
            raise self._refused(node, f"is asymmetric: its zero point is {zero.reshape(-1)[0]}", _SYMMETRIC)

    def finish(self) -> None:
        """Put the new weights in, and drop the old ones that nothing reads."""
        self._graph.initializer.extend(self._added)
        read = {name for node in nodes_within(self._graph) for name in node.input}
        read |= {value.name for value in self._graph.output}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in read]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)

    def _replace(self, node: onnx.NodeProto, values: npt.NDArray[Any]) -> None:
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), node.output[0])
        self._added.append(tensor)
        self._new[tensor.name] = tensor
        self._graph.node.remove(node)

    def _along_axis(
        self, node: onnx.NodeProto, rank: int, codes: npt.DTypeLike = np.uint8
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Scale and zero point in the shape in which they go with a tensor of `rank` axes."""
        scale = self._array(node, 1)
        zero = self._zero(node)
        zero = np.zeros(scale.shape, codes) if zero is None else zero
        if scale.ndim != 1 or rank < 2 or scale.size == 1:
            return scale.reshape(()) if scale.size == 1 else scale, zero.reshape(()) if zero.size == 1 else zero
        axis = next((int(each.i) for each in node.attribute if each.name == "axis"), 1)
        sizes = [-1 if index == axis % rank else 1 for index in range(rank)]
        return scale.reshape(sizes), zero.reshape(sizes)

    def _known(self, name: str) -> bool:
        return name in self._new or self._constants.is_constant(name)

    def _value(self, name: str) -> npt.NDArray[Any]:
        return numpy_helper.to_array(self._new[name]) if name in self._new else self._constants.constant_array(name)

    def _stored(self, name: str, values: npt.NDArray[Any]) -> str:
        if name not in self._moved:
            self._moved[name] = self._names.take(f"{name}_signed")
            tensor = numpy_helper.from_array(values, self._moved[name])
            self._added.append(tensor)
            self._new[tensor.name] = tensor
        return self._moved[name]

    def _zero(self, node: onnx.NodeProto) -> npt.NDArray[Any] | None:
        return self._array(node, 2) if len(node.input) > 2 and node.input[2] else None

    def _array(self, node: onnx.NodeProto, index: int) -> npt.NDArray[Any]:
        name = node.input[index]
        if not self._known(name):
            what = "scale" if index == 1 else "zero point"
            raise self._refused(node, f"has a {what} that is computed", "quantise with ranges from calibration data")
        return self._value(name)

    def _refused(self, node: onnx.NodeProto, what: str, hint: str) -> ExportError:
        return ExportError(f"{self._where}: {label(node)} {what}, which TensorRT does not take", hint=hint)


_SYMMETRIC = "quantise symmetrically to signed codes (ActivationSymmetric=True, QuantType.QInt8)"
