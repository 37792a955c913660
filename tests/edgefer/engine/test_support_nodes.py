"""One small graph for each fact that can be checked on a graph, with what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.engine.check import check  # noqa: E402
from edgefer.engine.support.report import Problem, SupportReport  # noqa: E402

Arrays = dict[str, Any]
IMAGE = [1, 4, 8, 8]


def report(
    nodes: list[Any], constants: Arrays | None = None, *, target: str = "tensorrt-10.3", opset: int = 19, **fields: Any
) -> SupportReport:
    """A graph of these nodes from `x` to `y`, held against a target by its facts alone."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info("x", fields.get("type", TensorProto.FLOAT), fields.get("shape", IMAGE)),
            *fields.get("inputs", ()),
        ],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in fields.get("domains", ()))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return check(model.SerializeToString(), target, ask=None)


def node(operator: str, inputs: str = "x", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(" "), ["y"], name="node", **attributes)


def only(found: SupportReport) -> Problem:
    (problem,) = found.problems
    return problem


def test_a_graph_that_is_taken() -> None:
    found = report([node("Relu")])
    assert found.verdict == found.table == "accepted"
    assert found.problems == ()
    assert found.operators == {"Relu": 1}


@pytest.mark.parametrize(
    ("made", "constants", "said"),
    [
        (node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), {}, "only ones are taken"),
        (node("LpPool", kernel_shape=[2, 2], p=3), {}, "p is 3; 1, 2 is taken"),
        (node("Resize", "x  s", antialias=1), {"s": np.ones(4, np.float32)}, "antialias is 1"),
        (
            node("Resize", "x r s", coordinate_transformation_mode="tf_crop_and_resize"),
            {"r": np.zeros(8, np.float32), "s": np.ones(4, np.float32)},
            "tf_crop_and_resize",
        ),
        (node("TopK", "x k", sorted=0), {"k": np.array([2])}, "sorted is 0"),
        (node("TopK", "x k"), {"k": np.array([4000])}, "K is 4000; less than 3840"),
        (node("Einsum", equation="...ij->...ji"), {}, "ellipsis"),
        (node("Einsum", equation="abcc->abc"), {}, "repeats an index"),
        (node("Dropout", "x r t"), {"r": np.float32(0.5), "t": np.array(True)}, "training_mode is true"),
        (node("ScatterND", "x i u", reduction="add"), {"i": [[0]], "u": np.ones((1, 4, 8, 8), np.float32)}, "is add"),
    ],
)
def test_restrictions_on_attributes_and_constants(made: Any, constants: Arrays, said: str) -> None:
    problem = only(report([made], constants))
    assert problem.severity == "refused"
    assert said in problem.reason
    assert (problem.node, problem.operator) == ("node", made.op_type)
    assert "10." in problem.source
    assert problem.remedy


def test_more_than_three_spatial_dimensions_are_not_pooled() -> None:
    made = node("AveragePool", kernel_shape=[1, 1, 1, 1])
    assert "4 spatial dimensions" in only(report([made], shape=[1, 2, 3, 4, 5, 6])).reason
    assert report([node("AveragePool", kernel_shape=[2])], shape=[1, 2, 8]).verdict == "accepted"


def test_indices_of_a_maximum_are_not_given() -> None:
    made = helper.make_node("MaxPool", ["x"], ["y", "indices"], name="node", kernel_shape=[2, 2])
    assert "indices" in only(report([made])).reason


def test_where_axes_come_from() -> None:
    stored = report([node("ReduceSum", "x axes")], {"axes": np.array([1])})
    assert stored.verdict == "accepted"
    given = [helper.make_tensor_value_info("axes", TensorProto.INT64, [1])]
    assert "computed from the network's inputs" in only(report([node("ReduceSum", "x axes")], inputs=given)).reason
    folded = [helper.make_node("Neg", ["one"], ["axes"]), node("ReduceSum", "x axes")]
    found = report(folded, {"one": np.array([1])})
    assert found.verdict == "unknown"
    assert "computed from constants" in only(found).reason
    assert report(folded, {"one": np.array([1])}, target="rtx").verdict == "accepted"
    sizes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ReduceMin", ["s"], ["axes"], keepdims=1),
        node("ReduceSum", "x axes"),
    ]
    assert "sizes of tensors" in only(report(sizes)).reason


