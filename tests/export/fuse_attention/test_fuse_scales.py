"""Scaled dot-product attention with its scale anywhere: one on Q when it is written, and the same results."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer_export.checks import literal_graph, relative_error  # noqa: E402
from edgefer_export.fuse_attention import fuse_attention  # noqa: E402

HEADS, TOKENS, DIM = 2, 4, 3
SCALES = st.sampled_from(["", "Mul", "Div", "Mul from the left"])


class Attention:
    """q, k and v of shape (1, heads, tokens, dim) to the weighted v, node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.stored: dict[str, Any] = {}

    def weight(self, values: Any) -> str:
        name = f"w{len(self.stored)}"
        self.stored[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(operator, inputs, [f"t{len(self.nodes)}"], f"n{len(self.nodes)}", **attributes)
        )
        return str(self.nodes[-1].output[0])

    def scaled(self, value: str, how: str, shape: tuple[int, ...]) -> str:
        if not how:
            return value
        number = self.weight(np.full(shape, 0.7, np.float32))
        if how == "Mul from the left":
            return self.node("Mul", number, value)
        return self.node(how, value, number)

    def model(self, outputs: tuple[str, ...], batch: int | str) -> Any:
        shape = [batch, HEADS, TOKENS, DIM]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "attention",
            [value(name, TensorProto.FLOAT, shape) for name in "qkv"],
            [value(name, TensorProto.FLOAT, None) for name in outputs],
            list(self.stored.values()),
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        return onnx.shape_inference.infer_shapes(made, data_prop=True)


def compare(before: Any, after: Any) -> None:
    onnx.checker.check_model(after, full_check=True)
    assert len(after.graph.node) <= len(before.graph.node)
    rng = np.random.default_rng(3)
    feeds = {name: rng.standard_normal((1, HEADS, TOKENS, DIM)).astype(np.float32) for name in "qkv"}
    expected, found = literal_graph(before).run(feeds), literal_graph(after).run(feeds)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert relative_error(found[name], value) <= 1e-5


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_scale_goes_to_q_and_nothing_else_changes(data: Any) -> None:
    draw = data.draw
    net, shape = Attention(), draw(st.sampled_from([(), (1,), (1, 1, 1, 1)]))
    on_query, on_key, behind = (draw(SCALES) for _ in range(3))
    query = net.scaled("q", on_query, shape)
    if draw(st.booleans()):
        query = net.node("Reshape", query, net.weight(np.array([-1, HEADS, TOKENS, DIM], np.int64)))
    key_first = draw(st.booleans())
    key = net.scaled("k", on_key, shape) if key_first else "k"
    key = net.node("Transpose", key, perm=[0, 1, 3, 2])
    key = key if key_first else net.scaled(key, on_key, shape)
    product = net.node("MatMul", query, key)
    scores = net.scaled(product, behind, shape)
    mask = draw(st.sampled_from(["", "Add", "Where"]))
    if mask == "Add":
        scores = net.node("Add", scores, net.weight(np.linspace(-1, 1, TOKENS, dtype=np.float32)))
    elif mask == "Where":
        hidden = net.weight(np.triu(np.ones((TOKENS, TOKENS)), 1).astype(bool))
        scores = net.node("Where", hidden, net.weight(np.float32(-1e9)), scores)
    result = net.node("MatMul", net.node("Softmax", scores, axis=draw(st.sampled_from([-1, 3]))), "v")
    seen = draw(st.sampled_from([(), (), (), (product,), (query,), (scores,)]))
    before = net.model(tuple(dict.fromkeys((result, *(name for name in seen if name not in "qk")))), 1)
    fused = fuse_attention(before)
    compare(before, fused.model)
    scaling = Counter(node.op_type for node in fused.model.graph.node if node.op_type in ("Mul", "Div"))
    if product in seen and behind:
        assert not fused.changed
    elif query not in seen:
        assert fused.report.counts == {"attention": 1}
        assert fused.changed == bool(on_key or behind)
        assert scaling.total() == bool(on_query or on_key or behind)


def test_a_free_batch_is_taken() -> None:
    net = Attention()
    product = net.node("MatMul", "q", net.node("Transpose", "k", perm=[0, 1, 3, 2]))
    scores = net.node("Div", product, net.weight(np.float32(2)))
    before = net.model((net.node("MatMul", net.node("Softmax", scores, axis=-1), "v"),), "N")
    fused = fuse_attention(before)
    assert fused.report.counts == {"attention": 1}
    compare(before, fused.model)


@pytest.mark.parametrize("kind", ["axis", "tensor", "twice", "no values", "constant key"])
def test_what_is_no_attention_of_this_kind_stays(kind: str) -> None:
    net = Attention()
    key = net.weight(np.ones((1, HEADS, DIM, TOKENS), np.float32)) if kind == "constant key" else ""
    product = net.node("MatMul", "q", key or net.node("Transpose", "k", perm=[0, 1, 3, 2]))
    factor = net.node("ReduceMax", "k", keepdims=1) if kind == "tensor" else net.weight(np.float32(0.5))
    scores = net.node("Mul", product, factor)
    if kind == "twice":
        scores = net.node("Mul", scores, net.weight(np.float32(0.5)))
    weights = net.node("Softmax", scores, axis=2 if kind == "axis" else -1)
    result = net.node("Add", weights, weights) if kind == "no values" else net.node("MatMul", weights, "v")
    before = net.model((result,), 1)
    fused = fuse_attention(before)
    assert fused.model is before
    assert fused.report.found == ()
    # Without a product behind the softmax it is not nearly an attention either.
    assert bool(fused.report.near) == (kind not in ("no values",))
