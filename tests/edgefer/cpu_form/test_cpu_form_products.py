"""Layers as integer products, against what they are defined to compute, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("hypothesis")

from hypothesis import assume, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from edgefer.runtime.cpu_form import products  # noqa: E402
from edgefer.runtime.cpu_form.derive import derive  # noqa: E402

Geometry = dict[str, Any]


def quantise(x: np.ndarray, scale: float) -> np.ndarray:
    """Integers -128..127 as QuantizeLinear gives them: the quotient is taken in float32."""
    return np.clip(np.rint(x.astype(np.float32) / np.float32(scale)), -128, 127)


def convolution(x: np.ndarray, weights: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(N, C, H, W) with (Co, C, kh, kw) in float64, by the definition."""
    (sy, sx), (dy, dx) = geometry["strides"], geometry["dilations"]
    top, left, bottom, right = geometry["pads"]
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    ky, kx = weights.shape[2:]
    span = (dy * (ky - 1) + 1, dx * (kx - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(2, 3))[:, :, ::sy, ::sx, ::dy, ::dx]
    return np.einsum("nchwij,ocij->nohw", windows, weights.astype(np.float64))


@st.composite
def geometries(draw: Any) -> Geometry:
    return {
        "kernel": (draw(st.integers(1, 4)), draw(st.integers(1, 3))),
        "strides": [draw(st.integers(1, 3)), draw(st.integers(1, 2))],
        "pads": [draw(st.integers(0, 2)) for _ in range(4)],
        "dilations": [draw(st.integers(1, 2)), draw(st.integers(1, 2))],
        "channels": draw(st.sampled_from([3, 16, 20])),
        "outputs": draw(st.sampled_from([1, 7, 40])),
        "size": (draw(st.integers(5, 9)), draw(st.integers(5, 9))),
        "batch": draw(st.integers(1, 2)),
    }


@settings(max_examples=60, deadline=None)
@given(
    geometry=geometries(),
    scale=st.floats(1e-5, 10),
    output_scale=st.floats(0.01, 3),
    relu=st.booleans(),
    quantised=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_convolution_is_what_it_is_defined_to_be(
    drawing: Any,
    run: Callable[..., Any],
    geometry: Geometry,
    scale: float,
    output_scale: float,
    relu: bool,
    quantised: bool,
    seed: int,
) -> None:
    kernel = {name: geometry[name] for name in ("strides", "pads", "dilations")}
    channels, outputs, size = geometry["channels"], geometry["outputs"], geometry["size"]
    for axis in range(2):
        spread = kernel["dilations"][axis] * (geometry["kernel"][axis] - 1) + 1
        assume(size[axis] + kernel["pads"][axis] + kernel["pads"][axis + 2] >= spread)
    draw = drawing(seed)
    x = draw.conv(
        draw.quantised("image", scale), (outputs, channels, *geometry["kernel"]), gain=1 / scale / 60, **kernel
    )
    x = draw.node("Relu", x) if relu else x
    step = np.float32(output_scale)
    x = draw.quantised(x, step) if quantised else x
    shape = (geometry["batch"], channels, *size)
    derived = derive(draw.model({"image": shape}, {x: None}))
    image = (np.random.default_rng(seed).normal(0, 60 * scale, shape)).astype(np.float32)
    found = run(derived.onnx, {"image": image})[0]

    bias, integers, scales = (draw.weights[name] for name in _weights(draw))
    exact = convolution(quantise(image, scale), integers, kernel) * np.float32(scale).astype(np.float64)
    exact = exact * scales.astype(np.float64)[:, None, None] + bias.astype(np.float64)[:, None, None]
    exact = np.maximum(exact, 0) if relu else exact
    assert found.shape == exact.shape
    if not quantised:
        np.testing.assert_allclose(found, exact, rtol=2e-6, atol=2e-6 * max(1.0, np.abs(exact).max()))
        return
    # A value in the middle between two integers may go either way: sums are rounded to float32.
    quotient = exact / step
    off = np.abs(np.rint(found / step) - np.clip(np.rint(quotient), -128, 127))
    near = np.abs(np.abs(quotient - np.floor(quotient)) - 0.5) <= 1e-6 + 2e-6 * np.abs(quotient)
    assert off[~near].max(initial=0) == 0
    assert off.max() <= 1


def _weights(draw: Any) -> list[str]:
    """The names of bias, integers and scales of the only convolution."""
    conv = next(node for node in draw.nodes if node.op_type == "Conv")
    dequantise = next(node for node in draw.nodes if node.output[0] == conv.input[1])
    return [conv.input[2], dequantise.input[0], dequantise.input[1]]


@pytest.mark.parametrize("seed", range(6))
def test_a_network_agrees_with_the_literal_graph(
    residual: Callable[..., bytes], run: Callable[..., Any], seed: int
) -> None:
    graph = residual(seed)
    derived = derive(graph)
    assert derived.integer_layers + 1 == derived.quantised_layers == 9
    images = np.random.default_rng(seed).random((20, 1, 3, 12, 12), np.float32)
    literal, fast = (
        np.concatenate([run(model, {"image": image}, literal=model is graph)[0] for image in images])
        for model in (graph, derived.onnx)
    )
    # A tie that falls the other way moves a value by one step of the scales, which are a fortieth of the logits.
    assert np.abs(fast - literal).max() <= 0.05 * np.abs(literal).max()
    assert np.sqrt(np.mean((fast - literal) ** 2)) <= 0.01 * np.abs(literal).max()


def test_the_form_is_as_near_to_float64_as_the_literal_graph(drawing: Any, run: Callable[..., Any]) -> None:
    """A layer with 2,304 terms: float32 sums of the literal graph err more than integer ones."""
    draw = drawing(5)
    x = draw.conv(draw.quantised("image", 1 / 127), (32, 256, 3, 3), pads=[1, 1, 1, 1])
    graph = draw.model({"image": (1, 256, 8, 8)}, {x: None})
    image = np.random.default_rng(5).normal(0, 1, (1, 256, 8, 8)).astype(np.float32)
    bias, integers, scales = (draw.weights[name].astype(np.float64) for name in _weights(draw))
    kernel = {"strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
    exact = convolution(quantise(image, 1 / 127), integers, kernel) * np.float64(np.float32(1 / 127))
    exact = exact * scales[:, None, None] + bias[:, None, None]
    literal = np.abs(run(graph, {"image": image}, literal=True)[0] - exact).max()
    fast = np.abs(run(derive(graph).onnx, {"image": image})[0] - exact).max()
    assert fast <= literal


def test_a_residual_network_stays_in_rows(
    residual: Callable[..., bytes], counts: Callable[[bytes], dict[str, int]]
) -> None:
    graph = onnx.load_from_string(derive(residual(0, size=24)).onnx).graph
    kinds = [node.op_type for node in graph.node]
    # The stem has three channels and stays in floating point.
    assert kinds.count("Conv") == 1
    assert kinds.count("MatMulIntegerToFloat") == 8
    assert "Gemm" not in kinds
    # One after the stem and one before the mean.
    assert kinds.count("Transpose") == 2
    # Those of the ReLUs that only a Q reads end in integers; that of the stem is before its pool.
    assert kinds.count("Relu") == 1
    assert kinds.count("Clip") == 4
    zeros = {int(onnx.numpy_helper.to_array(each)) for each in graph.initializer if each.name.startswith("zero_point")}
    assert zeros == {0, 128}


@pytest.mark.parametrize(
    ("case", "kept"),
    [("grouped", 1), ("few channels", 1), ("any batch", 1), ("relu read twice", 0), ("an output", 0)],
)
def test_what_no_kernel_takes_stays_in_floating_point(
    drawing: Any, run: Callable[..., Any], counts: Callable[[bytes], dict[str, int]], case: str, kept: int
) -> None:
    draw = drawing(2)
    channels = 3 if case == "few channels" else 16
    attributes = {"group": 2} if case == "grouped" else {}
    shape = (16, channels // attributes.get("group", 1), 3, 3)
    convolved = draw.conv(draw.quantised("image", 0.02), shape, **attributes)
    active = draw.node("Relu", convolved)
    outputs: dict[str, Any] = {active: None}
    if case in ("relu read twice", "an output"):
        outputs = {draw.quantised(active, 0.02): None}
        outputs |= {draw.node("Sigmoid", active): None} if case == "relu read twice" else {convolved: None}
    batch: int | str = "batch" if case == "any batch" else 1
    graph = draw.model({"image": (batch, channels, 9, 9)}, outputs)
    form = derive(graph).onnx
    assert counts(form).get("Conv", 0) == kept
    image = np.random.default_rng(2).normal(0, 1, (1, channels, 9, 9)).astype(np.float32)
    for found, expected in zip(run(form, {"image": image}), run(graph, {"image": image}, literal=True), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 + 0.02 * (case == "relu read twice"))


def test_a_gate_that_is_spread_over_places_meets_the_image(drawing: Any, run: Callable[..., Any]) -> None:
    """Channel and spatial attention multiply images by something smaller, which rows cannot be multiplied by."""
    draw = drawing(7)
    x = draw.conv(draw.quantised("image", 0.02), (16, 16, 3, 3), pads=[1, 1, 1, 1])
    channel = draw.node("Sigmoid", draw.node("GlobalAveragePool", x))
    spatial = draw.node("Sigmoid", draw.node("ReduceMean", x, draw.constant(np.array([1])), keepdims=1))
    doubled = draw.node("Add", x, x)
    gated = draw.node("Mul", spatial, draw.node("Mul", doubled, channel))
    graph = draw.model({"image": (2, 16, 6, 5)}, {gated: None})
    derived = derive(graph)
    assert derived.integer_layers == 1
    image = np.random.default_rng(7).normal(0, 1, (2, 16, 6, 5)).astype(np.float32)
    found, expected = run(derived.onnx, {"image": image})[0], run(graph, {"image": image}, literal=True)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_windows_of_one_size_and_other_pixels_are_kept_apart(drawing: Any, run: Callable[..., Any]) -> None:
    draw = drawing(6)
    x = draw.quantised("image", 0.02)
    outputs = [
        draw.conv(x, (2, 16, 3, 3), pads=pads) for pads in ([2, 2, 0, 0], [0, 0, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1])
    ]
    graph = draw.model({"image": (1, 16, 90, 90)}, dict.fromkeys(outputs))
    derived = derive(graph)
    windows = [each for each in onnx.load_from_string(derived.onnx).graph.initializer if each.data_type == 6]
    assert derived.integer_layers == 4
    assert len(windows) == 3
    image = np.random.default_rng(6).normal(0, 1, (1, 16, 90, 90)).astype(np.float32)
    for found, expected in zip(
        run(derived.onnx, {"image": image}), run(graph, {"image": image}, literal=True), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_more_pixels_than_memory_should_hold_are_not_gathered(
    drawing: Any, counts: Callable[[bytes], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = drawing(6)
    x = draw.conv(draw.quantised("image", 0.02), (2, 16, 3, 3), pads=[1, 1, 1, 1])
    graph = draw.model({"image": (1, 16, 9, 9)}, {x: None})
    gathered = 9 * 9 * 16 * 9
    monkeypatch.setattr(products, "MOST_GATHERED", gathered)
    assert derive(graph).integer_layers == 1
    monkeypatch.setattr(products, "MOST_GATHERED", gathered - 1)
    assert derive(graph).integer_layers == 0
    assert counts(derive(graph).onnx)["Conv"] == 1


def test_weights_of_a_reduced_range_never_saturate_in_16_bits(residual: Callable[..., bytes]) -> None:
    graph = onnx.load_from_string(derive(residual(0), "reduced").onnx).graph
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    weights = [arrays[node.input[1]] for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    assert len(weights) == 8
    assert max(np.abs(each.astype(int)).max() for each in weights) * 255 * 2 <= 2**15 - 1


def test_a_reduced_range_costs_one_bit(residual: Callable[..., bytes], run: Callable[..., Any]) -> None:
    graph = residual(1)
    images = np.random.default_rng(1).random((20, 1, 3, 12, 12), np.float32)
    literal, reduced = (
        np.concatenate([run(model, {"image": image})[0] for image in images])
        for model in (graph, derive(graph, "reduced").onnx)
    )
    error = np.sqrt(np.mean((reduced - literal) ** 2)) / np.abs(literal).max()
    assert 0 < error < 0.03
