"""The decision node by node: what stays for a plugin, what is written out in standard operators, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.engine.plugin_nodes import SIGNATURES  # noqa: E402
from edgefer.engine.portable import Prepared, holds_operators, prepare  # noqa: E402
from edgefer.engine.register import unsupported  # noqa: E402
from edgefer.plugins.fields import FIELDS  # noqa: E402
from edgefer.plugins.operations import OPERATIONS  # noqa: E402
from edgefer_export.operators import OPERATORS, attach_functions  # noqa: E402

ALL = frozenset(("edgefer", name) for name in SIGNATURES)
CHANNELS, HIDDEN = 32, 4


def cbam(name: str, source: str, target: str, *, kernel: int = 7, residual: str = "") -> Any:
    inputs = [source, "W1", "b1", "W2", "b2", f"Ws{kernel}", "bs", *([residual] if residual else [])]
    return helper.make_node(
        "CbamAttention", inputs, [target], name=name, domain="edgefer", spatial_kernel=kernel, relu=1
    )


def gate(name: str, source: str, target: str, *, biases: Sequence[str] = ("b1", "b2")) -> Any:
    inputs = [source, "W1", biases[0], "W2", biases[1]]
    return helper.make_node("ChannelGate", inputs, [target], name=name, domain="edgefer")


def model(nodes: Sequence[Any], *, batch: int | str = 1, channels: int = CHANNELS, element: Any = np.float32) -> bytes:
    """Nodes from x to y, both (batch, channels, 6, 5), with weights for all of them and the operators' functions."""
    rng = np.random.default_rng(2)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return (rng.standard_normal(shape) / 4).astype(element)

    weights = {
        **{"W1": draw(HIDDEN, channels), "b1": draw(HIDDEN), "W2": draw(channels, HIDDEN), "b2": draw(channels)},
        **{f"Ws{kernel}": draw(1, 2, kernel, kernel) for kernel in (3, 5, 7, 9)},
        "bs": draw(1),
    }
    kind = TensorProto.FLOAT if element is np.float32 else TensorProto.FLOAT16
    shape = [batch, channels, 6, 5]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("edgefer", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(attach_functions(made).model.SerializeToString())


def prepared(data: bytes, **named: Any) -> tuple[Prepared, Any]:
    result = prepare(data, ALL, unsupported, **named)
    return result, onnx.ModelProto.FromString(result.onnx)


def run(data: bytes, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    answer: np.ndarray[Any, Any] = session.run(None, {"x": x})[0]
    return answer


def test_signatures_are_those_of_the_host_half_and_of_the_plugins() -> None:
    assert set(SIGNATURES) == set(OPERATORS) == set(OPERATIONS)
    for name, signature in SIGNATURES.items():
        assert signature.inputs == OPERATORS[name].inputs == OPERATIONS[name].inputs
        assert set(signature.optional) == OPERATORS[name].optional == set(OPERATIONS[name].optional)


def test_what_there_are_kernels_for_stays() -> None:
    result, graph = prepared(model([cbam("a", "x", "m", residual="x"), cbam("b", "m", "y", residual="x")]))
    assert result.operators == {"CbamAttention": 2}
    assert result.written_out == ()
    assert not graph.functions
    assert [node.op_type for node in graph.graph.node] == ["CbamAttention", "CbamAttention"]


def test_a_kernel_size_that_nobody_wrote_falls_back_alone_and_is_said() -> None:
    result, graph = prepared(model([cbam("odd", "x", "m", kernel=9), gate("gate", "m", "y")]))
    assert result.operators == {"ChannelGate": 1}
    (told,) = result.written_out
    assert (told.node, told.operator) == ("odd", "CbamAttention")
    assert "9 x 9" in told.reason
    assert told.text() == f"node odd (CbamAttention): {told.reason}: written out"
    assert [node.op_type for node in graph.graph.node if node.domain] == ["ChannelGate"]


def test_nodes_of_one_operator_are_told_apart_by_their_sizes() -> None:
    def only(operator: str, attributes: Any, inputs: Any) -> str:
        return "" if inputs["X"].shape[2] == 6 else f"maps of height {inputs['X'].shape[2]}"

    pool = helper.make_node("MaxPool", ["m"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2])
    up = helper.make_node("Resize", ["q", "", "", "sizes"], ["y"], name="up", mode="nearest")
    data = onnx.ModelProto.FromString(model([cbam("a", "x", "m"), pool, cbam("b", "p", "q"), up]))
    data.graph.initializer.append(numpy_helper.from_array(np.array([1, CHANNELS, 6, 5]), "sizes"))
    result = prepare(data.SerializeToString(), ALL, only)
    assert result.operators == {"CbamAttention": 1}
    assert [(each.node, each.reason) for each in result.written_out] == [("b", "maps of height 3")]
    nodes = onnx.ModelProto.FromString(result.onnx).graph.node
    assert [node.name for node in nodes if node.domain == "edgefer"] == ["a"]
    assert len({node.name for node in nodes}) == len(nodes)


def test_what_falls_back_computes_the_same() -> None:
    data = model([cbam("odd", "x", "y", kernel=9)])
    x = np.random.default_rng(4).standard_normal((1, CHANNELS, 6, 5)).astype(np.float32)
    result, _ = prepared(data)
    np.testing.assert_array_equal(run(data, x), run(result.onnx, x))


def test_a_dynamic_batch_is_no_obstacle() -> None:
    assert prepared(model([cbam("a", "x", "y")], batch="N"))[0].operators == {"CbamAttention": 1}


def test_other_sizes_that_are_not_known_are() -> None:
    data = onnx.ModelProto.FromString(model([cbam("a", "x", "y")]))
    data.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    result = prepare(data.SerializeToString(), ALL, unsupported)
    assert result.operators == {}
    assert "batch" in result.written_out[0].reason


def test_a_tensor_without_a_shape_is_named() -> None:
    data = onnx.ModelProto.FromString(model([cbam("a", "x", "y")]))
    data.graph.input[0].type.tensor_type.ClearField("shape")
    reason = prepare(data.SerializeToString(), ALL, unsupported).written_out[0].reason
    assert reason == "the size of X is not known"


@pytest.mark.parametrize(
    ("nodes", "mask", "inputs"),
    [
        ([cbam("a", "x", "y")], 0, 7),
        ([cbam("a", "x", "y", residual="x")], 1, 8),
        ([gate("a", "x", "y")], 3, 5),
        ([gate("a", "x", "y", biases=("b1", ""))], 1, 4),
        ([gate("a", "x", "y", biases=("", "b2"))], 2, 4),
    ],
)
def test_a_plugin_is_told_which_inputs_there_are(nodes: list[Any], mask: int, inputs: int) -> None:
    (node,) = (each for each in prepared(model(nodes))[1].graph.node if each.domain)
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    assert values["present"] == mask
    # A parser warns of every field that a node leaves out, and some releases refuse it.
    assert {field.name for field in FIELDS[node.op_type]} <= set(values)
    assert values["y_scale"] == 0
    assert len(node.input) == inputs
    assert all(node.input)


def test_nodes_inside_control_flow_are_written_out() -> None:
    data = onnx.ModelProto.FromString(model([cbam("a", "x", "y")]))
    node = onnx.NodeProto()
    node.CopyFrom(data.graph.node[-1])
    del data.graph.node[:]
    node.output[0] = "inner"
    branch = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])
    data.graph.node.append(helper.make_node("If", ["yes"], ["y"], name="if", then_branch=branch, else_branch=branch))
    data.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    result = prepare(data.SerializeToString(), ALL, unsupported)
    assert result.operators == {}
    assert {each.reason for each in result.written_out} == {"it is inside control flow"}
    graph = onnx.ModelProto.FromString(result.onnx).graph
    assert not any(each.domain for attribute in graph.node[0].attribute for each in attribute.g.node)


def test_equal_input_gives_equal_bytes() -> None:
    data = model([cbam("odd", "x", "m", kernel=9), gate("gate", "m", "y")])
    assert prepared(data)[0].onnx == prepared(data)[0].onnx


def test_a_graph_is_asked_whether_it_has_anything_for_a_plugin() -> None:
    assert holds_operators(model([gate("a", "x", "y")]))
    relu = helper.make_node("Relu", ["x"], ["y"])
    assert not holds_operators(model([relu]))
