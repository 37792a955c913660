"""An ONNX graph as a PyTorch module: one call of PyTorch for each operator, with the graph's own weights.

The network is not built again from its name: batch norms are folded when it is exported, so the weights would no longer
fit, and a user's own network may not be at hand. The module is what `torch.fx` makes of the graph, ordinary PyTorch
that runs eagerly and compiles; batch norms being folded is in PyTorch's favour.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

from edgefer.benchmark.rivals.torch_operators import CALLS, Arguments, Unsupported

__all__ = ["Unsupported", "module_of"]


def module_of(onnx_bytes: bytes) -> Any:
    """The `torch.fx.GraphModule` of a graph without model-local functions. It takes the graph's inputs in their order
    and gives a tuple of its outputs.

    Raises:
        Unsupported: an operator, or a form of one, has no call here; all of them are named.
    """
    import onnx
    import torch

    model = onnx.load_model_from_string(onnx_bytes)
    missing = sorted({f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in model.graph.node} - CALLS.keys())
    if missing:
        raise Unsupported(f"no call of PyTorch is known for {', '.join(missing)}")
    builder = _Builder(onnx, torch, model.graph)
    for node in model.graph.node:
        builder.add(node)
    return builder.module([output.name for output in model.graph.output])


class _Builder:
    """Values by name in the making: constants as tensors, what is computed as nodes of a `torch.fx.Graph`."""

    def __init__(self, onnx: Any, torch: Any, graph: Any) -> None:
        self._onnx, self._torch = onnx, torch
        self._graph = torch.fx.Graph()
        self._root = torch.nn.Module()
        self._constants: dict[str, Any] = {
            each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in graph.initializer
        }
        self._values: dict[str, Any] = {
            each.name: self._graph.placeholder(f"input_{index}")
            for index, each in enumerate(graph.input)
            if each.name not in self._constants
        }

    def add(self, node: Any) -> None:
        """Add the call for a node; one whose operands are all constant is computed now."""
        attributes = {each.name: self._onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Constant":
            self._constants[node.output[0]] = self._constant(attributes)
            return
        arguments = Arguments(
            tuple(node.input),
            attributes,
            {name: self._constants[name] for name in node.input if name in self._constants},
        )
        function, words = CALLS[node.op_type](self._torch, arguments, len(node.output))
        operands = [name for name in arguments.operands if name]
        if operands and all(name in self._constants for name in operands):
            result = function(*[self._constants[name] for name in arguments.operands if name], **words)
            self._keep(node, result, self._constants)
            return
        given = tuple(self._value(name) for name in arguments.operands)
        self._keep(node, self._graph.call_function(function, given, dict(words)), self._values)

    def module(self, outputs: list[str]) -> Any:
        """The finished module."""
        self._graph.output(tuple(self._value(name) for name in outputs))
        self._graph.lint()
        return self._torch.fx.GraphModule(self._root, self._graph).eval().requires_grad_(False)

    def _keep(self, node: Any, result: Any, values: dict[str, Any]) -> None:
        if len(node.output) == 1:
            values[node.output[0]] = result
            return
        for index, name in enumerate(node.output):
            # Of a node of the graph, taking a part is a call of its own.
            computed = isinstance(result, self._torch.fx.Node)
            values[name] = self._graph.call_function(operator.getitem, (result, index)) if computed else result[index]

    def _value(self, name: str) -> Any:
        """The node of a value; a constant becomes a parameter of the module on first use."""
        if not name:
            return None
        if name not in self._values:
            attribute = f"constant_{len(list(self._root.parameters())) + len(list(self._root.buffers()))}"
            self._root.register_buffer(attribute, self._constants[name])
            self._values[name] = self._graph.get_attr(attribute)
        return self._values[name]

    def _constant(self, attributes: Mapping[str, Any]) -> Any:
        (value,) = attributes.values()
        if "value" in attributes:
            return self._torch.from_numpy(self._onnx.numpy_helper.to_array(value).copy())
        if isinstance(value, (str, bytes)) or (isinstance(value, float) and not math.isfinite(value)):
            raise Unsupported("a constant that is neither numbers nor a tensor")
        return self._torch.tensor(value)
