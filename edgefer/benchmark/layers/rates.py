"""A square matrix product through the library that runs a session, to learn the rate of its fastest kernels."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgefer.errors import EnvironmentMismatch
from edgefer.runtime.openvino_library import shared_core

Library = Literal["onnxruntime", "openvino"]
Rate = Literal["fp32", "int8"]

ORDER = 1024
"""Large enough to keep the arithmetic busy, small enough for its operands to stay in a cache."""
_OPSET, _IR = 19, 9
_ERRORS_ONLY = 3


def product_of(library: Library, precision: Rate, threads: int, order: int = ORDER) -> Callable[[], object]:
    """One product of two matrices of that order, ready to be called; the second is a constant, as weights are.

    Raises:
        EnvironmentMismatch: `library` or the package `onnx` is not installed.
    """
    generator = np.random.default_rng(0)
    if library == "openvino":
        # OpenVINO has no integer product to ask for: it makes one of Q/DQ, as it does in a network.
        model = _quantised(order, generator) if precision == "int8" else _float(order, generator)
        return _openvino(model, generator.random((order, order), np.float32), threads)
    if precision == "int8":
        return _onnxruntime(_integer(order, generator), generator.integers(0, 127, (order, order), np.uint8), threads)
    return _onnxruntime(_float(order, generator), generator.random((order, order), np.float32), threads)


def _onnxruntime(model: bytes, operand: npt.NDArray[Any], threads: int) -> Callable[[], object]:
    ort = _module("onnxruntime", "cpu")
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": operand})


def _openvino(model: bytes, operand: npt.NDArray[Any], threads: int) -> Callable[[], object]:
    core = shared_core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda: request.infer({"a": operand}, share_inputs=True, share_outputs=True)


def _float(order: int, generator: np.random.Generator) -> bytes:
    helper, types = _onnx()
    weights = generator.random((order, order), np.float32)
    return _model([helper.make_node("MatMul", ["a", "b"], ["c"])], {"b": weights}, types.FLOAT, types.FLOAT, order)


def _integer(order: int, generator: np.random.Generator) -> bytes:
    helper, types = _onnx()
    weights = generator.integers(-64, 64, (order, order), np.int8)
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    return _model([node], {"b": weights}, types.UINT8, types.INT32, order)


def _quantised(order: int, generator: np.random.Generator) -> bytes:
    helper, types = _onnx()
    constants = {
        "b": generator.integers(-64, 64, (order, order), np.int8),
        "scale": np.float32(1 / 127),
        "zero": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["b", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["c"]),
    ]
    return _model(nodes, constants, types.FLOAT, types.FLOAT, order)


def _model(nodes: list[Any], constants: dict[str, Any], given: int, made: int, order: int) -> bytes:
    helper, _ = _onnx()
    numpy_helper = importlib.import_module("onnx.numpy_helper")
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("a", given, [order, order])],
        [helper.make_tensor_value_info("c", made, [order, order])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    return bytes(model.SerializeToString())


def _onnx() -> tuple[Any, Any]:
    onnx = _module("onnx", "device")
    return importlib.import_module("onnx.helper"), onnx.TensorProto


def _module(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EnvironmentMismatch(
            f"measuring the rate of products needs {name}, which cannot be imported",
            details=str(error),
            hint=f"pip install 'edgefer[{extra}]'",
        ) from error
