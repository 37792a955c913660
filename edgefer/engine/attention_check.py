"""Whether TensorRT computes self-attention in one fused kernel, read from what it says of its layers.

Self-attention is left to TensorRT, whose fused attention takes MatMul, Softmax and MatMul in one kernel. It does so by
a pattern, and where the pattern is missed nothing fails: the scores are written to memory and read again. So the
graph's patterns are counted, and each is looked for among the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from edgefer.engine.layers import LayerReport

_BETWEEN = ("Mul", "Div", "Add", "Where", "Cast", "Identity", "Dropout", "Reshape")
"""What may lie between the products and the Softmax: a scale, a mask, another type."""
_OF_CONSTANTS = ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Identity")
"""What stored weights may go through before they are multiplied."""
_DEPTH = 6


class AttentionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Self-attention in a graph and in the engine made of it.

    `patterns` is how many times the graph has softmax(Q K) V, `fused` for how many one layer computes both products.
    `unfused` names the Softmax nodes of the others. `known` is False where the layers do not say which nodes they
    come from.
    """

    patterns: int = 0
    fused: int = 0
    unfused: tuple[str, ...] = ()
    known: bool = True

    def text(self) -> str:
        """In a few words; empty for a graph without self-attention."""
        if not self.patterns:
            return ""
        return f"{self.fused} of {self.patterns} fused" if self.known else f"{self.patterns}, fused or not is not known"

    def warnings(self) -> list[str]:
        """What a reader has to know; nothing where every pattern is fused."""
        if not self.known:
            return [f"the layers do not name their nodes: whether {self.patterns} self-attention is fused is not known"]
        if not self.unfused:
            return []
        return [
            f"{len(self.unfused)} of {self.patterns} self-attention runs in several kernels, not in TensorRT's fused "
            f"attention: {', '.join(self.unfused)}; it asks for FP16, for the scale on Q, and for nothing between the "
            "products and the Softmax"
        ]


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the three nodes of softmax(Q K) V."""

    scores: str
    softmax: str
    values: str


def check_attention(onnx_bytes: bytes, layers: Sequence[LayerReport]) -> AttentionCheck:
    """Look for the attention of `onnx_bytes`, which a parser was given, in the layers of the engine. Needs `onnx`."""
    import onnx

    patterns = attention_patterns(onnx.ModelProto.FromString(onnx_bytes))
    if not patterns:
        return AttentionCheck()
    held = [set(layer.onnx) for layer in layers]
    if not any(held):
        return AttentionCheck(patterns=len(patterns), known=False)
    wholes = [{each.scores, each.softmax, each.values} for each in patterns]
    fused = [any(whole <= names for names in held) for whole in wholes]
    unfused = tuple(each.softmax for each, done in zip(patterns, fused, strict=True) if not done)
    return AttentionCheck(patterns=len(patterns), fused=sum(fused), unfused=unfused)


def attention_patterns(model: Any) -> tuple[Pattern, ...]:
    """Every product of two computed tensors whose Softmax is multiplied by a third, in the order of the graph."""
    return tuple(_patterns(model.graph))


def _patterns(graph: Any) -> Iterator[Pattern]:
    found = _Graph(graph)
    for node in graph.node:
        if node.op_type != "Softmax" or node.domain:
            continue
        scores, values = found.before(node.input[0]), found.behind(node.output[0])
        if scores is not None and values is not None:
            yield Pattern(scores=scores.name, softmax=node.name, values=values.name)


class _Graph:
    """Who makes and who reads each tensor, and the products of computed tensors among them."""

    def __init__(self, graph: Any) -> None:
        self._producers = {output: node for node in graph.node for output in node.output}
        self._constants = {each.name for each in graph.initializer}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def before(self, tensor: str, depth: int = _DEPTH) -> Any | None:
        """The product that a tensor comes from."""
        node = self._producers.get(tensor)
        if node is None or not depth or self._is_product(node):
            return node if depth else None
        if node.op_type not in _BETWEEN:
            return None
        found = (self.before(name, depth - 1) for name in node.input)
        return next((each for each in found if each is not None), None)

    def behind(self, tensor: str, depth: int = _DEPTH) -> Any | None:
        """The product that reads a tensor."""
        for node in self._readers.get(tensor, []) if depth else []:
            if self._is_product(node):
                return node
            found = self.behind(node.output[0], depth - 1) if node.op_type in _BETWEEN else None
            if found is not None:
                return found
        return None

    def _is_product(self, node: Any) -> bool:
        """Whether a node multiplies two matrices that are both computed: a linear layer has weights on one side."""
        return node.op_type == "MatMul" and not node.domain and not any(map(self._is_constant, node.input))

    def _is_constant(self, tensor: str) -> bool:
        node = self._producers.get(tensor)
        if tensor in self._constants or (node is not None and node.op_type == "Constant"):
            return True
        return node is not None and node.op_type in _OF_CONSTANTS and self._is_constant(node.input[0])
