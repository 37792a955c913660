"""Self-attention found in a graph, and looked for in the layers of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.engine.attention_check import AttentionCheck, Pattern, attention_patterns, check_attention  # noqa: E402
from edgefer.engine.layers import LayerReport  # noqa: E402


def node(op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(op_type, list(inputs), [output], name=output, **attributes)


def model(nodes: Sequence[Any]) -> bytes:
    shape = [1, 8, 16, 16]
    names = ("q", "k", "v")
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.float32(0.25), "scale"),
            numpy_helper.from_array(np.zeros((16, 16), np.float32), "mask"),
            numpy_helper.from_array(np.zeros((16, 16), np.int8), "stored"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return bytes(made.SerializeToString())


def patterns(nodes: Sequence[Any]) -> tuple[Pattern, ...]:
    return attention_patterns(onnx.ModelProto.FromString(model(nodes)))


SCALED = [
    node("Mul", ["q", "scale"], "scaled"),
    node("MatMul", ["scaled", "k"], "scores"),
    node("Softmax", ["scores"], "weights", axis=-1),
    node("MatMul", ["weights", "v"], "y"),
]
PATTERN = Pattern(scores="scores", softmax="weights", values="y")


def layer(*names: str) -> LayerReport:
    return LayerReport(name="+".join(names), type="kgen", inputs=(), outputs=(), onnx=names)


def test_attention_as_tensorrt_wants_it() -> None:
    assert patterns(SCALED) == (PATTERN,)


def test_attention_with_a_scale_and_a_mask_in_between_is_still_attention() -> None:
    found = patterns(
        [
            node("MatMul", ["q", "k"], "scores"),
            node("Div", ["scores", "scale"], "scaled"),
            node("Add", ["scaled", "mask"], "masked"),
            node("Softmax", ["masked"], "weights", axis=-1),
            node("Cast", ["weights"], "cast", to=TensorProto.FLOAT),
            node("MatMul", ["cast", "v"], "y"),
        ]
    )
    assert found == (PATTERN,)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("MatMul", ["q", "mask"], "scores"), node("Softmax", ["scores"], "y", axis=-1)],
        [
            node("MatMul", ["q", "mask"], "scores"),
            node("Softmax", ["scores"], "weights", axis=-1),
            node("MatMul", ["weights", "v"], "y"),
        ],
        [
            node("DequantizeLinear", ["stored", "scale"], "weight"),
            node("Transpose", ["weight"], "turned"),
            node("MatMul", ["q", "turned"], "scores"),
            node("Softmax", ["scores"], "weights", axis=-1),
            node("MatMul", ["weights", "v"], "y"),
        ],
        [node("MatMul", ["q", "k"], "scores"), node("Softmax", ["scores"], "y", axis=-1)],
        [node("Softmax", ["q"], "weights", axis=-1), node("MatMul", ["weights", "v"], "y")],
    ],
    ids=["a classifier", "weights before", "quantised weights before", "nothing behind", "nothing before"],
)
def test_what_is_no_attention(nodes: list[Any]) -> None:
    assert patterns(nodes) == ()


def test_one_layer_that_holds_all_three_is_fused() -> None:
    found = check_attention(model(SCALED), [layer("scaled", "scores", "weights", "y"), layer("other")])
    assert found == AttentionCheck(patterns=1, fused=1)
    assert found.warnings() == []
    assert found.text() == "1 of 1 fused"


@pytest.mark.parametrize(
    "layers",
    [
        [layer("scores"), layer("weights"), layer("y")],
        [layer("scores", "weights"), layer("y")],
        [layer("scaled", "scores"), layer("weights", "y")],
    ],
)
def test_several_layers_are_a_warning_that_names_the_softmax(layers: list[LayerReport]) -> None:
    found = check_attention(model(SCALED), layers)
    assert (found.patterns, found.fused, found.unfused) == (1, 0, ("weights",))
    (warning,) = found.warnings()
    assert "weights" in warning
    assert "1 of 1" in warning


def test_layers_that_do_not_name_their_nodes_say_nothing() -> None:
    found = check_attention(model(SCALED), [LayerReport(name="a", type="kgen", inputs=(), outputs=())])
    assert not found.known
    assert "not known" in found.warnings()[0]
    assert "not known" in found.text()


def test_a_graph_without_attention_has_nothing_to_say() -> None:
    found = check_attention(model([node("Add", ["q", "k"], "y")]), [layer("y")])
    assert found == AttentionCheck()
    assert (found.warnings(), found.text()) == ([], "")
