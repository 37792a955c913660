"""Each variant of each operator's body, run by onnxruntime, against a float64 reference written from the definition."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from edgefer.errors import ExportError  # noqa: E402
from edgefer_export.operators import (  # noqa: E402
    DOMAIN,
    IR_VERSION,
    OPERATORS,
    OPSET,
    Variant,
    attach_functions,
    function_body,
    operator_counts,
    variant,
    variant_of,
)

N, C, R, H, W = 3, 10, 4, 7, 5
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "CbamAttention": {
        "X": (N, C, H, W),
        "W1": (R, C),
        "b1": (R,),
        "W2": (C, R),
        "b2": (C,),
        "Ws": (1, 2, 0, 0),
        "bs": (1,),
        "R": (N, C, H, W),
    },
    "ChannelGate": {"X": (N, C, H, W), "W1": (R, C), "b1": (R,), "W2": (C, R), "b2": (C,)},
    "GatedPool": {"F": (N, C, H, W), "W": (C, C), "b": (C,)},
    "GatedFusion": {
        "Fv": (N, C, H, W),
        "Fi": (N, C, H, W),
        "Wv": (C, C),
        "bv": (C,),
        "Wi": (C, C),
        "bi": (C,),
        "P": (N, 2),
    },
    "LocalGate": {"Z": (N, C, H, W), "W1": (R, C), "b1": (R,), "W2": (C, R), "b2": (C,)},
}
OUTPUTS = {
    "CbamAttention": (N, C, H, W),
    "ChannelGate": (N, C, H, W),
    "GatedPool": (N, C),
    "GatedFusion": (N, 2 * C),
    "LocalGate": (N, C),
}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def cbam(a: dict[str, Any], t: dict[str, np.ndarray]) -> np.ndarray:
    x = t["X"]

    def mlp(v: np.ndarray) -> np.ndarray:
        return relu(v @ t["W1"].T + t["b1"]) @ t["W2"].T + t["b2"]

    x = x * sigmoid(mlp(x.mean((2, 3))) + mlp(x.max((2, 3))))[:, :, None, None]
    planes = np.stack((x.max(1), x.mean(1)), 1)
    k = a["spatial_kernel"]
    padded = np.pad(planes, ((0, 0), (0, 0), (k // 2,) * 2, (k // 2,) * 2))
    score = np.zeros((N, H, W)) + t["bs"]
    for row, column in product(range(H), range(W)):
        patch = padded[:, :, row : row + k, column : column + k]
        score[:, row, column] += (patch * t["Ws"][0]).sum((1, 2, 3))
    y = x * sigmoid(score)[:, None] + t.get("R", 0)
    return relu(y) if a["relu"] else y


def channel_gate(a: dict[str, Any], t: dict[str, np.ndarray]) -> np.ndarray:
    hidden = relu(t["X"].mean((2, 3)) @ t["W1"].T + t.get("b1", 0))
    score = hidden @ t["W2"].T + t.get("b2", 0)
    gate = sigmoid(score) if a["gate"] == "sigmoid" else np.clip(a["alpha"] * score + a["beta"], 0, 1)
    return t["X"] * gate[:, :, None, None]


def gated(features: np.ndarray, weight: np.ndarray, bias: np.ndarray, square: int) -> np.ndarray:
    p = features.mean((2, 3))
    return p * sigmoid((p**2 if square else p) @ weight.T + bias)


def gated_pool(a: dict[str, Any], t: dict[str, np.ndarray]) -> np.ndarray:
    return gated(t["F"], t["W"], t["b"], a["square"])


def gated_fusion(a: dict[str, Any], t: dict[str, np.ndarray]) -> np.ndarray:
    v = gated(t["Fv"], t["Wv"], t["bv"], a["square_visible"])
    i = gated(t["Fi"], t["Wi"], t["bi"], a["square_infrared"])
    if "P" in t:
        v, i = v * t["P"][:, :1], i * t["P"][:, 1:]
    if not a["interleave"]:
        return np.concatenate((v, i), 1)
    f = np.empty((N, 2 * C))
    f[:, 0::2], f[:, 1::2] = v, i
    return f


def local_gate(a: dict[str, Any], t: dict[str, np.ndarray]) -> np.ndarray:
    z = np.moveaxis(t["Z"], 1, -1)
    gate = sigmoid(relu(z @ t["W1"].T + t["b1"]) @ t["W2"].T + t["b2"])
    return (z + z * gate).mean((1, 2))


REFERENCES = {
    "CbamAttention": cbam,
    "ChannelGate": channel_gate,
    "GatedPool": gated_pool,
    "GatedFusion": gated_fusion,
    "LocalGate": local_gate,
}


def all_variants() -> list[Variant]:
    found = []
    for kernel, relu_, skip in product((1, 3, 7), (0, 1), ("", "R")):
        found.append(made("CbamAttention", skip, spatial_kernel=kernel, relu=relu_))
    for gate, skip in product(("sigmoid", "hard_sigmoid"), ("", "b1", "b2", "b1 b2")):
        found.append(made("ChannelGate", skip, gate=gate, alpha=1 / 6, beta=0.25))
    found += [made("GatedPool", "", square=square) for square in (0, 1)]
    for v, i, order, skip in product((0, 1), (0, 1), (0, 1), ("", "P")):
        found.append(made("GatedFusion", skip, square_visible=v, square_infrared=i, interleave=order))
    return [*found, made("LocalGate", "")]


def made(operator: str, left_out: str, **attributes: Any) -> Variant:
    present = frozenset(OPERATORS[operator].inputs) - frozenset(left_out.split())
    return variant(operator, present, **attributes)


def tensors_of(wanted: Variant, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {name: shape for name, shape in SHAPES[wanted.operator].items() if name in wanted.present}
    if "Ws" in shapes:
        shapes["Ws"] = (1, 2, int(wanted["spatial_kernel"]), int(wanted["spatial_kernel"]))
    tensors = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    if "P" in tensors:
        tensors["P"] = np.array([[1, 1], [1, 0], [0, 1]], np.float32)
    return tensors


def node_of(wanted: Variant, name: str = "block", output: str = "out", prefix: str = "") -> Any:
    inputs = [prefix + n if n in wanted.present else "" for n in OPERATORS[wanted.operator].inputs]
    while not inputs[-1]:
        inputs.pop()
    return helper.make_node(wanted.operator, inputs, [output], name, domain=DOMAIN, **dict(wanted.attributes))


def model_of(wanted: Variant, dtype: int = TensorProto.FLOAT) -> Any:
    tensors = tensors_of(wanted, 0)
    inputs = [helper.make_tensor_value_info(name, dtype, array.shape) for name, array in tensors.items()]
    output = helper.make_tensor_value_info("out", dtype, OUTPUTS[wanted.operator])
    graph = helper.make_graph([node_of(wanted)], "graph", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def run(model: Any, feeds: dict[str, np.ndarray]) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@pytest.mark.parametrize("wanted", all_variants(), ids=str)
def test_the_body_computes_the_definition(wanted: Variant) -> None:
    model = attach_functions(model_of(wanted)).model
    onnx.checker.check_model(model, full_check=True)
    for seed in (1, 2):
        feeds = tensors_of(wanted, seed)
        reference = REFERENCES[wanted.operator](
            dict(wanted.attributes), {name: array.astype(np.float64) for name, array in feeds.items()}
        )
        got = run(model, feeds)
        assert got.shape == reference.shape
        assert np.abs(got - reference).max() <= 1e-5 * max(1, np.abs(reference).max())


@pytest.mark.parametrize("wanted", [variant(name) for name in OPERATORS], ids=str)
def test_the_body_computes_in_half_precision(wanted: Variant) -> None:
    model = attach_functions(model_of(wanted, TensorProto.FLOAT16)).model
    onnx.checker.check_model(model, full_check=True)
    feeds = tensors_of(wanted, 3)
    reference = REFERENCES[wanted.operator](dict(wanted.attributes), feeds)
    got = run(model, {name: array.astype(np.float16) for name, array in feeds.items()})
    assert got.dtype == np.float16
    assert np.abs(got - reference).max() <= 0.02 * max(1, np.abs(reference).max())


@pytest.mark.parametrize("wanted", all_variants(), ids=str)
def test_shapes_are_inferred_through_the_function(wanted: Variant) -> None:
    model = attach_functions(model_of(wanted)).model
    model.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    dims = inferred.graph.output[0].type.tensor_type.shape.dim
    assert tuple(dim.dim_value for dim in dims) == OUTPUTS[wanted.operator]


def test_the_table_is_the_agreed_one() -> None:
    agreed = {
        "CbamAttention": ("X W1 b1 W2 b2 Ws bs R", "Y", {"spatial_kernel", "relu"}, {"R"}),
        "ChannelGate": ("X W1 b1 W2 b2", "Y", {"gate", "alpha", "beta"}, {"b1", "b2"}),
        "GatedPool": ("F W b", "f", {"square"}, set()),
        "GatedFusion": ("Fv Fi Wv bv Wi bi P", "f", {"square_visible", "square_infrared", "interleave"}, {"P"}),
        "LocalGate": ("Z W1 b1 W2 b2", "f", set(), set()),
    }
    for name, (inputs, output, attributes, optional) in agreed.items():
        operator = OPERATORS[name]
        assert operator.inputs == tuple(inputs.split())
        assert operator.output == output
        assert set(operator.attributes) == attributes
        assert operator.optional == optional
    assert set(OPERATORS) == set(agreed)


def test_nodes_get_the_attributes_by_which_a_plugin_is_found() -> None:
    model = attach_functions(model_of(variant("GatedPool"))).model
    attributes = {a.name: helper.get_attribute_value(a) for a in model.graph.node[0].attribute}
    assert attributes["plugin_version"] == b"1"
    assert attributes["plugin_namespace"] == b"edgefer"
    (function,) = model.functions
    assert {"square", "plugin_version", "plugin_namespace"} <= set(function.attribute)
    assert [(entry.domain, entry.version) for entry in function.opset_import] == [("", OPSET)]
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET, DOMAIN: 1}


def test_bodies_hold_standard_operators_alone() -> None:
    for wanted in all_variants():
        assert {node.domain for node in function_body(wanted).node} == {""}


def chained(variants: list[Variant]) -> tuple[Any, dict[str, np.ndarray]]:
    """A model with one CBAM node after another, each on the output of the one before."""
    feeds: dict[str, np.ndarray] = {}
    nodes = []
    source = "X"
    for number, wanted in enumerate(variants):
        tensors = {f"{number}_{name}": array for name, array in tensors_of(wanted, number).items()}
        x = tensors.pop(f"{number}_X")
        feeds.update({"X": x} if number == 0 else {})
        feeds.update(tensors)
        node = node_of(wanted, f"block{number}", f"out{number}", f"{number}_")
        node.input[0] = source
        source = f"out{number}"
        nodes.append(node)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in feeds.items()]
    output = helper.make_tensor_value_info(source, TensorProto.FLOAT, (N, C, H, W))
    graph = helper.make_graph(nodes, "graph", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), feeds


def test_the_most_frequent_variant_keeps_its_name_and_the_others_are_written_out() -> None:
    common = made("CbamAttention", "", spatial_kernel=3, relu=1)
    rare = made("CbamAttention", "R", spatial_kernel=7, relu=0)
    model, feeds = chained([rare, common, common])
    attached = attach_functions(model)
    onnx.checker.check_model(attached.model, full_check=True)
    assert operator_counts(attached.model) == {"CbamAttention": 2}
    assert [function.name for function in attached.model.functions] == ["CbamAttention"]
    (note,) = attached.notes
    assert "1 x CbamAttention(spatial_kernel=7, relu=0, without R)" in note

    x = feeds["X"].astype(np.float64)
    for number, wanted in enumerate((rare, common, common)):
        own = {name[2:]: array.astype(np.float64) for name, array in feeds.items() if name.startswith(f"{number}_")}
        x = cbam(dict(wanted.attributes), {**own, "X": x})
    got = run(attached.model, feeds)
    assert np.abs(got - x).max() <= 1e-5 * max(1, np.abs(x).max())


def test_attaching_twice_changes_nothing_and_keeps_other_functions() -> None:
    model = model_of(variant("LocalGate"))
    foreign = function_body(variant("GatedPool"))
    foreign.domain, foreign.name = "elsewhere", "Pool"
    model.functions.append(foreign)
    once = attach_functions(model).model
    assert attach_functions(once).model == once
    assert {function.domain for function in once.functions} == {"elsewhere", DOMAIN}


def test_a_model_without_our_operators_does_not_import_the_domain() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1,))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    attached = attach_functions(model).model
    assert not attached.functions
    assert [entry.domain for entry in attached.opset_import] == [""]
    assert operator_counts(attached) == {}


def test_a_float_that_went_through_a_file_is_the_same_variant() -> None:
    wanted = variant("ChannelGate", gate="hard_sigmoid", alpha=0.2, beta=0.7)
    assert variant_of(node_of(wanted)) == wanted


def test_a_model_of_another_opset_is_refused() -> None:
    model = model_of(variant("GatedPool"))
    model.opset_import[0].version = 17
    with pytest.raises(ExportError, match="opset"):
        attach_functions(model)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Nothing", ["x"], ["y"], "n", domain=DOMAIN), "no operator Nothing"),
        (helper.make_node("GatedPool", ["F", "W"], ["y"], "n", domain=DOMAIN), "without b"),
        (helper.make_node("GatedPool", ["F", "W", "b", "c"], ["y"], "n", domain=DOMAIN), "4 inputs"),
        (helper.make_node("GatedPool", ["F", "W", "b"], ["y"], "n", domain=DOMAIN, squared=1), "no attribute squared"),
        (
            helper.make_node("CbamAttention", list("abcdefg"), ["y"], "n", domain=DOMAIN, spatial_kernel=4),
            "spatial_kernel is 4",
        ),
        (helper.make_node("ChannelGate", list("abcde"), ["y"], "n", domain=DOMAIN, gate="tanh"), "gate is 'tanh'"),
    ],
)
def test_a_node_that_does_not_fit_its_operator_is_an_error(node: Any, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        variant_of(node)
