"""Quantised layers written as onnxruntime's integer kernels.

A convolution whose output goes nowhere but through a ReLU into a QuantizeLinear becomes a QLinearConv: the ReLU is the
lower end of uint8 at zero point 0, and a Clip at 127 the upper end that the signed graph had. Every other layer becomes
MatMulIntegerToFloat, exact in 32 bits and scaled to float once, of the pixels gathered for each place of the window:
no scale is needed that the graph does not have, and it takes a fifth of the time of a float convolution. Kernels read
and give channels last; onnxruntime's optimiser moves the transposes between them together, where they cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.runtime.cpu_form.layers import Layer
from edgefer.runtime.cpu_form.model import Model
from edgefer.runtime.cpu_form.unfold import Window
from edgefer.runtime.cpu_form.unsigned import ZERO_POINT, Quantised

CONTRIB = "com.microsoft"

_FEWEST_CHANNELS = 16
"""Gathering pixels of fewer bytes than this costs more than the product saves."""


@dataclass(frozen=True)
class _Ending:
    """What follows a convolution up to its QuantizeLinear: perhaps a ReLU, perhaps a MaxPool."""

    relu: Any | None
    pool: Any | None
    quantise: Any

    @property
    def zero_point(self) -> int:
        return ZERO_POINT if self.relu is None else 0

    def nodes(self) -> Iterator[Any]:
        yield from (node for node in (self.relu, self.pool, self.quantise) if node is not None)


def to_kernels(model: Model, layers: dict[str, Layer], activations: dict[str, Quantised]) -> int:
    """Write each layer that a kernel takes as that kernel; the number written. The rest stays as it is."""
    writer = _Writer(model, layers, activations)
    written = writer.run()
    if written:
        model.needs(CONTRIB, 1)
    return written


class _Writer:
    def __init__(self, model: Model, layers: dict[str, Layer], activations: dict[str, Quantised]) -> None:
        self._model = model
        self._layers = layers
        self._integers = {each.integers for each in activations.values()}
        self._windows = {name: self._window(layer) for name, layer in layers.items()}
        self._endings = {name: ending for name in layers if (ending := self._ending(name)) is not None}
        self._zero_points = dict.fromkeys(self._integers, ZERO_POINT)
        for ending in self._endings.values():
            self._zero_points[ending.quantise.output[0]] = ending.zero_point
        self._nodes: list[Any] = []

    def run(self) -> int:
        self._tell_readers()
        absorbed = {node.output[0] for ending in self._endings.values() for node in ending.nodes()}
        written = 0
        for node in self._model.graph.node:
            if node.output[0] in absorbed:
                continue
            layer = self._layers.get(node.output[0])
            if layer is None or not self._write(node.output[0], layer):
                self._nodes.append(node)
            else:
                written += 1
        self._model.replace(self._nodes)
        return written

    def _write(self, name: str, layer: Layer) -> bool:
        if name in self._endings:
            self._convolution(name, layer, self._endings[name])
        elif layer.node.op_type != "Conv":
            self._nodes.append(self._product(layer, layer.activation.integers, layer.weights, name))
        elif (window := self._windows[name]) is not None:
            self._gathered(name, layer, window)
        else:
            return False
        return True

    def _convolution(self, name: str, layer: Layer, ending: _Ending) -> None:
        model, quantise = self._model, ending.quantise
        scale = np.float32(model.array(quantise.input[1]).reshape(()))
        steps = layer.scales.astype(np.float64) * float(layer.activation.scale)
        bias = np.zeros(len(steps)) if layer.bias is None else np.rint(layer.bias / steps)
        inputs = [
            self._add("Transpose", [layer.activation.integers], f"{name}_channels_last", perm=[0, 2, 3, 1]),
            *self._scaled(layer.activation),
            model.constant(f"{name}_weights", layer.weights),
            model.constant(f"{name}_weight_scales", layer.scales),
            model.constant("weight_zero_point", np.array(0, np.int8)),
            model.constant(f"{name}_output_scale", np.array(scale, np.float32)),
            self._zero(ending.zero_point),
            model.constant(f"{name}_bias", bias.astype(np.int32)),
        ]
        attributes = {**model.attributes(layer.node), "channels_last": 1}
        result = self._add("QLinearConv", inputs, f"{name}_integers", domain=CONTRIB, **attributes)
        if ending.pool is not None:
            kept = model.attributes(ending.pool)
            kept.pop("storage_order", None)
            result = self._add("NhwcMaxPool", [result], f"{name}_pooled", domain=CONTRIB, **kept)
        if ending.relu is not None:
            most = model.constant("most", np.array(127, np.uint8))
            result = self._add("Clip", [result, "", most], f"{name}_clipped")
        self._nodes.append(model.node("Transpose", [result], quantise.output[0], perm=[0, 3, 1, 2]))

    def _gathered(self, name: str, layer: Layer, window: Window) -> None:
        channels, outputs = layer.weights.shape[1], layer.weights.shape[0]
        rows = self._add("Transpose", [layer.activation.integers], f"{name}_channels_last", perm=[0, 2, 3, 1])
        rows = self._reshape(rows, f"{name}_pixels", window.pixels, channels)
        indices = window.indices()
        if not np.array_equal(indices, np.arange(window.pixels)):
            if (indices == window.pixels).any():
                zero = self._zero_points[layer.activation.integers]
                padding = self._model.constant(f"padding_{channels}", np.full((1, channels), zero, np.uint8))
                rows = self._add("Concat", [rows, padding], f"{name}_padded", axis=0)
            rows = self._add("Gather", [rows, self._model.constant("window", indices)], f"{name}_gathered", axis=0)
        height, width = window.places
        terms = layer.weights.size // outputs
        rows = self._reshape(rows, f"{name}_windows", window.images * height * width, terms)
        weights = np.ascontiguousarray(layer.weights.transpose(2, 3, 1, 0).reshape(terms, outputs))
        product = self._model.fresh(f"{name}_product")
        self._nodes.append(self._product(layer, rows, weights, product))
        image = self._reshape(product, f"{name}_image", window.images, height, width, outputs)
        self._nodes.append(self._model.node("Transpose", [image], name, perm=[0, 3, 1, 2]))

    def _product(self, layer: Layer, rows: str, weights: np.ndarray[Any, Any], output: str) -> Any:
        model, name = self._model, layer.node.output[0]
        scale, zero = self._scaled(layer.activation)
        inputs = [rows, model.constant(f"{name}_weights", weights), scale]
        inputs += [model.constant(f"{name}_weight_scales", layer.scales), zero]
        if layer.bias is not None:
            inputs += ["", model.constant(f"{name}_bias", layer.bias)]
        return model.node("MatMulIntegerToFloat", inputs, output, domain=CONTRIB)

    def _window(self, layer: Layer) -> Window | None:
        """How the pixels of a convolution are gathered; None where they are better not, or cannot be."""
        shape = self._model.shapes.get(layer.activation.source, ())
        attributes = self._model.attributes(layer.node)
        if layer.node.op_type != "Conv" or len(shape) != 4 or attributes.get("group", 1) != 1:
            return None
        if layer.weights.shape[1] < _FEWEST_CHANNELS:
            return None
        return Window.of(attributes, shape, layer.weights.shape[2:])

    def _ending(self, name: str) -> _Ending | None:
        """What a QLinearConv takes in behind a convolution; None where it cannot, or is not worth it."""
        layer, window = self._layers[name], self._windows[name]
        if layer.node.op_type != "Conv":
            return None
        if window is not None and window.places[0] * window.places[1] < layer.weights.shape[0]:
            # With fewer places than channels, QLinearConv is twice as slow as the product: it divides the places.
            return None
        if layer.bias is not None:
            steps = layer.scales.astype(np.float64) * float(layer.activation.scale)
            if not (np.abs(layer.bias / steps) < 2**31 - 1).all():
                return None
        relu, pool, tensor = None, None, name
        while (reader := self._model.only_reader(tensor)) is not None:
            if reader.op_type == "QuantizeLinear":
                known = reader.output[0] in self._integers
                return _Ending(relu, pool, reader) if known else None
            if reader.op_type == "Relu" and relu is None and pool is None:
                relu = reader
            elif reader.op_type == "MaxPool" and pool is None and len(reader.output) == 1:
                pool = reader
            else:
                return None
            tensor = reader.output[0]
        return None

    def _tell_readers(self) -> None:
        """Give the DQ of each activation the zero point that its integers get."""
        for ending in self._endings.values():
            integers = ending.quantise.output[0]
            for reader in self._model.readers(integers):
                reader.input[2] = self._zero(self._zero_points[integers])

    def _scaled(self, activation: Quantised) -> tuple[str, str]:
        """The names of scale and zero point."""
        scale = np.array(activation.scale, np.float32)
        return self._model.constant("scale", scale), self._zero(self._zero_points[activation.integers])

    def _zero(self, value: int) -> str:
        return self._model.constant(f"zero_point_{value}", np.array(value, np.uint8))

    def _reshape(self, tensor: str, output: str, *shape: int) -> str:
        return self._add("Reshape", [tensor, self._model.constant("shape", np.array(shape, np.int64))], output)

    def _add(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        name = self._model.fresh(output)
        self._nodes.append(self._model.node(op_type, inputs, name, **attributes))
        return name
