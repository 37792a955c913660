"""The quantiser's check of its own work: what TensorRT refuses must not be in the graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, numpy_helper

from edgefer.errors import ExportError
from edgefer_export.operators import IR_VERSION, OPSET
from edgefer_export.quantise.graph_index import GraphIndex


def verify_qdq(model: onnx.ModelProto) -> None:
    """Check a model with explicit Q/DQ against onnx and against what TensorRT takes: opset 19, IR 9, INT8 only, zero
    points 0, positive scales, no quantised bias.

    Raises:
        ExportError: naming the first node that breaks a rule.
    """
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("") != OPSET or model.ir_version != IR_VERSION:
        raise _broken(f"it has opset {opsets.get('')} and IR {model.ir_version}, expected {OPSET} and {IR_VERSION}")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _broken(f"onnx says: {error}") from error
    constants = GraphIndex(model.graph)
    quantised = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    dequantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _check_parameters(node, constants)
        if node.op_type == "DequantizeLinear" and node.input[0] not in quantised:
            _check_stored(node, constants)
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 and node.input[2] in dequantised:
            raise _broken(f"node '{node.name}' has a quantised bias")


def verify_runs(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> None:
    """Run one sample in onnxruntime with optimisations off, so that Q/DQ is evaluated literally.

    Raises:
        ExportError: onnxruntime refuses the model, or an output is not finite.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, dict(feed))
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise _broken(f"onnxruntime says: {error}") from error
    for value, output in zip(model.graph.output, outputs, strict=True):
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise _broken(f"output '{value.name}' holds NaN or infinity for the first calibration sample")


def _check_parameters(node: NodeProto, constants: GraphIndex) -> None:
    if len(node.input) < 3 or not (constants.is_constant(node.input[1]) and constants.is_constant(node.input[2])):
        raise _broken(f"node '{node.name}' has no constant scale and zero point")
    scale, zero = constants.constant_array(node.input[1]), constants.constant_tensor(node.input[2])
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise _broken(f"node '{node.name}' has a scale that is not positive")
    if zero.data_type != TensorProto.INT8:
        raise _broken(f"node '{node.name}' is {TensorProto.DataType.Name(zero.data_type)}, not INT8")
    if numpy_helper.to_array(zero).any():
        raise _broken(f"node '{node.name}' has a zero point other than 0")


def _check_stored(node: NodeProto, constants: GraphIndex) -> None:
    name = node.input[0]
    if not constants.is_constant(name) or constants.constant_tensor(name).data_type != TensorProto.INT8:
        raise _broken(f"node '{node.name}' dequantises '{name}', which is no INT8 constant")


def _broken(what: str) -> ExportError:
    return ExportError(
        f"the quantised graph is not what TensorRT takes: {what}",
        hint="this is a defect of edgefer or of the graph handed in; build with --precision fp16 and report it",
    )
