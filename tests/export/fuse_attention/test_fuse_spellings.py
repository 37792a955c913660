"""Spellings that no exporter of today writes, and what keeps a block from being written; in ONNX text, not torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx import parser  # noqa: E402

from edgefer.errors import ExportError  # noqa: E402
from edgefer_export.checks import literal_graph, relative_error  # noqa: E402
from edgefer_export.fuse_attention import check, fuse, fuse_attention, recognise, rules  # noqa: E402
from edgefer_export.operators import attach_functions  # noqa: E402

C, HIDDEN, SIDE = 6, 3, 5
POOL = "p = ReduceMean <keepdims = 0> (x, spatial)"
FIRST = "h = Gemm <transB = 1> (p, w1, b1)"
RELU = "a = Relu (h)"
SECOND = "s = Gemm <transB = 1> (a, w2, b2)"
GATE = "g = Sigmoid (s)"
WIDE = "m = Unsqueeze (g, spatial)"
TIMES = "y = Mul (x, m)"
SE = (POOL, FIRST, RELU, SECOND, GATE, WIDE, TIMES)
SECOND_SE = (
    "p2 = ReduceMean <keepdims = 0> (y, spatial)",
    "h2 = Gemm <transB = 1> (p2, w1, b1)",
    "a2 = Relu (h2)",
    "s2 = Gemm <transB = 1> (a2, w2, b2)",
    "g2 = Sigmoid (s2)",
    "m2 = Unsqueeze (g2, spatial)",
    "z = Mul (y, m2)",
)
CBAM = (
    "pa = GlobalAveragePool (x)",
    "pm = GlobalMaxPool (x)",
    "ha = Conv (pa, w1c, b1)",
    "hm = Conv (pm, w1c, b1)",
    "aa = Relu (ha)",
    "am = Relu (hm)",
    "sa = Conv (aa, w2c, b2)",
    "sm = Conv (am, w2c, b2)",
    "s = Add (sa, sm)",
    "g = Sigmoid (s)",
    "c = Mul (x, g)",
    "top = ReduceMax <keepdims = 1> (c, channel)",
    "mid = ReduceMean <keepdims = 1> (c, channel)",
    "pair = Concat <axis = 1> (top, mid)",
    "q = Conv <pads = [3, 3, 3, 3]> (pair, ws)",
    "n = BatchNormalization (q, one, shift, mean, var)",
    "sp = Sigmoid (n)",
    "y = Mul (c, sp)",
)


def weights(seed: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = {
        "w1": rng.standard_normal((HIDDEN, C)),
        "b1": rng.standard_normal(HIDDEN),
        "w2": rng.standard_normal((C, HIDDEN)),
        "b2": rng.standard_normal(C),
        "ws": rng.standard_normal((1, 2, 7, 7)) / 7,
        "one": np.array([0.7]),
        "shift": np.array([0.3]),
        "mean": np.array([-0.2]),
        "var": np.array([1.7]),
        "zero": np.array(0.0),
        "three": np.array(3.0),
        "six": np.array(6.0),
        "half": np.array(0.5),
        "unit": np.array(1.0),
        "sixth": np.array(1 / 6),
    }
    drawn |= {
        "w1d": -drawn["w1"][:, :, None, None],
        "w1c": drawn["w1"][:, :, None, None],
        "w2c": drawn["w2"][:, :, None, None],
        "w1t": drawn["w1"].T,
    }
    found = {name: np.asarray(array, np.float32) for name, array in drawn.items()}
    whole = {"spatial": [2, 3], "backwards": [-1, -2], "channel": [1], "row": [1, C], "wide": [1, C, 1, 1], "rows": [3]}
    whole |= {"columns": [2], "full": [1, C, SIDE, SIDE]}
    return found | {name: np.asarray(values, np.int64) for name, values in whole.items()}


def model(lines: tuple[str, ...], outputs: str = "y", batch: str = "1", opset: int = 19) -> Any:
    shape = f"{batch}, {C}, {SIDE}, {SIDE}"
    ends = ", ".join(f"float[] {name}" for name in outputs.split())
    text = f'<ir_version: 9, opset_import: ["" : {opset}]>\nnet (float[{shape}] x) => ({ends}) {{\n'
    made = parser.parse_model(text + "\n".join(lines) + "\n}")
    read = {name for node in made.graph.node for name in node.input}
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights().items() if name in read]
    made.graph.initializer.extend(tensors)
    for value in made.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def changed(lines: tuple[str, ...], **by: str) -> tuple[str, ...]:
    """The lines, those that give the named tensors replaced."""
    return tuple(by.get(line.split(" = ")[0], line) for line in lines)


def check_same(before: Any, after: Any) -> None:
    onnx.checker.check_model(after, full_check=True)
    graphs = literal_graph(before), literal_graph(after)
    for seed in range(2):
        feeds = {"x": np.random.default_rng(seed).standard_normal((1, C, SIDE, SIDE)).astype(np.float32)}
        expected, found = (graph.run(feeds) for graph in graphs)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert relative_error(found[name], value) <= 1e-5


SQUEEZES = {
    "plain": SE,
    "axes from behind": changed(SE, p="p = ReduceMean <keepdims = 0> (x, backwards)"),
    "two means": changed(
        SE, p="r = ReduceMean <keepdims = 1> (x, rows)\nt = ReduceMean <keepdims = 1> (r, columns)\np = Flatten (t)"
    ),
    "window": changed(SE, p=f"t = AveragePool <kernel_shape = [{SIDE}, {SIDE}]> (x)\np = Reshape (t, row)"),
    "product": changed(SE, h="t = MatMul (p, w1t)\nh = Add (b1, t)"),
    "no biases": changed(SE, h="h = Gemm <transB = 1> (p, w1)", s="s = Gemm <transB = 1> (a, w2)"),
    "clip behind": changed(SE, g="t = Add (s, three)\nu = Clip (t, zero, six)\ng = Div (u, six)"),
    "clip before": changed(SE, g="t = Mul (sixth, s)\nu = Add (t, half)\ng = Clip (u, zero, unit)"),
    "hard sigmoid": changed(SE, g="g = HardSigmoid <alpha = 0.25, beta = 0.5> (s)"),
    "squeezed": changed(SE, p="t = GlobalAveragePool (x)\np = Squeeze (t, spatial)", m="m = Reshape (g, wide)"),
    "expanded": changed(SE, m="t = Unsqueeze (g, spatial)\nm = Expand (t, full)"),
    "gate first": changed(SE, y="y = Mul (m, x)"),
}


@pytest.mark.parametrize("name", SQUEEZES)
def test_a_squeeze_and_excite_is_found(name: str) -> None:
    before = model(SQUEEZES[name])
    fused = fuse_attention(before)
    assert fused.report.counts == {"ChannelGate": 1}
    assert [node.op_type for node in fused.model.graph.node] == ["ChannelGate"]
    check_same(before, fused.model)


def test_axes_as_an_attribute_are_read_in_an_older_opset() -> None:
    lines = changed(SE, p="p = ReduceMean <axes = [2, 3], keepdims = 0> (x)")
    report = recognise(model(lines, opset=13))
    assert report.counts == {"ChannelGate": 1}
    with pytest.raises(ExportError, match="opset 13, expected 19"):
        fuse_attention(model(lines, opset=13))


CBAMS = {
    "plain": CBAM,
    "mean first": changed(CBAM, pair="pair = Concat <axis = 1> (mid, top)"),
    "axis from behind": changed(CBAM, pair="pair = Concat <axis = -3> (top, mid)"),
    "same padding": changed(CBAM, q='q = Conv <auto_pad = "SAME_UPPER"> (pair, ws)'),
    "bias": changed(CBAM, q="q = Conv <pads = [3, 3, 3, 3]> (pair, ws, shift)"),
    "keepdims 0": changed(CBAM, top="t = ReduceMax <keepdims = 0> (c, channel)\ntop = Unsqueeze (t, channel)"),
    "other order": changed(CBAM, s="s = Add (sm, sa)", c="c = Mul (g, x)", y="y = Mul (sp, c)"),
}


@pytest.mark.parametrize("name", CBAMS)
def test_a_cbam_is_found(name: str) -> None:
    before = model(CBAMS[name])
    fused = fuse_attention(before)
    assert fused.report.counts == {"CbamAttention": 1}
    assert [node.op_type for node in fused.model.graph.node] == ["CbamAttention"]
    check_same(before, fused.model)


TAILS = {
    "residual and ReLU": (("t = Add (y, x)", "z = Relu (t)"), "z", ["CbamAttention"], 8, 1),
    "residual": (("z = Add (x, y)", "o = Neg (z)"), "o", ["CbamAttention", "Neg"], 8, 0),
    "ReLU": (("z = Relu (y)",), "z", ["CbamAttention"], 7, 1),
    "product is seen": (("z = Add (y, x)",), "y z", ["CbamAttention", "Add"], 7, 0),
    "sum is seen": (("t = Add (y, x)", "z = Relu (t)"), "t z", ["CbamAttention", "Relu"], 8, 0),
    "product is read twice": (("t = Add (y, x)", "z = Add (t, y)"), "z", ["CbamAttention", "Add", "Add"], 7, 0),
}


@pytest.mark.parametrize("name", TAILS)
def test_addition_and_relu_are_taken_where_that_is_safe(name: str) -> None:
    lines, outputs, expected, inputs, relu = TAILS[name]
    before = model((*CBAM, *lines), outputs)
    fused = fuse_attention(before)
    assert [node.op_type for node in fused.model.graph.node] == expected
    (node,) = (node for node in fused.model.graph.node if node.domain == "edgefer")
    assert len(node.input) == inputs
    assert {attribute.name: attribute.i for attribute in node.attribute}["relu"] == relu
    check_same(before, fused.model)


def test_a_residual_of_another_shape_is_no_part_of_the_node() -> None:
    before = model((*CBAM, "r = ReduceMean <keepdims = 1> (x, channel)", "z = Add (y, r)"), "z")
    fused = fuse_attention(before)
    assert [node.op_type for node in fused.model.graph.node][-1] == "Add"
    assert fused.report.counts == {"CbamAttention": 1}
    check_same(before, fused.model)


LEFT = {
    "gate is an output": (SE, "y g", "a part of it is read elsewhere, too"),
    "hidden vector is read": ((*SE, "z = Neg (a)"), "y z", "a part of it is read elsewhere, too"),
    "other maps are pooled": (
        changed(
            SE, p="n = Neg (x)\np = ReduceMean <keepdims = 0> (n, spatial)", y="e = ReduceMean (x, spatial)\n" + TIMES
        ),
        "y e",
        None,
    ),
    "rows alone are pooled": (
        changed(SE, p="t = ReduceMean <keepdims = 0> (x, rows)\np = ReduceMax <keepdims = 0> (t, columns)"),
        "y",
        None,
    ),
    "leaky": (changed(SE, a="a = LeakyRelu (h)"), "y", "no ReLU between its layers (found LeakyRelu)"),
    "clip to 2": (
        changed(SE, g="t = Add (s, three)\nu = Clip (t, zero, six)\ng = Div (u, three)"),
        "y",
        "a Clip between 0 and 2, not 0 and 1",
    ),
    "alpha": (changed(SE, h="h = Gemm <transB = 1, alpha = 2.0> (p, w1, b1)"), "y", "a Gemm with a transposed input"),
    "strides": (
        changed(CBAM, q="t = Conv <pads = [3, 3, 3, 3], strides = [5, 5]> (pair, ws)\nq = Identity (t)"),
        "y",
        None,
    ),
    "two means": (
        changed(CBAM, top="top = ReduceMean <keepdims = 1> (c, channel)"),
        "y",
        "the spatial gate reads average",
    ),
    "two layers": (
        changed(CBAM, hm="hm = Conv (pm, w1d, b1)"),
        "y",
        "the pooled vectors pass through different layers",
    ),
    "hard gate": (
        changed(CBAM, g="g = HardSigmoid (s)"),
        "y",
        "a channel gate from average and maximum and no spatial gate",
    ),
    "descriptor of the input": (
        changed(CBAM, top="top = ReduceMax <keepdims = 1> (x, channel)"),
        "y",
        "the spatial gate is computed from another tensor",
    ),
    "training": (
        changed(CBAM, n="n, rm, rv = BatchNormalization <training_mode = 1> (q, one, shift, mean, var)"),
        "y",
        "a batch norm in training",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_sure_stays_and_is_said(name: str) -> None:
    lines, outputs, reason = LEFT[name]
    before = model(lines, outputs)
    fused = fuse_attention(before)
    assert fused.model is before
    assert fused.report.found == ()
    if reason is not None:
        assert any(near.reason.startswith(reason) for near in fused.report.near), fused.report.near


def test_a_free_batch_is_taken() -> None:
    before = model(changed(SE, p="t = GlobalAveragePool (x)\np = Flatten (t)"), batch="N")
    fused = fuse_attention(before)
    assert [node.op_type for node in fused.model.graph.node] == ["ChannelGate"]
    check_same(before, fused.model)


def test_a_graph_that_came_quantised_stays() -> None:
    quantised = ("k = QuantizeLinear (x, unit)", "d = DequantizeLinear (k, unit)")
    before = model((*quantised, *(line.replace("(x,", "(d,") for line in SE)))
    assert recognise(before).counts == {"ChannelGate": 1}
    assert fuse_attention(before).model is before


def test_channels_that_are_not_known_are_left() -> None:
    before = model(SE)
    before.graph.input[0].type.tensor_type.shape.dim[1].Clear()
    del before.graph.value_info[:]
    assert fuse_attention(before).model is before


def test_a_match_that_computes_something_else_is_undone_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "TOLERANCE", 1e-12)
    before = model(SE)
    fused = fuse_attention(before)
    assert fused.model is before
    assert fused.report.found == ()
    (near,) = fused.report.near
    assert near.kind == "ChannelGate"
    assert "off by" in near.reason


def test_a_reader_that_errs_is_caught_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer_export.fuse_attention import cbam

    monkeypatch.setattr(cbam, "pooled_channels", swapped(cbam.pooled_channels))
    fused = fuse_attention(model(CBAM))
    assert fused.report.found == ()
    assert any("off by" in near.reason for near in fused.report.near)


def swapped(read: Any) -> Any:
    """A reader that takes the mean for the maximum, and the other way round."""
    other = {"average": "maximum", "maximum": "average"}

    def reads(*arguments: Any) -> Any:
        kind, source = read(*arguments)
        return other[kind], source

    return reads


def test_a_whole_that_differs_is_undone_match_by_match(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer_export.fuse_attention import fuse

    before = model((*SE, *SECOND_SE), "z")
    assert fuse_attention(before).report.counts == {"ChannelGate": 2}
    real = fuse.whole_difference

    def differs_with_two(first: Any, then: Any) -> str:
        ours = sum(node.domain == "edgefer" for node in then.graph.node)
        return "it is off" if ours == 2 else real(first, then)

    monkeypatch.setattr(fuse, "whole_difference", differs_with_two)
    fused = fuse_attention(before)
    assert fused.report.counts == {"ChannelGate": 1}
    assert [near.reason for near in fused.report.near] == ["in the whole graph it is off"]
    check_same(before, fused.model)


def raises(*arguments: Any) -> Any:
    raise ValueError("nobody thought of this\nand a trace")


def test_a_graph_that_cannot_be_searched_or_written_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer_export.fuse_attention import fuse

    before = model(SE)
    with monkeypatch.context() as patched:
        patched.setattr(fuse, "rewritten", raises)
        fused = fuse_attention(before)
        assert fused.model is before
        (near,) = fused.report.near
        assert near.reason == "in the whole graph it cannot be written: ValueError: nobody thought of this"
    monkeypatch.setattr(fuse, "as_graph", raises)
    fused = fuse_attention(before)
    assert fused.model is before
    assert fused.report.sentences() == recognise(before).sentences()
    assert "cannot be searched for attention: ValueError: nobody thought of this" in fused.report.sentences()[0]


def test_blocks_of_one_operator_become_one_variant() -> None:
    """A model has one function of a name: biases are filled up with zeros, another gate stays as it is."""
    bare = changed(SECOND_SE, h2="h2 = Gemm <transB = 1> (p2, w1)", s2="s2 = Gemm <transB = 1> (a2, w2)")
    hard = (
        "p3 = ReduceMean <keepdims = 0> (z, spatial)",
        "h3 = Gemm <transB = 1> (p3, w1)",
        "a3 = Relu (h3)",
        "s3 = Gemm <transB = 1> (a3, w2)",
        "g3 = HardSigmoid (s3)",
        "m3 = Unsqueeze (g3, spatial)",
        "o = Mul (z, m3)",
    )
    before = model((*SE, *bare, *hard), "o")
    fused = fuse_attention(before)
    assert fused.report.counts == {"ChannelGate": 2}
    assert sum(node.domain == "edgefer" for node in fused.model.graph.node) == 2
    (near,) = fused.report.near
    assert "hard_sigmoid" in near.reason
    assert len(fused.model.functions) == 1
    check_same(before, fused.model)


def test_nodes_that_are_there_already_decide_the_variant() -> None:
    lines = (*changed(SE, y="y = Mul (x, m)"), "z = Identity (y)")
    before = model(lines, "z")
    gate = onnx.helper.make_node("ChannelGate", ["y", "w1", "", "w2"], ["z"], "own", domain="edgefer", gate="sigmoid")
    before.graph.node[-1].CopyFrom(gate)
    before.opset_import.append(onnx.helper.make_opsetid("edgefer", 1))
    before = attach_functions(before).model
    fused = fuse_attention(before)
    assert fused.model is before
    assert "without b1" in fused.report.near[0].reason
    assert "the nodes that are there already are" in fused.report.near[0].reason


@pytest.mark.parametrize("which", [0, 1])
def test_what_the_rewriter_leaves_out_is_listed(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(before: Any, graph: Any, blocks: Any, attentions: Any) -> Any:
        kept = [block for index, block in enumerate(blocks) if index != which or len(blocks) == 1]
        return rules.rewritten(before, graph, kept, attentions)

    monkeypatch.setattr(fuse, "rewritten", forgetful)
    before = model((*SE, *SECOND_SE), "z")
    fused = fuse_attention(before)
    assert fused.report.counts == {"ChannelGate": 1}
    assert sum(node.domain == "edgefer" for node in fused.model.graph.node) == 1
    (near,) = fused.report.near
    assert "of {'ChannelGate': 2} blocks" in near.reason
    check_same(before, fused.model)


def test_equal_weights_are_stored_once() -> None:
    fused = fuse_attention(model((*SE, *SECOND_SE), "z"))
    assert fused.report.counts == {"ChannelGate": 2}
    assert len(fused.model.graph.initializer) == 4
