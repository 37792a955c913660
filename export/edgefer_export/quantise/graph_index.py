"""Look-ups in an ONNX graph that the quantiser needs: constants, consumers, unique names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

ONNX_DOMAINS = ("", "ai.onnx")


class GraphIndex:
    """A read-only view of a main graph; subgraphs of control flow are searched for what they capture, no more."""

    def __init__(self, graph: GraphProto) -> None:
        overridable = {value.name for value in graph.input}
        self._tensors: dict[str, TensorProto] = {
            tensor.name: tensor for tensor in graph.initializer if tensor.name not in overridable
        }
        self._aliases: dict[str, str] = {}
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ONNX_DOMAINS:
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._tensors[node.output[0]] = attribute.t
            elif node.op_type == "Identity" and node.domain in ONNX_DOMAINS and self.is_constant(node.input[0]):
                # Exporters write a weight that two layers share once, and an Identity for the second layer.
                self._aliases[node.output[0]] = self._resolve(node.input[0])

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is known before any input is."""
        return self._resolve(name) in self._tensors

    def constant_name(self, name: str) -> str:
        """The initialiser or constant that `name` stands for, so that users of one weight are found to share it."""
        return self._resolve(name)

    def constant_tensor(self, name: str) -> TensorProto:
        """The tensor of a constant; shape and type are in it without a copy of the values."""
        return self._tensors[self._resolve(name)]

    def constant_array(self, name: str) -> np.ndarray:
        """The values of a constant."""
        return numpy_helper.to_array(self.constant_tensor(name))

    def _resolve(self, name: str) -> str:
        return self._aliases.get(name, name)


def required_inputs(graph: GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller has to feed: those without a default."""
    defaults = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in defaults]


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def nodes_within(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes of a graph and of the subgraphs in it."""
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from nodes_within(body)


def names_read(graph: GraphProto) -> set[str]:
    """Every tensor that something reads: a node, a node of a subgraph, or the caller."""
    read = {name for node in nodes_within(graph) for name in node.input}
    read.update(value.name for value in graph.output)
    for node in nodes_within(graph):
        for body in subgraphs(node):
            read.update(value.name for value in body.output)
    return read


class UniqueNames:
    """Gives out tensor and node names that the graph, subgraphs included, does not use yet; the same each time."""

    def __init__(self, graph: GraphProto) -> None:
        self._taken = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
        for node in nodes_within(graph):
            self._taken.update((node.name, *node.input, *node.output))
            for body in subgraphs(node):
                self._taken.update(tensor.name for tensor in body.initializer)
                self._taken.update(value.name for value in body.input)

    def take(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted_1`, `wanted_2`, ... that is free."""
        name, number = wanted, 0
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def name_nodes(graph: GraphProto) -> None:
    """Give each unnamed node of the main graph a name, from its operator and its place."""
    names = UniqueNames(graph)
    for index, node in enumerate(graph.node):
        if not node.name:
            node.name = names.take(f"{node.op_type}_{index}")
