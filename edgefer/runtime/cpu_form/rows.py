"""Images as rows of channels: (N, C, H, W) kept as (N · H · W, C), in which products give and take them.

What is computed element by element is computed on the rows, so that a residual network stays in them from its first
product to its last; the image itself is written only where something asks for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefer.runtime.cpu_form.model import Model, read_by

_UNARY = ("Relu", "QuantizeLinear", "DequantizeLinear", "Clip", "Sigmoid", "HardSigmoid", "Identity")
_BINARY = ("Add", "Mul", "Sub")

Shape = tuple[int, int, int, int]


class Rows:
    """Which tensors exist as rows, and the nodes in the making.

    `nodes` is the graph as it is written, in topological order.
    """

    def __init__(self, model: Model) -> None:
        self.nodes: list[Any] = []
        self._model = model
        self._rows: dict[str, tuple[str, Shape]] = {}
        self._unwritten: set[str] = set()

    def give(self, tensor: str, rows: str, shape: Shape) -> None:
        """Note that `rows` are those of an image of (N, C, H, W), which is not written yet."""
        self._rows[tensor] = rows, shape
        self._unwritten.add(tensor)
        if tensor in self._model.outputs:
            self._image(tensor)

    def take(self, tensor: str, shape: Shape) -> str:
        """The rows of an image, made from it where there are none yet."""
        if tensor not in self._rows:
            last = self.add("Transpose", [tensor], f"{tensor}_channels_last", perm=[0, 2, 3, 1])
            rows = self.reshape(last, f"{tensor}_rows", shape[0] * shape[2] * shape[3], shape[1])
            self._rows[tensor] = rows, shape
        return self._rows[tensor][0]

    def follow(self, node: Any) -> None:
        """Write a node that is none of the products: on rows where it can be, else on images."""
        shape = self._shared_shape(node)
        if shape is None:
            for name in read_by(node):
                if name in self._unwritten:
                    self._image(name)
            self.nodes.append(node)
            return
        taken = 2 if node.op_type in _BINARY else 1
        for index in range(taken):
            node.input[index] = self.take(node.input[index], shape)
        tensor = node.output[0]
        node.output[0] = self._model.fresh(f"{tensor}_rows")
        self.nodes.append(node)
        self.give(tensor, node.output[0], shape)

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Write a new node; the name of its output, which is `output` where that is free."""
        name = self._model.fresh(output)
        self.nodes.append(self._model.node(op_type, inputs, name, **attributes))
        return name

    def reshape(self, tensor: str, output: str, *shape: int) -> str:
        """Write a Reshape."""
        return self.add("Reshape", [tensor, self._model.constant("shape", np.array(shape, np.int64))], output)

    def _shared_shape(self, node: Any) -> Shape | None:
        """The shape that a node's images share, one of which exists as rows; None where it cannot work on rows."""
        if node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type in _UNARY:
            scale = node.input[1] if node.op_type in ("QuantizeLinear", "DequantizeLinear") else None
            if scale is not None and (not self._model.is_constant(scale) or self._model.array(scale).size != 1):
                return None
            return self._rows[node.input[0]][1] if node.input[0] in self._rows else None
        if node.op_type in _BINARY:
            known = [self._rows[name][1] for name in node.input if name in self._rows]
            shapes = [
                self._rows[name][1] if name in self._rows else self._model.shapes.get(name) for name in node.input
            ]
            return known[0] if known and shapes[0] == shapes[1] else None
        return None

    def _image(self, tensor: str) -> None:
        rows, (images, channels, height, width) = self._rows[tensor]
        last = self.reshape(rows, f"{tensor}_image", images, height, width, channels)
        self.nodes.append(self._model.node("Transpose", [last], tensor, perm=[0, 3, 1, 2]))
        self._unwritten.discard(tensor)
