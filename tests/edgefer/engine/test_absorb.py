"""Quantisation taken into plugin nodes: where it is, where it is not, and that the numbers stay what they were.

The graph with plugins cannot be run without one, so a function stands for each node here that does what the plugin
does with its scales: dequantise, compute, quantise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.engine.plugin_nodes import SIGNATURES  # noqa: E402
from edgefer.engine.portable import Prepared, prepare  # noqa: E402
from edgefer.engine.register import unsupported  # noqa: E402
from edgefer_export.operators import attach_functions  # noqa: E402

ALL = frozenset(("edgefer", name) for name in SIGNATURES)
HIDDEN = 4
SCALES = {"sx": 0.02, "sy": 0.015, "sr": 0.025, "other": 0.03}


def cbam(source: str = "x", target: str = "c", *, residual: str = "", name: str = "attention") -> Any:
    inputs = [source, "W1", "b1", "W2", "b2", "Ws", "bs", *([residual] if residual else [])]
    return helper.make_node("CbamAttention", inputs, [target], name=name, domain="edgefer", spatial_kernel=7, relu=1)


def gate(source: str = "x", target: str = "c", *, name: str = "attention") -> Any:
    return helper.make_node(
        "ChannelGate", [source, "W1", "b1", "W2", "b2"], [target], name=name, domain="edgefer", gate="hard_sigmoid"
    )


def q(source: str, target: str, scale: str = "sy", zero: str = "zero") -> Any:
    return helper.make_node("QuantizeLinear", [source, scale, *([zero] if zero else [])], [target], name=f"{target}_q")


def dq(source: str, target: str, scale: str = "sy") -> Any:
    return helper.make_node("DequantizeLinear", [source, scale, "zero"], [target], name=f"{target}_dq")


def plain(op_type: str, sources: Sequence[str], target: str, **attributes: Any) -> Any:
    return helper.make_node(op_type, list(sources), [target], name=target, **attributes)


def model(
    nodes: Sequence[Any], *, channels: int = 32, element: Any = np.float32, outputs: Sequence[str] = ("y",)
) -> bytes:
    """Nodes from x and r (1, channels, 6, 5), both also as INT8 behind Q, to `outputs`, which are floats."""
    rng = np.random.default_rng(2)
    weights = {
        "W1": rng.standard_normal((HIDDEN, channels)),
        "b1": rng.standard_normal(HIDDEN),
        "W2": rng.standard_normal((channels, HIDDEN)),
        "b2": rng.standard_normal(channels),
        "Ws": rng.standard_normal((1, 2, 7, 7)) / 7,
        "bs": rng.standard_normal(1),
        **{name: np.array(value) for name, value in SCALES.items()},
        "each": np.full(channels, 0.02),
    }
    constants = [numpy_helper.from_array(value.astype(element), name) for name, value in weights.items()]
    constants += [
        numpy_helper.from_array(np.int8(0), "zero"),
        numpy_helper.from_array(np.int8(3), "three"),
        numpy_helper.from_array(np.uint8(0), "unsigned"),
        numpy_helper.from_array(np.zeros(channels, np.int8), "zeros"),
    ]
    kind = TensorProto.FLOAT if element is np.float32 else TensorProto.FLOAT16
    shape = [1, channels, 6, 5]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "r")],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        constants,
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("edgefer", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(attach_functions(made).model.SerializeToString())


def absorbed(data: bytes) -> tuple[Prepared, Any, dict[str, Any]]:
    """What is prepared, its graph, and the attributes of the one plugin node."""
    result = prepare(data, ALL, unsupported, takes_int8=True)
    graph = onnx.ModelProto.FromString(result.onnx).graph
    node = next(each for each in graph.node if each.domain == "edgefer")
    return result, graph, {each.name: helper.get_attribute_value(each) for each in node.attribute}


def operators(graph: Any) -> list[str]:
    return [node.op_type for node in graph.node]


def with_bodies(prepared: bytes, original: bytes) -> bytes:
    """The prepared graph made executable: each node with scales becomes DQ, the operator, Q, and functions are back."""
    model = onnx.ModelProto.FromString(prepared)
    names = {"x_scale": 0, "r_scale": 7}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.domain != "edgefer":
            nodes.append(node)
            continue
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        for key, position in names.items():
            if values.get(key):
                scale, target = f"{node.name}_{key}", f"{node.name}_{key}_float"
                model.graph.initializer.append(numpy_helper.from_array(np.float32(values[key]), scale))
                nodes.append(dq(node.input[position], target, scale))
                node.input[position] = target
        nodes.append(node)
        if values.get("y_scale"):
            scale, output = f"{node.name}_y_scale", node.output[0]
            model.graph.initializer.append(numpy_helper.from_array(np.float32(values["y_scale"]), scale))
            node.output[0] = f"{output}_float"
            nodes.append(q(node.output[0], output, scale))
        kept = [each for each in node.attribute if not each.name.endswith("_scale") and each.name != "present"]
        del node.attribute[:]
        node.attribute.extend(kept)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.functions.extend(onnx.ModelProto.FromString(original).functions)
    return bytes(model.SerializeToString())


def run(data: bytes, *outputs: str) -> list[np.ndarray[Any, Any]]:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(5)
    read = {each.name for each in session.get_inputs()}
    feeds = {name: rng.standard_normal((1, 32, 6, 5)).astype(np.float32) for name in ("x", "r")}
    found: list[np.ndarray[Any, Any]] = session.run(list(outputs), {k: v for k, v in feeds.items() if k in read})
    return found


OUTPUT = [cbam(), q("c", "c8"), dq("c8", "y")]


@pytest.mark.parametrize("node", [cbam(), gate()], ids=["cbam", "gate"])
def test_an_output_that_is_only_quantised_is_written_as_int8(node: Any) -> None:
    result, graph, attributes = absorbed(model([node, q("c", "c8"), dq("c8", "y")]))
    assert result.absorbed == ("attention",)
    assert operators(graph) == [node.op_type, "DequantizeLinear"]
    assert attributes["y_scale"] == pytest.approx(SCALES["sy"])
    assert graph.node[1].input[0] == "c"


def test_several_quantisations_by_one_scale_are_one() -> None:
    nodes = [cbam(), q("c", "c8"), dq("c8", "d"), q("c", "e8"), dq("e8", "e"), plain("Add", ["d", "e"], "y")]
    _, graph, attributes = absorbed(model(nodes))
    assert operators(graph) == ["CbamAttention", "DequantizeLinear", "DequantizeLinear", "Add"]
    assert attributes["y_scale"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([cbam(), q("c", "c8"), dq("c8", "y"), plain("Relu", ["c"], "z")], ("y", "z")),
        ([cbam(), q("c", "c8"), dq("c8", "d"), q("c", "e8", "other"), dq("e8", "e", "other"),
          plain("Add", ["d", "e"], "y")], ("y",)),
        ([cbam(), q("c", "c8"), dq("c8", "y")], ("y", "c")),
        ([cbam(), q("c", "c8", "sy", "three"), helper.make_node("DequantizeLinear", ["c8", "sy", "three"], ["y"])],
         ("y",)),
        ([cbam(), q("c", "c8", "sy", ""), helper.make_node("DequantizeLinear", ["c8", "sy"], ["y"])], ("y",)),
        ([cbam(), q("c", "c8", "sy", "unsigned"),
          helper.make_node("DequantizeLinear", ["c8", "sy", "unsigned"], ["y"])], ("y",)),
        ([cbam(), helper.make_node("QuantizeLinear", ["c", "each", "zeros"], ["c8"], axis=1),
          helper.make_node("DequantizeLinear", ["c8", "each", "zeros"], ["y"], axis=1)], ("y",)),
        ([plain("ReduceMax", ["r"], "scale", keepdims=0), cbam(), q("c", "c8", "scale"), dq("c8", "y", "scale")],
         ("y",)),
    ],
    ids=["read as a float too", "two scales", "an output of the graph", "a zero point", "no zero point", "unsigned",
         "a scale for each channel", "a scale that is computed"],
)  # fmt: skip
def test_anything_else_stays_as_it_is(nodes: list[Any], outputs: tuple[str, ...]) -> None:
    data = model(nodes, outputs=outputs)
    result, graph, attributes = absorbed(data)
    assert result.absorbed == ()
    assert attributes["y_scale"] == 0
    assert operators(graph).count("QuantizeLinear") == sum(node.op_type == "QuantizeLinear" for node in nodes)


def test_channels_that_are_no_whole_blocks_stay_as_they_are() -> None:
    assert absorbed(model(OUTPUT, channels=48))[0].absorbed == ()
    assert absorbed(model(OUTPUT, channels=64))[0].absorbed == ("attention",)


def test_nothing_is_taken_in_where_nobody_asked() -> None:
    assert prepare(model(OUTPUT), ALL, unsupported).absorbed == ()


def test_what_there_is_no_kernel_for_is_not_taken_in() -> None:
    def no_int8(operator: str, attributes: Any, inputs: Any) -> str:
        return "no INT8" if attributes.get("y_scale") else ""

    assert prepare(model(OUTPUT), ALL, no_int8, takes_int8=True).absorbed == ()


BOTH = [
    q("x", "x8", "sx"),
    dq("x8", "xd", "sx"),
    q("r", "r8", "sr"),
    dq("r8", "rd", "sr"),
    cbam("xd", residual="rd"),
    q("c", "c8"),
    dq("c8", "y"),
]


def test_maps_that_were_dequantised_are_read_as_int8() -> None:
    result, graph, attributes = absorbed(model(BOTH))
    assert result.absorbed == ("attention",)
    assert operators(graph) == ["QuantizeLinear", "QuantizeLinear", "CbamAttention", "DequantizeLinear"]
    assert [attributes[key] for key in ("x_scale", "r_scale", "y_scale")] == pytest.approx([0.02, 0.025, 0.015])


def test_one_map_alone_is_not_read_as_int8() -> None:
    _, graph, attributes = absorbed(model([*BOTH[:2], cbam("xd", residual="r", target="y")]))
    assert attributes["x_scale"] == 0
    assert operators(graph) == ["QuantizeLinear", "DequantizeLinear", "CbamAttention"]


def test_a_dequantised_tensor_that_others_read_stays_for_them() -> None:
    nodes = [*BOTH[:2], cbam("xd"), q("c", "c8"), dq("c8", "d"), plain("Add", ["d", "xd"], "y")]
    _, graph, attributes = absorbed(model(nodes))
    assert attributes["x_scale"] == pytest.approx(SCALES["sx"])
    assert operators(graph) == ["QuantizeLinear", "DequantizeLinear", "CbamAttention", "DequantizeLinear", "Add"]


def test_one_tensor_as_both_maps() -> None:
    _, graph, attributes = absorbed(model([*BOTH[:2], cbam("xd", residual="xd"), q("c", "c8"), dq("c8", "y")]))
    assert attributes["x_scale"] == attributes["r_scale"]
    assert operators(graph) == ["QuantizeLinear", "CbamAttention", "DequantizeLinear"]


CHAIN = [cbam(), q("c", "c8"), dq("c8", "d"), gate("d", "e", name="second"), q("e", "e8"), dq("e8", "y")]


def test_a_chain_hands_int8_on() -> None:
    result, graph, _ = absorbed(model(CHAIN))
    assert result.absorbed == ("attention", "second")
    assert operators(graph) == ["CbamAttention", "ChannelGate", "DequantizeLinear"]
    assert graph.node[1].input[0] == "c"


@pytest.mark.parametrize(
    "nodes", [OUTPUT, [gate(), q("c", "c8"), dq("c8", "y")], BOTH, CHAIN], ids=["output", "gate", "all", "chain"]
)
def test_the_numbers_are_those_of_the_graph_that_was_judged(nodes: list[Any]) -> None:
    data = model(nodes)
    result, _, _ = absorbed(data)
    assert result.absorbed
    expected, found = run(data, "y")[0], run(with_bodies(result.onnx, data), "y")[0]
    assert np.abs(expected).max() > 0.1
    # One step of INT8 is allowed, for values that lie between two; here both sum in one order.
    assert np.abs(found - expected).max() <= SCALES["sy"] * 1.001
    assert (found == expected).mean() > 0.99


def test_halves_are_taken_in_by_the_same_rule() -> None:
    result, _, attributes = absorbed(model(OUTPUT, element=np.float16))
    assert result.absorbed == ("attention",)
    assert attributes["y_scale"] == pytest.approx(SCALES["sy"], rel=1e-3)
