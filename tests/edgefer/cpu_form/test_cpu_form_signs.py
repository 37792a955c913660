"""The change from signed to unsigned activations: the same graph, bit for bit, when it is evaluated literally."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from edgefer.runtime.cpu_form.derive import derive  # noqa: E402


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 2), gain=st.floats(0.1, 8))
def test_zero_point_128_is_bit_equal(
    residual: Callable[..., bytes], run: Callable[..., Any], seed: int, batch: int, gain: float
) -> None:
    graph = residual(seed, batch=batch)
    # Beyond the calibrated range and negative too, so that both ends of the signed range are met.
    image = np.random.default_rng(seed).normal(0.3, gain, (batch, 3, 12, 12)).astype(np.float32)
    expected = run(graph, {"image": image}, literal=True)[0]
    found = run(derive(graph, "zero_point_128").onnx, {"image": image}, literal=True)[0]
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


def test_every_activation_is_unsigned_and_every_weight_signed(residual: Callable[..., bytes]) -> None:
    graph = onnx.load_from_string(derive(residual(3), "zero_point_128").onnx).graph
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    activations = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = arrays[node.input[2]]
            is_activation = node.op_type == "QuantizeLinear" or node.input[0] in activations
            assert (zero.dtype, set(zero.reshape(-1).tolist())) == (
                (np.uint8, {128}) if is_activation else (np.int8, {0})
            )


def test_integers_that_leave_the_graph_stay_signed(drawing: Any, run: Callable[..., Any]) -> None:
    draw = drawing(0)
    x = draw.quantised("image", 0.1)
    draw.node("Relu", x)
    draw.nodes[-1].output[0] = "logits"
    model = onnx.load_from_string(draw.model({"image": (1, 4)}, {"logits": (1, 4)}))
    integers = model.graph.node[0].output[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(integers, onnx.TensorProto.INT8, (1, 4)))
    graph = model.SerializeToString()
    image = np.array([[-9, -0.1, 0.1, 9]], np.float32)
    for variant in ("zero_point_128", "fast"):
        found = run(derive(graph, variant).onnx, {"image": image})
        assert found[1].dtype == np.int8
        assert found[1].tolist() == [[-90, -1, 1, 90]]


@pytest.mark.parametrize("what", ["zero point", "per channel"])
def test_asymmetric_activations_stay_as_they_are(drawing: Any, run: Callable[..., Any], what: str) -> None:
    draw = drawing(1)
    scales = np.array(0.1 if what == "zero point" else [0.1, 0.2, 0.3], np.float32)
    zeros = np.array(5 if what == "zero point" else [0, 0, 0], np.int8)
    pair = [draw.constant(scales), draw.constant(zeros)]
    x = draw.node("DequantizeLinear", draw.node("QuantizeLinear", "image", *pair, axis=1), *pair, axis=1)
    draw.conv(x, (4, 3, 3, 3))
    graph = draw.model({"image": (1, 3, 5, 5)}, {draw.nodes[-1].output[0]: None})
    derived = derive(graph)
    assert derived.quantised_layers == 0
    image = np.random.default_rng(1).normal(0, 4, (1, 3, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(
        run(derived.onnx, {"image": image})[0], run(graph, {"image": image}, literal=True)[0], rtol=1e-5, atol=1e-5
    )
