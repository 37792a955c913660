"""Files that come quantised: what is kept, and what is rewritten into its exact equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer_export.foreign import load_onnx  # noqa: E402
from edgefer_export.networks.network import precision_with  # noqa: E402
from edgefer_export.quantise.verify import verify_qdq  # noqa: E402

RNG = np.random.default_rng(9)
CODES = RNG.integers(-127, 128, (2, 3, 3, 3)).astype(np.int8)
SCALE = np.array([0.01, 0.03], np.float32)


def file(folder: Path, weights: dict[str, np.ndarray], *, bias: bool = True) -> Path:
    """A convolution of opset 13 with Q/DQ on its activation, DQ on its weights and on its bias."""
    dq = "DequantizeLinear"
    nodes: list[Any] = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], "quantise"),
        helper.make_node(dq, ["xq", "xs", "xz"], ["xd"], "dequantise"),
        helper.make_node(dq, ["w", "ws", "wz"], ["wd"], "weights", axis=0),
        helper.make_node("Conv", ["xd", "wd", *(["bd"] if bias else [])], ["y"], "conv"),
    ]
    if bias:
        nodes.insert(3, helper.make_node(dq, ["b", "bs"], ["bd"], "bias", axis=0))
    stored = {
        "xs": np.array(1 / 128, np.float32),
        "xz": np.array(0, np.int8),
        "w": CODES,
        "ws": SCALE,
        "wz": np.zeros(2, np.int8),
        **({"b": np.array([1000, -3000], np.int32), "bs": SCALE / 128} if bias else {}),
        **weights,
    }
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path = folder / "quantised.onnx"
    onnx.save(made, path)
    return path


def test_a_good_graph_is_taken_as_it_is(tmp_path: Path) -> None:
    network = load_onnx(file(tmp_path, {}, bias=False))
    exported = network.export(None, (1,))
    assert (network.native, network.reference_name) == ("int8", "ONNX as given")
    assert exported.max_error == 0.0
    assert [node.name for node in exported.model.graph.node] == ["quantise", "dequantise", "weights", "conv"]
    verify_qdq(exported.model)


def test_a_bias_in_codes_becomes_floats(tmp_path: Path) -> None:
    network = load_onnx(file(tmp_path, {}))
    exported = network.export(None, (1,))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in exported.model.graph.initializer}
    assert exported.max_error == 0.0
    assert np.array_equal(weights["bd"], np.array([1000, -3000], np.float32) * (SCALE / 128))
    assert "bias" not in {node.name for node in exported.model.graph.node}
    assert "b" not in weights
    verify_qdq(exported.model)


def test_codes_around_128_become_signed(tmp_path: Path) -> None:
    unsigned = {
        "xz": np.array(128, np.uint8),
        "w": (CODES.astype(np.int16) + 128).astype(np.uint8),
        "wz": np.full(2, 128, np.uint8),
    }
    network = load_onnx(file(tmp_path, unsigned))
    exported = network.export(None, (1,))
    assert exported.max_error == 0.0
    assert any("3 Q/DQ nodes of unsigned codes" in note for note in exported.notes)
    verify_qdq(exported.model)


def test_asymmetric_weights_become_floats(tmp_path: Path) -> None:
    network = load_onnx(file(tmp_path, {"wz": np.array([3, -7], np.int8)}))
    exported = network.export(None, (1,))
    assert exported.max_error == 0.0
    assert [node.name for node in exported.model.graph.node] == ["quantise", "dequantise", "conv"]
    verify_qdq(exported.model)


def test_half_precision_is_told_from_the_weights(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 2])],
        [numpy_helper.from_array(np.ones((4, 2), np.float16), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "h.onnx")
    network = load_onnx(tmp_path / "h.onnx")
    assert network.native == "fp16"
    assert any("input x is float16 in the file" in note for note in network.export(None, (1,)).notes)


def test_what_a_file_came_in_stays() -> None:
    assert precision_with("fp32", "fp32") == "fp32"
    assert precision_with("fp32", "int8") == "int8"
    assert precision_with("int8", "fp32") == "int8"
    assert precision_with("int8", "fp16") == "int8+fp16"
    assert precision_with("fp16", "int8") == "int8+fp16"
    assert precision_with("int8", "int8+fp16") == "int8+fp16"
