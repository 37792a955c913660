"""Half precision taken back to single."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.errors import BundleError  # noqa: E402
from edgefer.runtime.cpu_form.derive import derive  # noqa: E402


def half_graph(rng: np.random.Generator, *, outputs_too: bool = False) -> tuple[bytes, np.ndarray]:
    """(2, 6) -> Relu(x W + c) in FP16 between casts, and its weights as FP16 rounded them."""
    weights = rng.normal(0, 1, (6, 4)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.full(4, 0.1, np.float16))),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "c"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["n"], ["counted"], to=TensorProto.FLOAT),
    ]
    value = helper.make_tensor_value_info
    outputs = [value("y", TensorProto.FLOAT, (2, 4)), value("counted", TensorProto.FLOAT, (2,))]
    if outputs_too:
        outputs.append(value("r", TensorProto.FLOAT16, (2, 4)))
    graph = helper.make_graph(
        nodes,
        "half",
        [value("x", TensorProto.FLOAT, (2, 6)), value("n", TensorProto.INT32, (2,))],
        outputs,
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString()), weights


def test_casts_go_and_weights_keep_their_rounded_values(
    run: Callable[..., Any], counts: Callable[[bytes], dict[str, int]]
) -> None:
    rng = np.random.default_rng(0)
    graph, weights = half_graph(rng)
    form = derive(graph, "single").onnx
    # The cast of integers has to stay, and an output keeps its name.
    assert counts(form) == {"Constant": 1, "MatMul": 1, "Add": 1, "Relu": 1, "Identity": 1, "Cast": 1}
    assert b"float16" not in onnx.printer.to_text(onnx.load_from_string(form)).encode()
    x = rng.normal(0, 1, (2, 6)).astype(np.float32)
    feeds = {"x": x, "n": np.array([3, 4], np.int32)}
    found = run(form, feeds)
    exact = np.maximum(x.astype(np.float64) @ weights.astype(np.float64) + np.float64(np.float16(0.1)), 0)
    np.testing.assert_allclose(found[0], exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[1], [3.0, 4.0])
    np.testing.assert_allclose(run(graph, feeds)[0], exact, rtol=2e-2, atol=2e-2)


def test_an_output_in_half_precision_is_refused() -> None:
    graph, _ = half_graph(np.random.default_rng(0), outputs_too=True)
    with pytest.raises(BundleError, match="something else than weights and casts"):
        derive(graph, "single")


def test_branches_in_half_precision_are_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT16, (2,))],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("If", ["p"], ["r"], "branches", then_branch=branch, else_branch=branch),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "half",
        [value("x", TensorProto.FLOAT, (2,)), value("p", TensorProto.BOOL, ())],
        [value("y", TensorProto.FLOAT, (2,))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    with pytest.raises(BundleError, match="branches"):
        derive(model.SerializeToString(), "single")


def test_a_quantised_graph_in_half_precision_runs_in_integers(
    residual: Callable[..., bytes], run: Callable[..., Any], counts: Callable[[bytes], dict[str, int]]
) -> None:
    half = pytest.importorskip("edgefer_export.half")
    single = residual(0)
    model = half.to_half(onnx.load_from_string(single)).model.SerializeToString()
    assert counts(model)["Cast"] >= 2
    derived = derive(model)
    assert derived.integer_layers + 1 == derived.quantised_layers == 9
    assert "Cast" not in counts(derived.onnx)
    images = np.random.default_rng(1).random((10, 1, 3, 12, 12), np.float32)
    literal, form = (
        np.concatenate([run(each, {"image": image}, literal=each is model)[0] for image in images])
        for each in (model, derived.onnx)
    )
    assert np.abs(form - literal).max() <= 0.08 * np.abs(literal).max()


def test_a_graph_without_half_precision_stays_what_it_is(
    residual: Callable[..., bytes], run: Callable[..., Any]
) -> None:
    graph = residual(2)
    image = np.random.default_rng(1).random((1, 3, 12, 12), np.float32)
    found = run(derive(graph, "single").onnx, {"image": image}, literal=True)[0]
    np.testing.assert_array_equal(found, run(graph, {"image": image}, literal=True)[0])
