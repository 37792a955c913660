"""Half precision by casts: valid, quantised where it was, with its functions, and computing nearly the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.errors import ExportError  # noqa: E402
from edgefer_export.checks import literal_graph, random_feeds, relative_error  # noqa: E402
from edgefer_export.half import to_half  # noqa: E402
from edgefer_export.operators import attach_functions, operator_counts  # noqa: E402


def model_of(text: str, **weights: np.ndarray) -> Any:
    """A model of opset 19 whose graph is written in ONNX's text form."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return model


def element_types(model: Any) -> dict[str, int]:
    graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def assert_same_within(model: Any, tolerance: float = 5e-3) -> Any:
    """Convert, run both, and give the converted model."""
    half = to_half(model).model
    onnx.checker.check_model(half, full_check=True)
    assert half.ir_version == 9
    for value in (*half.graph.input, *half.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    before, after = literal_graph(model), literal_graph(half)
    for seed in (1, 2):
        feeds = random_feeds(model, seed)
        reference, found = before.run(feeds), after.run(feeds)
        assert reference.keys() == found.keys()
        for name, value in reference.items():
            assert relative_error(found[name], value) <= tolerance
    return half


RNG = np.random.default_rng(0)
W = RNG.normal(0, 1, (4, 3, 3, 3)).astype(np.float32)
B = RNG.normal(0, 1, (4,)).astype(np.float32)


def test_inner_tensors_and_weights_are_half_and_the_interface_is_not() -> None:
    model = model_of("g (float[1,3,8,8] x) => (float[1,4,6,6] y) { a = Conv (x, w, b)\n y = Relu (a) }", w=W, b=B)
    half = assert_same_within(model)
    assert {tensor.data_type for tensor in half.graph.initializer} == {TensorProto.FLOAT16}
    assert element_types(half)["a"] == TensorProto.FLOAT16
    assert [node.op_type for node in half.graph.node] == ["Cast", "Conv", "Relu", "Cast"]


CASES = {
    "an output that is also read inside": "g (float[2,4] x) => (float[2,4] e, float[2,4] y) "
    "{ e = Relu (x)\n y = Sigmoid (e) }",
    "nodes without names": "g (float[2,4] x) => (float[2,4] y) { a = Relu (x)\n b = Sigmoid (x)\n y = Add (a, b) }",
    "a cast to float": "g (float[2,4] x) => (float[2,4] y) "
    "{ i = Cast <to = 6> (x)\n f = Cast <to = 1> (i)\n y = Add (f, x) }",
    "constants": "g (float[2,4] x) => (float[2,4] y) { c = Constant <value_float = 0.3> ()\n "
    "d = Constant <value = float[1] {0.7}> ()\n v = Constant <value_floats = [0.1, 0.2, 0.3, 0.4]> ()\n "
    "a = Add (x, c)\n b = Mul (a, d)\n y = Sub (b, v) }",
    "a constant of a shape": "g (float[2,4] x) => (float[2,4] y) { s = Shape (x)\n "
    "z = ConstantOfShape <value = float[1] {0.5}> (s)\n o = ConstantOfShape (s)\n a = Add (x, z)\n y = Add (a, o) }",
    "an input that is an output": "g (float[2,4] x) => (float[2,4] y, float[2,4] z) "
    "{ y = Identity (x)\n z = Relu (x) }",
    "whole numbers": "g (float[2,4] x) => (int64[2] y) { y = ArgMax <axis = 1, keepdims = 0> (x) }",
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_graphs_that_are_easily_got_wrong(text: str) -> None:
    model = model_of(text)
    half = to_half(model).model
    onnx.checker.check_model(half, full_check=True)
    feeds = random_feeds(model, 3)
    reference, found = literal_graph(model).run(feeds), literal_graph(half).run(feeds)
    for name, value in reference.items():
        assert found[name].dtype == value.dtype
        assert relative_error(found[name], value) <= 5e-3


def test_an_operand_that_must_be_float32_stays_so() -> None:
    # Resize takes the image in half precision and its scales in float32 only; Add reads the same weight in half.
    model = model_of(
        "g (float[1,1,4,4] x) => (float[1,1,8,8] y, float[4] z) "
        '{ e = Relu (x)\n a = Resize <mode = "nearest"> (e, , s)\n y = Relu (a)\n t = ReduceSum <keepdims = 0> (e)\n'
        " z = Add (t, s) }",
        s=np.array([1, 1, 2, 2], np.float32),
    )
    half = assert_same_within(model)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert types == {"s": TensorProto.FLOAT, "s_half": TensorProto.FLOAT16}


def test_a_foreign_operator_without_a_body_stays_in_float32() -> None:
    model = model_of("g (float[2,4] x) => (float[2,4] y) { a = Relu (x)\n b = Gelu (a)\n y = Relu (b) }")
    model.graph.node[1].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    half = assert_same_within(model)
    (gelu,) = [node for node in half.graph.node if node.op_type == "Gelu"]
    (cast,) = [node for node in half.graph.node if node.output[0] == gelu.input[0]]
    assert cast.op_type == "Cast"
    assert helper.get_attribute_value(cast.attribute[0]) == TensorProto.FLOAT


def attention_model() -> Any:
    model = model_of(
        "g (float[N,3,8,8] x) => (float[N,4] y) { a = Conv (x, w, b)\n r = Relu (a)\n y = GatedPool (r, gw, gb) }",
        w=W,
        b=B,
        gw=RNG.normal(0, 0.5, (4, 4)).astype(np.float32),
        gb=B,
    )
    model.graph.node[2].domain = "edgefer"
    return attach_functions(model).model


def test_functions_and_their_nodes_stay_as_they_are() -> None:
    model = attention_model()
    half = assert_same_within(model)
    assert operator_counts(half) == {"GatedPool": 1}
    assert list(half.functions) == list(model.functions)
    assert [(entry.domain, entry.version) for entry in half.opset_import] == [("", 19), ("edgefer", 1)]


def test_a_function_that_fixes_float32_is_computed_in_it() -> None:
    model = model_of("g (float[2,4] x) => (float[2,4] y) { a = Relu (x)\n b = Half (a)\n y = Relu (b) }")
    function = onnx.parser.parse_function(
        '<domain: "local", opset_import: ["" : 19]> Half (v) => (o) '
        "{ c = Constant <value = float[1] {0.5}> ()\n o = Mul (v, c) }"
    )
    model.graph.node[1].domain = "local"
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    half = assert_same_within(model)
    assert list(half.functions) == [function]


def quantised_model(scale: float = 0.02) -> Any:
    """Convolution with quantised input and per-channel weights, as TensorRT takes it, before an attention node."""
    scales = np.abs(W).max(axis=(1, 2, 3)) / 127
    model = model_of(
        "g (float[1,3,8,8] x) => (float[1,4] y) { q = QuantizeLinear (x, sx, zx)\n d = DequantizeLinear (q, sx, zx)\n"
        " k = DequantizeLinear <axis = 0> (w, sw, zw)\n a = Conv (d, k, b)\n r = Relu (a)\n"
        " y = GatedPool (r, gw, b) }",
        w=np.round(W / scales[:, None, None, None]).astype(np.int8),
        sw=scales.astype(np.float32),
        zw=np.zeros(4, np.int8),
        sx=np.float32(scale).reshape(()),
        zx=np.int8(0).reshape(()),
        b=B,
        gw=RNG.normal(0, 0.5, (4, 4)).astype(np.float32),
    )
    model.graph.node[-1].domain = "edgefer"
    return attach_functions(model).model


def test_a_quantised_graph_keeps_its_integers_and_takes_half_scales() -> None:
    model = quantised_model()
    half = assert_same_within(model, tolerance=2e-2)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert types["w"] == TensorProto.INT8
    assert types["sx"] == types["sw"] == TensorProto.FLOAT16
    assert element_types(half)["q"] == TensorProto.INT8
    assert element_types(half)["d"] == element_types(half)["k"] == TensorProto.FLOAT16
    operators = [node.op_type for node in half.graph.node]
    assert operators.count("QuantizeLinear") == 1
    assert operators.count("DequantizeLinear") == 2


def test_a_scale_too_small_for_half_precision_stays_above_zero_and_is_reported() -> None:
    result = to_half(quantised_model(scale=1e-9))
    (scale,) = [tensor for tensor in result.model.graph.initializer if tensor.name == "sx"]
    assert numpy_helper.to_array(scale) > 0
    assert any("sx: scale" in note for note in result.notes)


def test_a_scale_of_zero_is_an_error() -> None:
    with pytest.raises(ExportError, match="not above zero"):
        to_half(quantised_model(scale=0.0))


def test_values_beyond_half_precision_are_clipped_and_reported() -> None:
    weight = np.array([1e6, -2e5, 3, 1e-9], np.float32)
    result = to_half(model_of("g (float[2,4] x) => (float[2,4] y) { y = Mul (x, w) }", w=weight))
    (half,) = result.model.graph.initializer
    assert numpy_helper.to_array(half).tolist() == [65504, -65504, 3, 0]
    (note,) = result.notes
    assert note == "w: 2 of 4 values clipped to 65504, the largest was 1e+06"


def test_weights_in_range_are_not_reported() -> None:
    assert to_half(attention_model()).notes == ()


def test_weights_that_are_not_finite_are_an_error() -> None:
    model = model_of("g (float[2,1] x) => (float[2,1] y) { y = Mul (x, w) }", w=np.array([np.nan], np.float32))
    with pytest.raises(ExportError, match="w holds NaN"):
        to_half(model)


def test_branches_are_an_error() -> None:
    then = onnx.parser.parse_graph("t () => (float[2,4] y) { y = Identity (x) }")
    model = model_of("g (bool c, float[2,4] x) => (float[2,4] y) { y = Identity (x) }")
    branch = helper.make_node("If", ["c"], ["y"], "choice", then_branch=then, else_branch=then)
    del model.graph.node[:]
    model.graph.node.append(branch)
    with pytest.raises(ExportError, match="branches and loops, found choice"):
        to_half(model)


def test_the_model_given_is_left_as_it_is() -> None:
    model = quantised_model()
    before = model.SerializeToString(deterministic=True)
    to_half(model)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", ["viri-visible", "viri-fusion", "cbam-early-fusion"])
def test_networks_agree_with_float32(name: str) -> None:
    pytest.importorskip("torch")
    from edgefer_export.networks import registry
    from edgefer_export.onnx_export import export_onnx

    model = export_onnx(registry.create(name, {"width": "0.125", "size": "64"})).model
    half = assert_same_within(model, tolerance=1e-2)
    assert operator_counts(half) == operator_counts(model)
