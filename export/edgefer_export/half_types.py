"""Which operands of a node may be float16, read from ONNX's schemas and from the bodies of model-local functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, defs, helper

from edgefer_export.operators import DOMAIN

_HALF = "tensor(float16)"
_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class NodeRule:
    """For each formal input and output, whether float16 is allowed; the last one stands for all that follow it."""

    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]

    def takes(self, index: int) -> bool:
        return _at(self.inputs, index)

    def gives(self, index: int) -> bool:
        return _at(self.outputs, index)


_ALL = NodeRule((True,), (True,))
_NONE = NodeRule((False,), (False,))


class HalfRules:
    """The rules for the nodes of one model.

    A function is taken in half precision where its body computes in whatever it is given: ours do. Operators that
    neither ONNX nor the model describes stay in float32.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._opsets = {entry.domain: int(entry.version) for entry in model.opset_import}
        self._polymorphic = {
            (function.domain, function.name): _is_polymorphic(function) for function in model.functions
        }

    def of(self, node: onnx.NodeProto) -> NodeRule:
        """The rule for `node`."""
        key = (node.domain, node.op_type)
        if key in self._polymorphic or node.domain == DOMAIN:
            return _ALL if self._polymorphic.get(key, True) else _NONE
        if node.domain not in _STANDARD:
            return _NONE
        # Operators of domain "" are imported under that name or under ai.onnx.
        version = self._opsets.get("", self._opsets.get("ai.onnx", 1))
        schema = defs.get_schema(node.op_type, version, "")
        inputs = tuple(_HALF in formal.types for formal in schema.inputs)
        outputs = tuple(_HALF in formal.types for formal in schema.outputs)
        if not _follows_inputs(node):
            outputs = (False,)
        return NodeRule(inputs or (False,), outputs or (False,))


def has_subgraph(node: onnx.NodeProto) -> bool:
    """Whether the node holds graphs of its own (If, Loop, Scan)."""
    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attribute)


def scale_inputs(node: onnx.NodeProto) -> frozenset[int]:
    """Which inputs are scales of a quantisation, where zero is not a value."""
    return frozenset({1}) if node.op_type in ("QuantizeLinear", "DequantizeLinear") else frozenset()


def _follows_inputs(node: onnx.NodeProto) -> bool:
    """Whether the output's type is ours to change, and not fixed by an attribute that says float."""
    if node.op_type == "ConstantOfShape":
        return any(attribute.name == "value" for attribute in node.attribute)
    return all(attribute.name != "dtype" for attribute in node.attribute)


def _is_polymorphic(function: onnx.FunctionProto) -> bool:
    return not any(_fixes_float(node) for node in function.node)


def _fixes_float(node: onnx.NodeProto) -> bool:
    for attribute in node.attribute:
        if attribute.name == "to" and node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
            return True
        if node.op_type in ("Constant", "ConstantOfShape"):
            value = helper.get_attribute_value(attribute)
            if attribute.name.startswith("value_float") or getattr(value, "data_type", 0) == TensorProto.FLOAT:
                return True
    return has_subgraph(node) or any(attribute.name == "dtype" for attribute in node.attribute)


def _at(flags: Sequence[bool], index: int) -> bool:
    return flags[min(index, len(flags) - 1)]
