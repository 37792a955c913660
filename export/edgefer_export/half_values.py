"""Weights and constants in half precision, with a word about each that half precision cannot hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefer.errors import ExportError
from edgefer_export.half_types import NodeRule

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
LARGEST = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
# Below its normal range half precision has fewer digits; a scale that far off shifts what it scales.
_SCALE_ERROR = 0.01


class HalfWeights:
    """The float32 initialisers of a graph, and which of them are read in which precision."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        inputs = {value.name for value in graph.input}
        self._tensors = {
            tensor.name: tensor
            for tensor in graph.initializer
            if tensor.data_type == FLOAT and tensor.name not in inputs
        }
        self._half: dict[str, str] = {}
        self._single: set[str] = set()
        self._scales: set[str] = set()
        self.notes: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def read(self, name: str, wanted: int, fresh: Callable[[str], str], *, scale: bool) -> str:
        """The name under which weight `name` is read in the wanted precision."""
        if wanted == FLOAT:
            self._single.add(name)
            return name
        if scale:
            self._scales.add(name)
        if name not in self._half:
            self._half[name] = fresh(f"{name}_half")
        return self._half[name]

    def write(self, outputs: set[str]) -> None:
        """Put the weights into the graph, each in the precisions it is read in.

        A weight that is read in half precision alone keeps its own name.
        """
        single = self._single | (outputs & set(self._tensors))
        kept = [tensor for tensor in self._graph.initializer if tensor.name not in self._half or tensor.name in single]
        halves = []
        for name, half in self._half.items():
            values = numpy_helper.to_array(self._tensors[name])
            halves.append(numpy_helper.from_array(self._rounded(values, name), half if name in single else name))
        names = {half: name for name, half in self._half.items() if name not in single}
        for node in self._graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
        del self._graph.initializer[:]
        self._graph.initializer.extend([*kept, *halves])

    def convert_attributes(self, node: onnx.NodeProto, rule: NodeRule) -> None:
        """Turn what fixes float32 in a node's attributes to float16: constants and the target of a cast."""
        if not rule.gives(0):
            return
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = HALF
            elif node.op_type in ("Constant", "ConstantOfShape"):
                self._convert_constant(node, attribute)

    def _convert_constant(self, node: onnx.NodeProto, attribute: onnx.AttributeProto) -> None:
        value = helper.get_attribute_value(attribute)
        if attribute.name in ("value_float", "value_floats"):
            values = np.asarray(value, np.float32)
        elif attribute.name == "value" and value.data_type == FLOAT:
            values = numpy_helper.to_array(value)
        else:
            return
        half = numpy_helper.from_array(self._rounded(values, node.output[0]))
        attribute.CopyFrom(helper.make_attribute("value", half))

    def _rounded(self, values: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float16]:
        """The nearest float16 values: finite ones stay finite, and a scale stays above zero."""
        if not np.isfinite(values).all():
            raise ExportError(
                f"{name} holds NaN or infinity", hint="the network cannot compute with it in any precision"
            )
        size = np.abs(values)
        if size.size and size.max() > LARGEST:
            clipped = int((size > LARGEST).sum())
            self.notes.append(
                f"{name}: {clipped} of {size.size} values clipped to {LARGEST:g}, the largest was {size.max():g}"
            )
        if name in self._scales:
            self._note_scale(values, name)
            values = np.maximum(values, np.float32(SMALLEST))
        rounded: npt.NDArray[np.float16] = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
        return rounded

    def _note_scale(self, scales: npt.NDArray[np.float32], name: str) -> None:
        if scales.size == 0 or scales.min() <= 0:
            raise ExportError(f"{name} holds a scale that is not above zero", hint="calibrate again")
        kept = np.clip(scales, SMALLEST, LARGEST).astype(np.float16).astype(np.float64)
        error = float((np.abs(kept - scales) / scales).max())
        if error > _SCALE_ERROR:
            self.notes.append(f"{name}: scale as small as {scales.min():.1e} is off by {100 * error:.0f} % in float16")
