"""The quantised layers of a graph: Conv, Gemm and MatMul between a dequantised activation and dequantised weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.runtime.cpu_form.model import Model
from edgefer.runtime.cpu_form.unsigned import Quantised

MOST_TERMS = (2**31 - 1) // (255 * 128)
"""How many products of an 8-bit activation and an 8-bit weight surely fit a 32-bit sum."""

REDUCED = 64
"""The largest magnitude of weights in a reduced range: 255 · 64 · 2 = 32640 fits 16 bits, 255 · 127 · 2 does not. CPUs
without VNNI add two such products in 16 bits, with saturation."""


@dataclass(frozen=True)
class Layer:
    """One quantised layer: output = scales * activation.scale * sum(integers) + bias, for each output channel.

    Attributes:
        node: the Conv, Gemm or MatMul.
        activation: what it reads.
        weights: (Co, C/group, kh, kw) int8 of a Conv, (K, N) of a Gemm or MatMul, whatever its transB.
        scales: (Co,) or (N,) float32.
        bias: likewise; None where it has none.
    """

    node: Any
    activation: Quantised
    weights: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32] | None

    @property
    def terms(self) -> int:
        """How many products each output is the sum of."""
        outputs: int = self.weights.shape[0] if self.node.op_type == "Conv" else self.weights.shape[1]
        return self.weights.size // outputs


def find_layers(model: Model, activations: dict[str, Quantised], *, reduce_range: bool) -> dict[str, Layer]:
    """The layers that integer kernels can compute, by the name of their output."""
    found = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[0] in activations:
            layer = _layer(model, node, activations[node.input[0]])
            if layer is not None:
                found[node.output[0]] = _reduced(layer) if reduce_range else layer
    return found


def float_weights(model: Model) -> None:
    """Replace each DQ of constant weights that is left by its values, so that it is not computed at every run.

    They are q * scale in float32, which is what the DQ gives.
    """
    nodes = []
    for node in model.graph.node:
        values = _dequantised(model, node) if node.op_type == "DequantizeLinear" else None
        if values is None or node.output[0] in model.outputs:
            nodes.append(node)
            continue
        name = model.constant(f"{node.output[0]}_values", values)
        for reader in model.readers(node.output[0]):
            for index, each in enumerate(reader.input):
                if each == node.output[0]:
                    reader.input[index] = name
    model.replace(nodes)


def _layer(model: Model, node: Any, activation: Quantised) -> Layer | None:
    dequantise = model.producer.get(node.input[1])
    if dequantise is None or dequantise.op_type != "DequantizeLinear" or not _is_signed(model, dequantise):
        return None
    weights = np.asarray(model.array(dequantise.input[0]), np.int8)
    scales = np.asarray(model.array(dequantise.input[1]), np.float32).reshape(-1)
    attributes = model.attributes(node)
    if node.op_type == "Conv":
        if weights.ndim != 4 or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
            return None
        axis, outputs = 0, weights.shape[0]
    else:
        plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0
        if weights.ndim != 2 or not plain or attributes.get("transA", 0):
            return None
        transposed = bool(attributes.get("transB", 0))
        axis, outputs = (0, weights.shape[0]) if transposed else (1, weights.shape[1])
        weights = weights.T if transposed else weights
    stated = model.attributes(dequantise).get("axis", 1)
    if scales.size != 1 and (stated % (4 if node.op_type == "Conv" else 2) != axis or scales.size != outputs):
        return None
    bias = None
    if len(node.input) > 2 and node.input[2]:
        if not model.is_constant(node.input[2]):
            return None
        bias = np.asarray(model.array(node.input[2]), np.float32).reshape(-1)
        if bias.size not in (1, outputs):
            return None
        bias = np.broadcast_to(bias, (outputs,)).copy()
    layer = Layer(node, activation, weights, np.broadcast_to(scales, (outputs,)).copy(), bias)
    return layer if layer.terms <= MOST_TERMS else None


def _reduced(layer: Layer) -> Layer:
    """The layer with weights of at most `REDUCED` at twice the scale: the last bit is rounded off."""
    halved = np.rint(layer.weights.astype(np.float32) / 2).astype(np.int8)
    return Layer(layer.node, layer.activation, halved, layer.scales * np.float32(2), layer.bias)


def _is_signed(model: Model, node: Any) -> bool:
    """Whether a DQ has constant int8 integers, constant scales and zero points that are 0."""
    if not all(model.is_constant(name) for name in node.input) or model.array(node.input[0]).dtype != np.int8:
        return False
    return len(node.input) < 3 or not model.array(node.input[2]).any()


def _dequantised(model: Model, node: Any) -> npt.NDArray[np.float32] | None:
    if not _is_signed(model, node) or model.array(node.input[1]).dtype != np.float32:
        return None
    integers, scales = model.array(node.input[0]), model.array(node.input[1])
    if scales.size != 1:
        shape = [1] * integers.ndim
        shape[model.attributes(node).get("axis", 1)] = -1
        if scales.ndim != 1:
            return None
        scales = scales.reshape(shape)
    else:
        scales = scales.reshape(())
    return np.asarray(integers.astype(np.float32) * scales, np.float32)
