"""The five operators: inputs in their order, attributes, and what a particular node uses of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgefer.errors import ExportError

DOMAIN = "edgefer"
DOMAIN_VERSION = 1
PLUGIN_VERSION = "1"
OPSET = 19
IR_VERSION = 9

AttributeValue = int | float | str


@dataclass(frozen=True)
class Operator:
    """One operator. `inputs` that may be left out are in `optional`; `attributes` maps each to its default.

    A node also has `plugin_version` and `plugin_namespace`, by which TensorRT's parser finds a plugin.
    """

    name: str
    meaning: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, AttributeValue]
    optional: frozenset[str] = frozenset()

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(name for name in self.inputs if name not in self.optional)


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator(
            "CbamAttention",
            "channel gate from average and maximum through a shared MLP, then spatial gate from the channels' maximum "
            "and mean (in this order in Ws), both applied to X; plus R; ReLU if asked",
            ("X", "W1", "b1", "W2", "b2", "Ws", "bs", "R"),
            "Y",
            {"spatial_kernel": 7, "relu": 0},
            frozenset({"R"}),
        ),
        Operator(
            "ChannelGate",
            "squeeze-and-excite: X times the gate of W2 relu(W1 mean(X) + b1) + b2",
            ("X", "W1", "b1", "W2", "b2"),
            "Y",
            {"gate": "sigmoid", "alpha": 0.2, "beta": 0.5},
            frozenset({"b1", "b2"}),
        ),
        Operator(
            "GatedPool",
            "p = mean of F over H and W; p times the sigmoid of W p + b, or of W p² + b where square",
            ("F", "W", "b"),
            "f",
            {"square": 0},
        ),
        Operator(
            "GatedFusion",
            "two GatedPools side by side or interleaved; P (visible, infrared) masks a missing modality",
            ("Fv", "Fi", "Wv", "bv", "Wi", "bi", "P"),
            "f",
            {"square_visible": 0, "square_infrared": 0, "interleave": 0},
            frozenset({"P"}),
        ),
        Operator(
            "LocalGate",
            "Z + Z times the sigmoid of a point-wise C to C/r to C bottleneck, then the mean over H and W",
            ("Z", "W1", "b1", "W2", "b2"),
            "f",
            {},
        ),
    )
}


@dataclass(frozen=True)
class Variant:
    """What one node uses of its operator: the values of all attributes and the inputs it has.

    Two nodes of one variant share a function body.
    """

    operator: str
    attributes: tuple[tuple[str, AttributeValue], ...]
    present: frozenset[str]

    def __getitem__(self, attribute: str) -> AttributeValue:
        return dict(self.attributes)[attribute]

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.attributes]
        left_out = [name for name in OPERATORS[self.operator].inputs if name not in self.present]
        words += [f"without {name}" for name in left_out]
        return f"{self.operator}({', '.join(words)})"


def variant(operator: str, present: frozenset[str] | None = None, **attributes: AttributeValue) -> Variant:
    """The variant of `operator` with these inputs (all, unless said) and attributes (defaults where left out)."""
    signature = OPERATORS[operator]
    values = {name: _single(attributes.get(name, default)) for name, default in signature.attributes.items()}
    if values.get("gate") == "sigmoid":
        # They shape the hard sigmoid alone, so they make no difference here.
        values.update(alpha=signature.attributes["alpha"], beta=signature.attributes["beta"])
    return Variant(operator, tuple(values.items()), frozenset(signature.inputs) if present is None else present)


def _single(value: AttributeValue) -> AttributeValue:
    # ONNX keeps attributes in single precision: 0.2 that went through a file must equal 0.2 that did not.
    return float(str(np.float32(value))) if isinstance(value, float) else value


def variant_of(node: onnx.NodeProto) -> Variant:
    """The variant that a node of this domain uses.

    Raises:
        ExportError: no such operator, a required input is left out, or an attribute has no meaning.
    """
    signature = OPERATORS.get(node.op_type)
    if signature is None:
        raise ExportError(
            f"node {node.name!r}: domain {DOMAIN} has no operator {node.op_type}",
            hint=f"it has {', '.join(OPERATORS)}",
        )
    present = frozenset(name for name, value in zip(signature.inputs, node.input, strict=False) if value)
    missing = [name for name in signature.required if name not in present]
    if missing or len(node.input) > len(signature.inputs):
        found = f"is without {', '.join(missing)}" if missing else f"has {len(node.input)} inputs"
        raise ExportError(
            f"node {node.name!r}: {node.op_type} {found}",
            hint=f"expected {', '.join(signature.inputs)}; {', '.join(sorted(signature.optional)) or 'none'} optional",
        )
    given: dict[str, AttributeValue] = {}
    for attribute in node.attribute:
        if attribute.name in ("plugin_version", "plugin_namespace"):
            continue
        value = helper.get_attribute_value(attribute)
        given[attribute.name] = value.decode() if isinstance(value, bytes) else value
    _check(node, signature, given)
    return variant(node.op_type, present, **given)


def _check(node: onnx.NodeProto, signature: Operator, given: Mapping[str, AttributeValue]) -> None:
    unknown = sorted(set(given) - set(signature.attributes))
    if unknown:
        raise ExportError(
            f"node {node.name!r}: {node.op_type} has no attribute {', '.join(unknown)}",
            hint=f"it has {', '.join(signature.attributes) or 'none'}",
        )
    kernel = given.get("spatial_kernel", 1)
    if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
        raise ExportError(f"node {node.name!r}: spatial_kernel is {kernel}", hint="expected an odd whole number")
    if given.get("gate", "sigmoid") not in ("sigmoid", "hard_sigmoid"):
        raise ExportError(f"node {node.name!r}: gate is {given['gate']!r}", hint="expected sigmoid or hard_sigmoid")
