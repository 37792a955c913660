"""Quantised layers written as products of integer matrices, the kernel that onnxruntime is fastest at.

Each Conv, Gemm and MatMul becomes MatMulIntegerToFloat: exact in 32 bits, then scaled to float and biased, once. The
pixels that each place of a convolution's window meets are gathered before it. QLinearConv is as fast, but rounds: its
bias to a multiple of two scales, its output to a scale that the graph must have; the first alone changed one answer in
eighty of a small network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefer.runtime.cpu_form.layers import Layer
from edgefer.runtime.cpu_form.model import Model
from edgefer.runtime.cpu_form.rows import Rows, Shape
from edgefer.runtime.cpu_form.unfold import Window
from edgefer.runtime.cpu_form.unsigned import ZERO_POINT, Quantised

CONTRIB = "com.microsoft"

_FEWEST_CHANNELS = 16
"""Gathering pixels of fewer bytes than this costs more than the product saves."""

MOST_GATHERED = 1 << 26
"""Bytes that the pixels gathered for one layer may take. Nine times the image is little at 224 pixels, and more than a
small computer has for a large photograph."""


def to_products(model: Model, layers: dict[str, Layer], activations: dict[str, Quantised]) -> int:
    """Write each layer that can be as a product; the number written. The rest stays as it is."""
    windows = {name: window for name, layer in layers.items() if (window := _window(model, layer)) is not None}
    written = {name: layer for name, layer in layers.items() if name in windows or layer.node.op_type != "Conv"}
    if written:
        _Writer(model, written, windows, activations).run()
        model.needs(CONTRIB, 1)
    return len(written)


class _Writer:
    def __init__(
        self, model: Model, layers: dict[str, Layer], windows: dict[str, Window], activations: dict[str, Quantised]
    ) -> None:
        self._model = model
        self._layers = layers
        self._windows = windows
        self._rows = Rows(model)
        self._gathered = {layers[name].activation.integers: window for name, window in windows.items()}
        integers = {each.integers for each in activations.values()}
        self._zero_points = dict.fromkeys(integers, ZERO_POINT)
        self._relus = {name: relu for name in integers if (relu := self._relu_before(name)) is not None}
        self._zero_points.update(dict.fromkeys(self._relus, 0))

    def run(self) -> None:
        for integers in self._relus:
            for reader in self._model.readers(integers):
                reader.input[2] = self._zero(0)
        dropped = {relu.output[0] for relu in self._relus.values()}
        for node in self._model.graph.node:
            name = node.output[0]
            if name in dropped:
                continue
            if name in self._layers:
                self._product(name, self._layers[name])
            elif name in self._relus:
                self._clipped(node, self._relus[name])
            else:
                self._rows.follow(node)
            window = self._gathered.get(name)
            if window is not None:
                # At once, so that the DQ of a residual branch reads the rows as well.
                self._rows.take(name, window.shape)
        self._model.replace(self._rows.nodes)

    def _clipped(self, quantise: Any, relu: Any) -> None:
        """Q of a ReLU as Q with zero point 0, whose lower end is the ReLU, and a Clip where the signed range ended.

        Integers are a quarter of the size of what the ReLU would read and write.
        """
        name = quantise.output[0]
        unclipped = self._model.fresh(f"{name}_unclipped")
        quantise.input[0], quantise.input[2], quantise.output[0] = relu.input[0], self._zero(0), unclipped
        most = self._model.constant("most", np.array(127, np.uint8))
        self._rows.follow(quantise)
        self._rows.follow(self._model.node("Clip", [unclipped, "", most], name))

    def _product(self, name: str, layer: Layer) -> None:
        model, rows = self._model, layer.activation.integers
        window = self._windows.get(name)
        weights = layer.weights
        if window is not None:
            rows = self._pixels(name, rows, window)
            weights = np.ascontiguousarray(weights.transpose(2, 3, 1, 0).reshape(layer.terms, -1))
        integers = layer.activation.integers
        inputs = [rows, model.constant(f"{name}_weights", weights)]
        inputs += [model.constant("scale", np.array(layer.activation.scale, np.float32))]
        inputs += [model.constant(f"{name}_weight_scales", layer.scales), self._zero(self._zero_points[integers])]
        if layer.bias is not None:
            inputs += ["", model.constant(f"{name}_bias", layer.bias)]
        if window is None:
            self._rows.follow(model.node("MatMulIntegerToFloat", inputs, name, domain=CONTRIB))
            return
        product = self._rows.add("MatMulIntegerToFloat", inputs, f"{name}_product", domain=CONTRIB)
        height, width = window.places
        self._rows.give(name, product, (window.images, layer.weights.shape[0], height, width))

    def _pixels(self, name: str, integers: str, window: Window) -> str:
        """(places, taps · channels): what the window meets at each place, in the order of the transposed weights."""
        rows, channels = self._rows.take(integers, window.shape), window.channels
        indices = window.indices()
        if np.array_equal(indices, np.arange(window.pixels)):
            return rows
        if (indices == window.pixels).any():
            zero = self._zero_points[integers]
            padding = self._model.constant(f"padding_{channels}", np.full((1, channels), zero, np.uint8))
            rows = self._rows.add("Concat", [rows, padding], f"{name}_padded", axis=0)
        rows = self._rows.add("Gather", [rows, self._model.constant("window", indices)], f"{name}_gathered", axis=0)
        taps = window.kernel[0] * window.kernel[1]
        if taps == 1:
            return rows
        return self._rows.reshape(rows, f"{name}_windows", len(indices) // taps, taps * channels)

    def _relu_before(self, integers: str) -> Any | None:
        """The ReLU whose only reader is the Q that gives `integers`."""
        quantise = self._model.producer[integers]
        relu = self._model.producer.get(quantise.input[0])
        if relu is None or relu.op_type != "Relu" or self._model.only_reader(relu.output[0]) is None:
            return None
        return relu

    def _zero(self, value: int) -> str:
        return self._model.constant(f"zero_point_{value}", np.array(value, np.uint8))


def _window(model: Model, layer: Layer) -> Window | None:
    """How the pixels of a convolution are gathered; None where they cannot be, or better are not."""
    shape = model.shapes.get(layer.activation.source, ())
    attributes = model.attributes(layer.node)
    if layer.node.op_type != "Conv" or attributes.get("group", 1) != 1 or layer.weights.shape[1] < _FEWEST_CHANNELS:
        return None
    known = [length for length in shape if length is not None]
    if len(known) != 4 or len(shape) != 4:
        return None
    whole: Shape = (known[0], known[1], known[2], known[3])
    window = Window.of(attributes, whole, layer.weights.shape[2:])
    height, width = window.places
    return window if window.images * height * width * layer.terms <= MOST_GATHERED else None
