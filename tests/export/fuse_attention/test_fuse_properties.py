"""Random graphs around a block: whatever is found, the graph computes what it did and is no larger."""

from __future__ import annotations

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


class Builder:
    """A graph as it grows: `maps` are tensors (1, C, H, W), `vectors` (1, C); what is drawn decides each next node."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.channels, self.hidden, self.side = draw(st.sampled_from([(1, 1, 3), (3, 1, 4), (4, 2, 3), (6, 3, 5)]))
        self.rng = np.random.default_rng(draw(st.integers(0, 99)))
        self.nodes: list[Any] = []
        self.stored: dict[str, Any] = {}
        self.maps, self.blocks = ["x"], 0
        self.spatial, self.channel = self.weight([2, 3], np.int64), self.weight([1], np.int64)

    def weight(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self.stored)}"
        self.stored[name] = numpy_helper.from_array(np.asarray(values, dtype), name)
        return name

    def random(self, *shape: int) -> str:
        return self.weight(self.rng.standard_normal(shape))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], f"n{len(self.nodes)}", **attributes))
        return output

    def chosen(self, *of: Any) -> Any:
        return self.draw(st.sampled_from(of))

    def pooled(self, maps: str, kind: str) -> str:
        """Over all positions, with or without axes of 1."""
        if self.chosen(True, False):
            return self.node("GlobalAveragePool" if kind == "Mean" else "GlobalMaxPool", maps)
        return self.node(f"Reduce{kind}", maps, self.spatial, keepdims=1)

    def dense(self, value: str, weight: np.ndarray, bias: np.ndarray | None) -> str:
        """(1, in, 1, 1) to (1, out, 1, 1)."""
        spelling = self.chosen("Conv", "Gemm", "MatMul")
        if spelling == "Conv":
            extra = [] if bias is None else [self.weight(bias)]
            return self.node("Conv", value, self.weight(weight[:, :, None, None]), *extra)
        flat = self.node("Flatten", value)
        if spelling == "Gemm":
            extra = [] if bias is None else [self.weight(bias)]
            flat = self.node("Gemm", flat, self.weight(weight), *extra, transB=1)
        else:
            flat = self.node("MatMul", flat, self.weight(weight.T))
            flat = flat if bias is None else self.node("Add", flat, self.weight(bias))
        return self.node("Unsqueeze", flat, self.spatial)

    def gate(self, maps: str, poolings: tuple[str, ...]) -> str:
        first, second = self.rng.standard_normal((self.hidden, self.channels)), self.rng.standard_normal
        second = second((self.channels, self.hidden))
        biases = [
            self.rng.standard_normal(n) if self.chosen(True, False) else None for n in (self.hidden, self.channels)
        ]
        activation = self.chosen("Relu", "Relu", "Relu", "Relu", "Relu", "Tanh")
        scores = []
        for kind in poolings:
            hidden = self.node(activation, self.dense(self.pooled(maps, kind), first, biases[0]))
            scores.append(self.dense(hidden, second, biases[1]))
        score = scores[0] if len(scores) == 1 else self.node("Add", *scores)
        return self.node("Sigmoid", score)

    def block(self) -> None:
        maps = self.chosen(*self.maps)
        poolings = self.chosen(("Mean",), ("Mean", "Max"), ("Max", "Mean"))
        product = self.node("Mul", *self.draw(st.permutations([maps, self.gate(maps, poolings)])))
        if len(poolings) == 2 and self.chosen(True, True, False):
            pair = [self.node(f"Reduce{kind}", product, self.channel, keepdims=1) for kind in ("Mean", "Max")]
            joined = self.node("Concat", *self.draw(st.permutations(pair)), axis=1)
            side = self.chosen(3, 5, 7)
            spatial = self.node("Conv", joined, self.random(1, 2, side, side), pads=[side // 2] * 4)
            product = self.node("Mul", product, self.node("Sigmoid", spatial))
        self.maps.append(product)

    def around(self) -> None:
        kind = self.chosen("Relu", "Neg", "Add", "Mul", "Conv")
        first, second = self.chosen(*self.maps), self.chosen(*self.maps)
        if kind in ("Add", "Mul"):
            self.maps.append(self.node(kind, first, second))
        elif kind == "Conv":
            self.maps.append(self.node("Conv", first, self.random(self.channels, self.channels, 3, 3), pads=[1] * 4))
        else:
            self.maps.append(self.node(kind, first))

    def model(self) -> Any:
        for step in self.draw(st.lists(st.sampled_from(["block", "block", "around"]), min_size=1, max_size=6)):
            self.block() if step == "block" else self.around()
        made = [name for node in self.nodes for name in node.output]
        # The last one, and sometimes one from the middle of whatever has been made.
        outputs = dict.fromkeys([self.maps[-1] if self.maps[-1] != "x" else made[-1], self.chosen(made[-1], *made)])
        shape = [1, self.channels, self.side, self.side]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            list(self.stored.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)


@st.composite
def models(draw: Any) -> Any:
    return Builder(draw).model()


def check_a_graph(model: Any) -> int:
    """That a graph computes what it did; how many blocks were found in it."""
    before = model.SerializeToString(deterministic=True)
    fused = fuse_attention(model)
    assert model.SerializeToString(deterministic=True) == before
    assert fused.changed == bool(fused.report.found)
    assert len(fused.model.graph.node) <= len(model.graph.node) - 4 * len(fused.report.found)
    onnx.checker.check_model(fused.model, full_check=True)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    expected, found = literal_graph(model).run(feeds), literal_graph(fused.model).run(feeds)
    assert list(found) == list(expected)
    for name, value in expected.items():
        # Products of maps with themselves may follow one another, and each doubles what is off before it.
        assert relative_error(found[name], value) <= 1e-4
    return len(fused.report.found)


@pytest.mark.parametrize("count", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_a_random_graph_computes_what_it_did(count: int) -> None:
    found: list[int] = []

    @settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck))
    @given(model=models())
    def check(model: Any) -> None:
        found.append(check_a_graph(model))

    check()
    # A search that finds nothing would pass everything above.
    assert sum(map(bool, found)) >= count / 4
    assert max(found) >= 2
