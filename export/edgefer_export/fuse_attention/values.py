"""What is known of a tensor of a graph: its producer, its sizes, its readers, its values where it is constant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnxscript import ir

Weights = npt.NDArray[np.float32]
Dims = tuple[int | str | None, ...]
"""Sizes; text is a size that several tensors share by name, None one of which nothing is known."""

Trail = dict[ir.Node, None]
"""The nodes that a reader went through, in that order."""

STANDARD = ("", "ai.onnx")


class NoMatch(Exception):
    """A spelling that is not read as an attention block; the message says what was found."""


def producer(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """The node of the standard domain that makes `value`, where it is one of `operators`, or any if none is named."""
    node = value.producer() if value is not None else None
    if node is None or node.domain not in STANDARD or value is not node.outputs[0]:
        return None
    return node if not operators or node.op_type in operators else None


def described(value: ir.Value | None) -> str:
    """What makes `value`, in a word for a sentence: an operator, or the activation that two operators spell."""
    node = producer(value)
    if node is None:
        return "an input" if constant(value) is None else "a constant"
    if node.op_type == "Mul":
        for one, other in _both(node):
            gate = producer(one, "Sigmoid", "HardSigmoid")
            if gate is not None and gate.inputs[0] is other:
                return "Swish" if gate.op_type == "Sigmoid" else "HardSwish"
    return node.op_type


def constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """The values of a tensor that is the same in every run; None for any other."""
    if value is None or value.is_graph_input():
        return None
    node = producer(value, "Identity")
    if node is not None:
        return constant(node.inputs[0])
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def weights(value: ir.Value | None, what: str) -> Weights:
    """The values of a constant of float32.

    Raises:
        NoMatch: it is something else.
    """
    array = constant(value)
    if array is None:
        raise NoMatch(f"{what} are not constant")
    if array.dtype != np.float32:
        raise NoMatch(f"{what} are {array.dtype}, not float32")
    return array


def scalar(value: ir.Value | None) -> float | None:
    """The one number of a constant of a single element; None for anything else."""
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def with_constant(node: ir.Node) -> tuple[ir.Value, npt.NDArray[Any]] | None:
    """The computed input of a node of two inputs, and the constant other one; None where it is not one of each."""
    for value, other in _both(node):
        array = constant(other)
        if array is not None and constant(value) is None:
            return value, array
    return None


def computed_inputs(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """Both inputs of a node of two, where neither is constant."""
    pairs = _both(node)
    if not pairs or any(constant(value) is not None for value in pairs[0]):
        return None
    return pairs[0]


def orders(node: ir.Node) -> tuple[tuple[ir.Value, ir.Value], ...]:
    """The two computed inputs of a commutative node in both orders."""
    pair = computed_inputs(node)
    return () if pair is None else (pair, (pair[1], pair[0]))


def _both(node: ir.Node) -> tuple[tuple[ir.Value, ir.Value], ...]:
    if len(node.inputs) != 2 or node.inputs[0] is None or node.inputs[1] is None:
        return ()
    first, second = node.inputs[0], node.inputs[1]
    return ((first, second), (second, first))


def dims(value: ir.Value | None) -> Dims | None:
    """The sizes of a tensor, None where not even their number is known."""
    if value is None or value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else size.value for size in value.shape)


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """The value of an attribute, lists as tuples."""
    found = node.attributes.get(name)
    if found is None:
        return default
    value = found.value
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value


def readers(value: ir.Value) -> list[ir.Node]:
    """The nodes that read a tensor, each once, those of branches and loops included."""
    return list(dict.fromkeys(use.node for use in value.uses()))


def only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads a tensor, where it is in the same graph and the caller does not read it; else None."""
    found, node = readers(value), value.producer()
    if len(found) != 1 or value.is_graph_output() or (node is not None and found[0].graph is not node.graph):
        return None
    return found[0]


def closed(nodes: Iterable[ir.Node], root: ir.Node) -> bool:
    """Whether what the nodes compute is read by them alone, but for what `root` gives."""
    inside = set(nodes)
    return all(
        not value.is_graph_output() and inside.issuperset(readers(value))
        for node in inside - {root}
        for value in node.outputs
    )