def test_what_no_release_takes_is_named() -> None:
    problem = only(report([node("Compress", "x c", axis=1)], {"c": np.array([True])}))
    assert problem.reason == "Compress is not supported"
    assert problem.source.startswith("onnx-tensorrt docs/operators.md")


def test_an_operator_that_no_one_has() -> None:
    problem = only(report([node("Frobnicate", domain="my.own")], domains=["my.own"]))
    assert problem.severity == "refused"
    assert "my.own::Frobnicate is no operator" in problem.reason
    near = only(report([node("Gellu", domain="my.own")], domains=["my.own"]))
    assert "did you mean Gelu?" in near.remedy


def test_a_plugin_of_the_release_is_left_open() -> None:
    nodes = [node("Region_TRT", domain="trt")]
    assert report(nodes, domains=["trt"]).verdict == "unknown"
    assert report(nodes, domains=["trt"], target="rtx").verdict == "refused"


def test_operators_are_looked_up_by_name_and_not_by_domain() -> None:
    problem = report([node("Gelu", domain="com.microsoft")], domains=["com.microsoft"], opset=20).problems[-1]
    assert problem.severity in ("warning", "unknown")
    found = report([node("Gelu", domain="com.microsoft")], domains=["com.microsoft"], opset=20)
    assert any("com.microsoft::Gelu" in each.reason and each.severity == "warning" for each in found.problems)


def test_types_an_operator_does_not_take() -> None:
    problem = report([node("MatMul", "x w")], {"w": np.ones((8, 8), np.int32)}, type=TensorProto.INT32).problems[0]
    assert problem.tensor == "x"
    assert "x is int32; bf16, fp16, fp32 are taken" in problem.reason


@pytest.mark.parametrize("kind", [TensorProto.UINT16, TensorProto.STRING, TensorProto.COMPLEX64])
def test_types_that_a_release_does_not_have(kind: int) -> None:
    found = report([node("Identity")], type=kind)
    assert found.verdict == "refused"
    assert "which the release does not have" in found.problems[0].reason
    assert found.problems[0].tensor == "x"


def test_double_precision_is_a_warning() -> None:
    found = report([node("Relu")], type=TensorProto.DOUBLE)
    assert found.verdict == "accepted"
    assert "cut down to single: x and 1 more" in only(found).reason


def test_eight_unsigned_bits_are_for_the_borders() -> None:
    inside = [
        helper.make_node("Cast", ["x"], ["bytes"], name="node", to=TensorProto.UINT8),
        helper.make_node("Cast", ["bytes"], ["y"], to=TensorProto.FLOAT),
    ]
    assert "inside the network" in only(report(inside)).reason
    assert report([node("Cast", to=TensorProto.FLOAT)], type=TensorProto.UINT8).verdict == "accepted"


def test_nodes_of_a_nested_graph_are_named_with_the_node_around_them() -> None:
    branches = {}
    for name in ("then", "else"):
        inner = helper.make_node("Compress", ["x", "c"], [f"{name}_out"], name="deep")
        output = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [None])
        branches[f"{name}_branch"] = helper.make_graph([inner], name, [], [output])
    made = helper.make_node("If", ["p"], ["y"], name="node", **branches)
    found = report([made], {"p": np.array(True), "c": np.array([True])})
    assert [each.node for each in found.problems] == ["node/deep", "node/deep"]


def test_a_loop_whose_counter_does_not_exist() -> None:
    values = {"i": (TensorProto.INT64, []), "c": (TensorProto.BOOL, []), "a": (TensorProto.FLOAT, [1])}
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c2"]),
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["a", "f"], ["a2"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, *kind) for name, kind in values.items()],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a2", TensorProto.FLOAT, [1]),
        ],
    )
    made = node("Loop", "m go x", body=body)
    for limit, verdict in ((5, "accepted"), (2**40, "refused")):
        found = report([made], {"m": np.array(limit), "go": np.array(True)}, shape=[1])
        assert found.table == verdict, found.problems


def test_activations_of_two_directions_have_to_agree() -> None:
    weights = {"w": np.ones((2, 3, 4), np.float32), "r": np.ones((2, 3, 3), np.float32)}
    same = ["Tanh", "Tanh"]
    for activations, verdict in ((same, "accepted"), (["Tanh", "Relu"], "refused")):
        made = node("RNN", "x w r", hidden_size=3, direction="bidirectional", activations=activations)
        assert report([made], weights, shape=[5, 1, 4]).verdict == verdict
