"""Small graphs that stand for what a bundle holds: FP32, INT8 with Q/DQ, FP16 by casts, and custom operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

OPSET, IR_VERSION = 19, 9


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., bytes]:
    """`make_graph(kind, batch=1)`: a convolution, ReLU, pool and linear layer on (batch, 3, 32, 32), as ONNX bytes.

    Kinds: `fp32`; `int8` (symmetric Q/DQ, weights per channel); `fp16` (casts at both ends); `uint8` (asymmetric
    activation, which TensorRT refuses); `unknown` (an operator nobody knows). Batch "N" is dynamic.
    """
    return _make_graph


@pytest.fixture(scope="session")
def make_portable() -> Callable[..., bytes]:
    """`make_portable(inside, calls=3)`: edgefer::Gate calls with a function body; Q/DQ inside the body, or outside."""
    return _make_portable


def _make_graph(kind: str = "fp32", batch: int | str = 1) -> bytes:
    rng = np.random.default_rng(5)
    weights = (rng.standard_normal((16, 3, 3, 3)) * 0.2).astype(np.float32)
    linear = (rng.standard_normal((4, 16)) * 0.2).astype(np.float32)
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {"w": weights, "v": linear}
    x, w, y = "x", "w", "y"
    if kind == "fp16":
        constants = {"w": weights.astype(np.float16), "v": linear.astype(np.float16)}
        nodes.append(onnx.helper.make_node("Cast", ["x"], ["x16"], name="to16", to=onnx.TensorProto.FLOAT16))
        x, y = "x16", "y16"
    if kind in ("int8", "uint8"):
        zero = np.uint8(3) if kind == "uint8" else np.int8(0)
        scale = np.abs(weights).max(axis=(1, 2, 3)) / 127
        quantised = np.clip(np.rint(weights / scale[:, None, None, None]), -127, 127).astype(np.int8)
        constants |= {"w": quantised, "ws": scale, "wz": np.zeros(16, np.int8), "xs": np.float32(0.03), "xz": zero}
        nodes += [
            onnx.helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], name="x_quantise"),
            onnx.helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], name="x_dequantise"),
            onnx.helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], name="w_dequantise", axis=0),
        ]
        x, w = "xd", "wd"
    relu = ("Wibble", {"domain": "nobody"}) if kind == "unknown" else ("Relu", {})
    nodes += [
        onnx.helper.make_node("Conv", [x, w], ["c"], name="conv", pads=[1, 1, 1, 1]),
        onnx.helper.make_node(relu[0], ["c"], ["r"], name="activation", **relu[1]),
        onnx.helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        onnx.helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        onnx.helper.make_node("Gemm", ["f", "v"], [y], name="classifier", transB=1),
    ]
    if kind == "fp16":
        nodes.append(onnx.helper.make_node("Cast", [y], ["y"], name="from16", to=onnx.TensorProto.FLOAT))
    return _model(nodes, constants, [batch, 3, 32, 32], [batch, 4], domains=["nobody"] if kind == "unknown" else [])


def _make_portable(inside: bool = True, calls: int = 3) -> bytes:
    """A chain of edgefer::Gate, whose body calls edgefer::Squash: x * sigmoid(mean(x)), quantised inside or outside."""
    quantise = [
        onnx.helper.make_node("QuantizeLinear", ["X", "S", "Z"], ["q"]),
        onnx.helper.make_node("DequantizeLinear", ["q", "S", "Z"], ["x"]),
    ]
    body = [
        *(quantise if inside else [onnx.helper.make_node("Identity", ["X"], ["x"])]),
        onnx.helper.make_node("GlobalAveragePool", ["x"], ["m"], name="mean"),
        onnx.helper.make_node("Squash", ["m"], ["g"], domain="edgefer"),
        onnx.helper.make_node("Mul", ["x", "g"], ["Y"], name="gate"),
    ]
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("edgefer", 1)]
    attributes = ["plugin_version", "plugin_namespace"]
    functions = [
        onnx.helper.make_function("edgefer", "Gate", ["X", "S", "Z"], ["Y"], body, opsets, attributes),
        onnx.helper.make_function(
            "edgefer", "Squash", ["A"], ["B"], [onnx.helper.make_node("Sigmoid", ["A"], ["B"])], opsets[:1], attributes
        ),
    ]
    nodes: list[Any] = []
    value = "x"
    for index in range(calls):
        output = "y" if index == calls - 1 else f"g{index}"
        source = value
        if not inside:
            source = f"d{index}"
            nodes += [
                onnx.helper.make_node("QuantizeLinear", [value, "s", "z"], [f"q{index}"], name=f"quantise{index}"),
                onnx.helper.make_node("DequantizeLinear", [f"q{index}", "s", "z"], [source], name=f"dequantise{index}"),
            ]
        nodes.append(
            onnx.helper.make_node(
                "Gate",
                [source, "s", "z"],
                [output],
                name=f"gate{index}",
                domain="edgefer",
                plugin_version="1",
                plugin_namespace="edgefer",
            )
        )
        value = output
    constants = {"s": np.float32(0.02), "z": np.int8(0)}
    return _model(nodes, constants, [1, 8, 16, 16], [1, 8, 16, 16], domains=["edgefer"], functions=functions)


def _model(
    nodes: list[Any],
    constants: dict[str, np.ndarray],
    source: list[int | str],
    target: list[int | str],
    *,
    domains: list[str],
    functions: list[Any] | None = None,
) -> bytes:
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [onnx.helper.make_tensor_value_info("x", float32, source)],
        [onnx.helper.make_tensor_value_info("y", float32, target)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), *(onnx.helper.make_opsetid(domain, 1) for domain in domains)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, functions=functions or [])
    serialised: bytes = model.SerializeToString()
    return serialised
