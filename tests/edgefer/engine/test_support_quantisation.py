"""Q/DQ as TensorRT wants it, and each way of not being so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.engine.check import check  # noqa: E402
from edgefer.engine.support.report import SupportReport  # noqa: E402
from edgefer.engine.support.table import TARGETS  # noqa: E402


def quantised(
    scale: Any = 0.1, zero: Any = None, *, of: str = "x", target: str = "tensorrt-10.3", opset: int = 19, **axis: int
) -> SupportReport:
    """x or the weight w (3, 5) through Q and DQ, and then into a product."""
    scale = np.asarray(scale, np.float32)
    zero = np.zeros(scale.shape, np.int8) if zero is None else np.asarray(zero)
    nodes = [
        helper.make_node("QuantizeLinear", [of, "s", "z"], ["q"], name="quantise", **axis),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="dequantise", **axis),
        helper.make_node("MatMul", ["x", "d"] if of == "w" else ["d", "w"], ["y"], name="product"),
    ]
    arrays = {"s": scale, "z": zero, "w": np.ones((3, 5), np.float32)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return check(model.SerializeToString(), target, ask=None)


def reasons(found: SupportReport) -> str:
    return "\n".join(f"{each.node}: {each.reason}" for each in found.problems)


@pytest.mark.parametrize("target", TARGETS)
def test_symmetric_and_signed_is_taken(target: str) -> None:
    assert quantised(target=target).verdict == "accepted"
    assert quantised(np.ones(5), of="w", axis=1, target=target).verdict == "accepted"


@pytest.mark.parametrize("target", TARGETS)
def test_unsigned_is_refused_even_where_a_parser_reads_it_as_signed(target: str) -> None:
    found = quantised(zero=np.uint8(0), target=target)
    assert found.table == "refused"
    assert "quantise: it quantises to uint8" in reasons(found)
    assert "int8" in found.problems[0].remedy


@pytest.mark.parametrize("target", TARGETS)
def test_a_zero_point_is_zero(target: str) -> None:
    assert "the zero point z has the value 3" in reasons(quantised(zero=np.int8(3), target=target))


@pytest.mark.parametrize(("scale", "said"), [(0.0, "is 0"), (-1.0, "is -1"), (np.nan, "is nan"), (np.inf, "is inf")])
def test_a_scale_is_positive(scale: float, said: str) -> None:
    assert f"the scale s {said}" in reasons(quantised(scale))


def test_scales_fit_their_axis() -> None:
    assert "axis 0 of the input 3" in reasons(quantised(np.ones(5), of="w", axis=0))
    assert "axis 7" in reasons(quantised(np.ones(5), of="w", axis=7))
    assert quantised(np.ones(5), of="w", axis=-1).verdict == "accepted"


def test_before_opset_13_there_is_one_scale() -> None:
    assert "before opset 13" in reasons(quantised(np.ones(5), of="w", opset=12))


def test_an_axis_that_is_left_out_means_different_things() -> None:
    verdicts = {target: quantised(np.ones(5), of="w", target=target).verdict for target in TARGETS}
    assert verdicts == {
        "tensorrt-10.3": "refused",
        "tensorrt-10.13": "unknown",
        "tensorrt-10.16": "accepted",
        "tensorrt-11": "accepted",
        "rtx": "accepted",
    }


def test_activations_have_one_scale() -> None:
    assert "which is no weight" in reasons(quantised(np.ones(3), axis=1))
    assert quantised(np.ones(3), axis=1, target="rtx").verdict == "accepted"


@pytest.mark.parametrize("target", TARGETS)
def test_a_bias_in_32_bits_is_refused(target: str) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["b", "s"], ["bias"], name="bias_dequantise"),
            helper.make_node("Add", ["x", "bias"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [
            numpy_helper.from_array(np.ones(4, np.int32), "b"),
            numpy_helper.from_array(np.float32(0.1), "s"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    (problem,) = check(model.SerializeToString(), target, ask=None).problems
    assert (problem.severity, problem.node, problem.tensor) == ("refused", "bias_dequantise", "b")
    assert "keep biases in floating point" in problem.remedy
