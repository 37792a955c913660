"""Making a traced graph readable: weights as initialisers, and names by the module's own paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import onnx
from onnx import helper

from edgefer_export.operators import DOMAIN, OPERATORS

_NAMELESS = re.compile(r"onnx::|.*/Constant|val_\d+$")
_ARGUMENTS = {"Conv": ("input", "weight", "bias"), "Gemm": ("input", "weight", "bias")}


def tidied(model: onnx.ModelProto, *, scope: str) -> onnx.ModelProto:
    """The model, changed in place: no Identity of a weight, no Constant where a weight is meant, names without the
    wrapper's `scope`, and nameless weights named after the first node that reads them."""
    graph = model.graph
    _forward_identities(graph)
    _constants_to_initializers(graph)
    _rename(graph, lambda name: name.removeprefix(f"/{scope}").removeprefix(f"{scope}."))
    _name_weights(graph)
    del graph.value_info[:]
    return model


def _forward_identities(graph: onnx.GraphProto) -> None:
    """Equal weights are merged by the tracer behind an Identity; their readers take the weight itself."""
    weights = {initializer.name for initializer in graph.initializer}
    outside = {value.name for value in graph.output}
    merged: dict[str, str] = {}
    kept = []
    for node in graph.node:
        source = node.input[0] if node.op_type == "Identity" else ""
        source = merged.get(source, source)
        if source in weights and node.output[0] not in outside:
            merged[node.output[0]] = source
        else:
            kept.append(node)
    for node in _with_branches(kept):
        node.input[:] = [merged.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    kept = []
    for node in graph.node:
        value = {attribute.name: attribute for attribute in node.attribute}.get("value")
        if node.op_type == "Constant" and value is not None and value.t.data_type == onnx.TensorProto.FLOAT:
            tensor = helper.get_attribute_value(value)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _name_weights(graph: onnx.GraphProto) -> None:
    named: dict[str, str] = {}
    nameless = {tensor.name for tensor in graph.initializer if _NAMELESS.match(tensor.name)}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in nameless:
                named.setdefault(name, f"{node.name}/{_argument(node, index)}")
    _rename(graph, lambda name: named.get(name, name))


def _rename(graph: onnx.GraphProto, rename: Callable[[str], str]) -> None:
    """Rename nodes, weights and inner tensors; inputs and outputs of the graph stay, and so does all if two names
    would become one."""
    outside = {value.name for value in (*graph.input, *graph.output)}
    inside = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    names = {name: rename(name) for name in inside - outside if name}
    if len(set(names.values()) | outside) != len(names) + len(outside):
        return
    for node in graph.node:
        node.name = rename(node.name)
    for node in _with_branches(graph.node):
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _with_branches(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes and those in their branches and loops, which may read every tensor of the graph around them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _with_branches(attribute.g.node)


def _argument(node: onnx.NodeProto, index: int) -> str:
    arguments = OPERATORS[node.op_type].inputs if node.domain == DOMAIN else _ARGUMENTS.get(node.op_type, ())
    return arguments[index] if index < len(arguments) else f"input_{index}"
