"""Where Q and DQ go: structure of the rewritten graph, node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgefer.errors import CalibrationError, InputError, UsageError
from edgefer.progress import Silent
from edgefer_export.quantise import QuantisedGraph, QuantiseSpec, quantise

onnx = pytest.importorskip("onnx")
node = onnx.helper.make_node
numpy_helper = onnx.numpy_helper

SHAPE = [1, 4, 8, 8]
MakeModel = Callable[..., Any]


def weight(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def conv(source: str, weights: str, output: str, **attributes: Any) -> Any:
    return node("Conv", [source, weights], [output], name=f"{output}/Conv", **attributes)


def quantised(model: Any, *exclude: str, count: int = 16) -> QuantisedGraph:
    rng = np.random.default_rng(0)
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }
    samples = [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(count)
    ]
    return quantise(model, lambda: iter(samples), QuantiseSpec(exclude=exclude), Silent())


def by_name(model: Any) -> dict[str, Any]:
    return {entry.name: entry for entry in model.graph.node}


def producer(model: Any, tensor: str) -> Any:
    return next((entry for entry in model.graph.node if tensor in entry.output), None)


def of_type(model: Any, op_type: str) -> list[Any]:
    return [entry for entry in model.graph.node if entry.op_type == op_type]


def constant(model: Any, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def axis(entry: Any) -> int:
    return next(attribute.i for attribute in entry.attribute if attribute.name == "axis")


def reads_int8(model: Any, name: str, activation: str) -> bool:
    """Whether the node reads `activation` through Q and DQ and its weights through a DQ of an INT8 constant."""
    dequantise = producer(model, by_name(model)[name].input[0])
    if dequantise is None or dequantise.op_type != "DequantizeLinear":
        return False
    quantise_node = producer(model, dequantise.input[0])
    weights = producer(model, by_name(model)[name].input[1])
    return (
        quantise_node.op_type == "QuantizeLinear"
        and quantise_node.input[0] == activation
        and weights.op_type == "DequantizeLinear"
        and constant(model, weights.input[0]).dtype == np.int8
    )


def test_an_input_of_two_convolutions_has_one_pair(make_model: MakeModel) -> None:
    nodes = [conv("x", "w", "a"), conv("x", "v", "b"), node("Add", ["a", "b"], ["y"], name="Add")]
    result = quantised(
        make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1), "v": weight(4, 4, 1, 1)})
    )
    assert len(of_type(result.model, "QuantizeLinear")) == 1
    assert reads_int8(result.model, "a/Conv", "x")
    assert reads_int8(result.model, "b/Conv", "x")
    assert list(by_name(result.model)["Add"].input) == ["a", "b"]
    assert result.quantised == ["a/Conv", "b/Conv"]


def test_a_residual_add_reads_the_dequantised_identity(make_model: MakeModel) -> None:
    nodes = [
        node("Relu", ["x"], ["r"], name="Relu"),
        conv("r", "w", "c"),
        node("Add", ["c", "r"], ["s"], name="Residual"),
        node("Relu", ["s"], ["y"], name="Last"),
    ]
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)})
    result = quantised(model)
    add = by_name(result.model)["Residual"]
    assert add.input[0] == "c"
    assert add.input[1] == by_name(result.model)["c/Conv"].input[0]
    assert [entry.op_type for entry in result.model.graph.node].count("QuantizeLinear") == 1
    kept = by_name(quantised(model, "^Residual$").model)["Residual"]
    assert list(kept.input) == ["c", "r"]


def test_other_readers_keep_the_float_tensor(make_model: MakeModel) -> None:
    nodes = [
        node("Relu", ["x"], ["r"], name="Relu"),
        conv("r", "w", "c"),
        node("Sigmoid", ["r"], ["g"], name="Gate"),
        node("Add", ["r", "k"], ["q"], name="Constant"),
        node("Mul", ["c", "g"], ["m"], name="Mul"),
        node("Add", ["m", "q"], ["y"], name="Sum"),
    ]
    weights = {"w": weight(4, 4, 1, 1), "k": weight(1, 4, 1, 1)}
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE, "r": SHAPE}, weights))
    names = by_name(result.model)
    assert list(names["Gate"].input) == ["r"]
    assert list(names["Constant"].input) == ["r", "k"]
    # r is an output of the graph as well: it leaves as it was, in floating point.
    assert [value.name for value in result.model.graph.output] == ["y", "r"]
    assert producer(result.model, "r").op_type == "Relu"


def test_there_is_no_pair_between_convolution_and_relu_and_none_on_outputs(
    make_resnet: Callable[..., Any], smooth: Any
) -> None:
    model = make_resnet(width=8)
    samples = smooth(np.random.default_rng(0), 16)
    result = quantise(model, lambda: iter(samples), QuantiseSpec(), Silent())
    for entry in of_type(result.model, "Relu"):
        assert producer(result.model, entry.input[0]).op_type in ("Conv", "Add")
    assert producer(result.model, "logits").op_type == "Gemm"
    # Per camera: the stem, then per stage of two blocks 4 convolutions, and one down-sampling.
    assert len(result.quantised) == 2 * (1 + 8 + 1) + 1
    assert not result.excluded
    # Down-sampling blocks read their input twice; every other activation has one reader.
    assert len(of_type(result.model, "QuantizeLinear")) == len(result.ranges) == 2 * (1 + 8) + 1
    adds = of_type(result.model, "Add")
    dequantised = [producer(result.model, name).op_type for entry in adds for name in entry.input]
    assert dequantised.count("DequantizeLinear") == 2 * 3
    for entry in of_type(result.model, "Conv"):
        assert entry.input[2].endswith(".bias")


@pytest.mark.parametrize(("trans_b", "shape", "expected"), [(1, (6, 8), 0), (0, (8, 6), 1)])
def test_gemm_weights_are_scaled_per_output(
    make_model: MakeModel, trans_b: int, shape: tuple[int, int], expected: int
) -> None:
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], name="fc", transB=trans_b)]
    weights = {"w": weight(*shape), "b": weight(6)}
    result = quantised(make_model(nodes, {"x": [1, 8]}, {"y": [1, 6]}, weights))
    dequantise = producer(result.model, by_name(result.model)["fc"].input[1])
    assert axis(dequantise) == expected
    assert constant(result.model, dequantise.input[1]).shape == (6,)
    assert by_name(result.model)["fc"].input[2] == "b"
    assert constant(result.model, "b").dtype == np.float32


def test_matmul_by_a_constant_is_quantised_per_column(make_model: MakeModel) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"], name="by_constant"),
        node("MatMul", ["a", "x"], ["s"], name="scores"),
        node("MatMul", ["w", "s"], ["y"], name="from_left"),
    ]
    result = quantised(make_model(nodes, {"x": [1, 8, 8]}, {"y": [1, 8, 8]}, {"w": weight(8, 8)}))
    assert result.quantised == ["by_constant"]
    assert axis(producer(result.model, by_name(result.model)["by_constant"].input[1])) == 1
    # The float weights stay for the node that still reads them.
    assert list(by_name(result.model)["from_left"].input) == ["w", "s"]
    assert constant(result.model, "w").dtype == np.float32
    reasons = {layer.name: layer.reason for layer in result.layers}
    assert reasons == {
        "by_constant": "",
        "scores": "its weights are not constant",
        "from_left": "its weights are not constant",
    }


def test_weights_of_two_nodes_are_stored_once_per_axis(make_model: MakeModel) -> None:
    nodes = [
        node("Gemm", ["x", "w"], ["a"], name="one", transB=1),
        node("Gemm", ["a", "w"], ["b"], name="two", transB=1),
        node("Identity", ["w"], ["alias"], name="alias"),
        node("Gemm", ["b", "alias"], ["c"], name="three", transB=1),
        node("Gemm", ["c", "w"], ["y"], name="other_axis"),
    ]
    result = quantised(make_model(nodes, {"x": [1, 8]}, {"y": [1, 8]}, {"w": weight(8, 8)}))
    names = by_name(result.model)
    assert names["one"].input[1] == names["two"].input[1] == names["three"].input[1]
    assert names["other_axis"].input[1] != names["one"].input[1]
    assert len([tensor for tensor in result.model.graph.initializer if len(tensor.dims) == 2]) == 2
    assert "w" not in [tensor.name for tensor in result.model.graph.initializer]
    assert not of_type(result.model, "Identity")


def test_weights_in_a_constant_node(make_model: MakeModel) -> None:
    values = weight(4, 4, 3, 3)
    nodes = [
        node("Constant", [], ["w"], name="Weights", value=numpy_helper.from_array(values)),
        conv("x", "w", "y", pads=[1] * 4),
    ]
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {}))
    assert reads_int8(result.model, "y/Conv", "x")
    assert not of_type(result.model, "Constant")


def test_grouped_and_depthwise_convolutions(make_model: MakeModel) -> None:
    nodes = [conv("x", "w", "a", group=4, pads=[1] * 4), conv("a", "v", "y", group=2)]
    weights = {"w": weight(8, 1, 3, 3), "v": weight(4, 4, 1, 1)}
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, weights))
    for name, channels in (("a/Conv", 8), ("y/Conv", 4)):
        dequantise = producer(result.model, by_name(result.model)[name].input[1])
        assert axis(dequantise) == 0
        assert constant(result.model, dequantise.input[1]).shape == (channels,)


def test_conv_transpose_stays_float_with_a_note(make_model: MakeModel) -> None:
    nodes = [conv("x", "w", "a"), node("ConvTranspose", ["a", "v"], ["y"], name="Up")]
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1), "v": weight(4, 4, 1, 1)})
    reporter = Silent()
    samples = [{"x": weight(*SHAPE)}] * 16
    result = quantise(model, lambda: iter(samples), QuantiseSpec(), reporter)
    assert result.excluded == ["Up"]
    assert list(by_name(result.model)["Up"].input) == ["a", "v"]
    assert list(result.notes) == reporter.notes == ["1 ConvTranspose stay in floating point: Up"]


def test_a_constant_activation_and_computed_weights_stay_float(make_model: MakeModel) -> None:
    nodes = [
        conv("k", "w", "a"),
        node("Relu", ["w"], ["v"], name="Computed"),
        conv("x", "v", "b"),
        conv("x", "w", "c"),
        node("Sum", ["a", "b", "c"], ["y"], name="Sum"),
    ]
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"k": weight(*SHAPE), "w": weight(4, 4, 1, 1)}))
    assert result.quantised == ["c/Conv"]
    reasons = {layer.name: layer.reason for layer in result.layers}
    assert reasons["a/Conv"] == "its activation is a constant"
    assert reasons["b/Conv"] == "its weights are not constant"


def test_a_channel_of_zeros(make_model: MakeModel, run: Any) -> None:
    values = weight(4, 4, 1, 1)
    values[2] = 0
    model = make_model([conv("x", "w", "y")], {"x": SHAPE}, {"y": SHAPE}, {"w": values})
    result = quantised(model)
    output = run(result.model, {"x": weight(*SHAPE)})[0]
    assert not output[0, 2].any()
    assert output[0, 1].any()


def test_an_activation_that_never_fires_stays_float_with_a_note(make_model: MakeModel) -> None:
    nodes = [
        conv("x", "w", "a"),
        node("Mul", ["a", "zero"], ["dead"], name="Dead"),
        conv("dead", "w", "b"),
        node("Add", ["a", "b"], ["y"], name="Add"),
    ]
    weights = {"w": weight(4, 4, 1, 1), "zero": np.zeros(1, np.float32)}
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, weights))
    assert result.quantised == ["a/Conv"]
    assert list(result.ranges) == ["x"]
    assert by_name(result.model)["b/Conv"].input[0] == "dead"
    assert "never exceeds 0" in next(layer.reason for layer in result.layers if layer.name == "b/Conv")
    assert any("dead" in note for note in result.notes)


def test_an_input_that_is_always_zero_is_unusable_data(make_model: MakeModel) -> None:
    nodes = [conv("x", "w", "a"), conv("z", "w", "b"), node("Add", ["a", "b"], ["y"], name="Add")]
    model = make_model(nodes, {"x": SHAPE, "z": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)})
    samples = [{"x": weight(*SHAPE), "z": np.zeros(SHAPE, np.float32)}] * 4
    for method in ("max", "entropy"):
        with pytest.raises(CalibrationError, match="input 'z' is zero in all 4 calibration samples"):
            quantise(model, lambda: iter(samples), QuantiseSpec(method=method), Silent())


def test_custom_operators_and_function_bodies_are_untouched(make_model: MakeModel) -> None:
    opset = [onnx.helper.make_opsetid("", 19)]
    body = [
        node("Conv", ["X", "W"], ["c"], name="inner"),
        node("Sigmoid", ["c"], ["s"], name="inner_sigmoid"),
        node("Mul", ["X", "s"], ["m"], name="inner_mul"),
        node("Add", ["m", "R"], ["Y"], name="inner_add"),
    ]
    function = onnx.helper.make_function("edgefer", "Gate", ["X", "W", "R"], ["Y"], body, opset)
    nodes = [
        conv("x", "w", "a"),
        node("Gate", ["a", "w", "x"], ["g"], name="Gate", domain="edgefer"),
        conv("g", "v", "y"),
    ]
    weights = {"w": weight(4, 4, 1, 1), "v": weight(4, 4, 1, 1)}
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, weights, [function])
    result = quantised(model)
    gate = by_name(result.model)["Gate"]
    assert list(gate.input) == ["a", "w", "x"]
    assert [entry.SerializeToString() for entry in result.model.functions] == [function.SerializeToString()]
    assert constant(result.model, "w").dtype == np.float32
    assert result.quantised == ["a/Conv", "y/Conv"]
    assert result.excluded == ["Gate"]


def test_names_are_unique_deterministic_and_given_to_unnamed_nodes(make_model: MakeModel) -> None:
    nodes = [
        node("Relu", ["x"], ["x_quantised"]),
        node("Conv", ["x_quantised", "w"], ["x_scale"]),
        node("Conv", ["x", "w"], ["c"]),
        node("Add", ["x_scale", "c"], ["y"]),
    ]
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)})
    first, second = quantised(model), quantised(model)
    assert first.model.SerializeToString(deterministic=True) == second.model.SerializeToString(deterministic=True)
    assert first.quantised == ["Conv_1", "Conv_2"]
    names = [entry.name for entry in first.model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert not any(entry.name for entry in model.graph.node)


def test_exclusions_match_parts_of_node_names(make_resnet: Callable[..., Any], smooth: Any) -> None:
    model = make_resnet(width=8)
    samples = smooth(np.random.default_rng(0), 16)
    spec = QuantiseSpec(exclude=(r"stem/", r"^fc/Gemm$"))
    result = quantise(model, lambda: iter(samples), spec, Silent())
    assert result.excluded == ["visible.stem/Conv", "infrared.stem/Conv", "fc/Gemm"]
    assert "visible" not in result.ranges
    reasons = {layer.name: layer.reason for layer in result.layers}
    assert reasons["fc/Gemm"] == "matches the exclusion '^fc/Gemm$'"
    assert list(by_name(result.model)["fc/Gemm"].input) == ["features", "fc.weight", "fc.bias"]


def test_an_excluded_node_reads_float_beside_a_quantised_one(make_model: MakeModel) -> None:
    nodes = [conv("x", "w", "a"), conv("x", "w", "b"), node("Add", ["a", "b"], ["y"], name="Add")]
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)}), "^b/")
    assert list(by_name(result.model)["b/Conv"].input) == ["x", "w"]
    assert reads_int8(result.model, "a/Conv", "x")


def test_an_exclusion_that_matches_nothing_lists_names(make_resnet: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="'attention' matches no node") as caught:
        quantise(make_resnet(width=8), lambda: iter([]), QuantiseSpec(exclude=("attention",)), Silent())
    assert "visible.stem/Conv" in caught.value.details


def test_an_exclusion_without_effect_is_noted(make_model: MakeModel) -> None:
    nodes = [conv("x", "w", "a"), node("Relu", ["a"], ["y"], name="Relu")]
    result = quantised(make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)}), "Relu")
    assert result.notes == ("the exclusion 'Relu' matches only nodes that are never quantised",)


def test_excluding_everything_is_refused(make_resnet: Callable[..., Any]) -> None:
    with pytest.raises(CalibrationError, match="nothing is left to quantise: all 21 layers") as caught:
        quantise(make_resnet(width=8), lambda: iter([]), QuantiseSpec(exclude=(".",)), Silent())
    assert "and 13 more" in caught.value.details


def test_a_graph_without_layers_is_refused(make_model: MakeModel) -> None:
    model = make_model([node("Relu", ["x"], ["y"], name="Relu")], {"x": SHAPE}, {"y": SHAPE}, {})
    with pytest.raises(CalibrationError, match="no layer to quantise"):
        quantised(model)


def test_weights_that_are_not_finite_are_named(make_model: MakeModel) -> None:
    values = weight(4, 4, 1, 1)
    values[1, 1] = np.nan
    nodes = [conv("x", "w", "y")]
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": values})
    with pytest.raises(CalibrationError, match="the weights 'w' of node 'y/Conv' hold NaN"):
        quantised(model)


def test_a_graph_with_qdq_already_is_refused(make_model: MakeModel) -> None:
    model = make_model([conv("x", "w", "y")], {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)})
    with pytest.raises(InputError, match="holds 3 Q/DQ nodes already"):
        quantised(quantised(model).model)


@pytest.mark.parametrize(("opset", "ir_version"), [(17, 8), (21, 10), (19, 10)])
def test_another_opset_is_refused(make_model: MakeModel, opset: int, ir_version: int) -> None:
    model = make_model([conv("x", "w", "y")], {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)})
    model.opset_import[0].version = opset
    model.ir_version = ir_version
    with pytest.raises(InputError, match=f"opset {opset} and IR {ir_version}"):
        quantised(model)


def test_an_invalid_graph_is_refused(make_model: MakeModel) -> None:
    model = make_model([conv("x", "w", "y")], {"x": SHAPE}, {"y": SHAPE}, {"w": weight(4, 4, 1, 1)})
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(InputError, match="not valid ONNX"):
        quantised(model)
