"""FP16 in the graph itself: weights in half precision, casts at the inputs and outputs, which stay float32.

TensorRT takes precisions from the graph alone when networks are strongly typed, so the casts are the request. Every
tensor that ONNX lets be float16 becomes so; which those are is read from the operators' schemas.

onnxconverter_common (1.16) has the same aim and is not used: it gives invalid graphs where an output is also read
inside, where nodes have no names, where a Cast to float occurs, and where a weight is read by an operator that takes
float16 and by one that does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from edgefer.errors import ExportError
from edgefer_export.half_types import HalfRules, has_subgraph, scale_inputs
from edgefer_export.half_values import HalfWeights

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@dataclass(frozen=True)
class HalfResult:
    """A graph in half precision, and a note for each value that half precision could not hold."""

    model: onnx.ModelProto
    notes: tuple[str, ...]


def to_half(model: onnx.ModelProto) -> HalfResult:
    """A copy of `model` that computes in float16 between float32 inputs and outputs.

    Quantised graphs stay so: Q and DQ nodes keep their integers and take float16 scales (opset 19 and later). Functions
    and their nodes stay. On trained networks the result agrees with float32 to about 1e-2 of the largest logit.

    Raises:
        ExportError: the graph has branches or loops, holds weights that are not finite, or was of float16 already.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ExportError("the graph's types cannot be inferred", details=str(error)[:500]) from error
    nested = [node.name or node.op_type for node in inferred.graph.node if has_subgraph(node)]
    if nested:
        raise ExportError(
            f"half precision is not written for branches and loops, found {', '.join(nested[:10])}",
            hint="build in fp32 or int8, or export the network without them",
        )
    conversion = _Conversion(inferred)
    conversion.run()
    result = conversion.model
    try:
        result = onnx.shape_inference.infer_shapes(result, strict_mode=True, data_prop=True)
        onnx.checker.check_model(result, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ExportError("the graph is not valid in half precision", details=str(error)[:500]) from error
    return HalfResult(result, tuple(conversion.weights.notes))


class _Conversion:
    """One pass over the nodes in their order. `stored` says in which precision each tensor is on its way."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.weights = HalfWeights(model.graph)
        self._rules = HalfRules(model)
        self._types = _element_types(model.graph)
        self._outputs = {value.name for value in model.graph.output}
        self._names = _all_names(model.graph)
        self._renamed: dict[str, str] = {}
        self._stored: dict[str, int] = {}
        self._cast: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        nodes = list(self.graph.node)
        for node in nodes:
            self._convert(node)
        for name in self._renamed:
            self._nodes.append(self._cast_node(self._renamed[name], name, FLOAT))
        del self.graph.node[:]
        self.graph.node.extend(self._nodes)
        del self.graph.value_info[:]
        self.weights.write(self._outputs)

    def _convert(self, node: onnx.NodeProto) -> None:
        rule = self._rules.of(node)
        scales = scale_inputs(node)
        for index, name in enumerate(list(node.input)):
            if self._types.get(name) == FLOAT:
                wanted = HALF if rule.takes(index) else FLOAT
                node.input[index] = self._read(name, wanted, scale=index in scales)
        self.weights.convert_attributes(node, rule)
        for index, name in enumerate(list(node.output)):
            if self._types.get(name) == FLOAT and rule.gives(index):
                self._stored[name] = HALF
                node.output[index] = self._written(name)
        self._nodes.append(node)

    def _read(self, name: str, wanted: int, *, scale: bool) -> str:
        """The name under which a node reads float tensor `name` in the precision that it wants."""
        if name in self.weights:
            return self.weights.read(name, wanted, self._fresh, scale=scale)
        stored = self._stored.get(name, FLOAT)
        if stored == wanted:
            return self._renamed.get(name, name)
        source = self._renamed.get(name, name)
        key = (name, wanted)
        if key not in self._cast:
            self._cast[key] = self._fresh(f"{name}_{'half' if wanted == HALF else 'single'}")
            self._nodes.append(self._cast_node(source, self._cast[key], wanted))
        return self._cast[key]

    def _written(self, name: str) -> str:
        # An output of the graph keeps its name for the float32 that leaves; inside, its half has another.
        if name not in self._outputs:
            return name
        return self._renamed.setdefault(name, self._fresh(f"{name}_half"))

    def _cast_node(self, source: str, target: str, to: int) -> onnx.NodeProto:
        return helper.make_node("Cast", [source], [target], self._fresh(f"{target}/Cast"), to=to)

    def _fresh(self, name: str) -> str:
        number, candidate = 0, name
        while candidate in self._names:
            number += 1
            candidate = f"{name}_{number}"
        self._names.add(candidate)
        return candidate


def _element_types(graph: onnx.GraphProto) -> dict[str, int]:
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: int(value.type.tensor_type.elem_type) for value in values}
    types.update({tensor.name: int(tensor.data_type) for tensor in graph.initializer})
    return types


def _all_names(graph: onnx.GraphProto) -> set[str]:
    tensors = {name for node in graph.node for name in (*node.input, *node.output)}
    return tensors | {node.name for node in graph.node} | {value.name for value in (*graph.input, *graph.output)}
