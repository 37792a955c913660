"""The quantisation step as a whole."""

from __future__ import annotations

import time

import onnx

from edgefer.errors import CalibrationError, InputError
from edgefer.progress import Reporter
from edgefer_export.operators import IR_VERSION, OPSET
from edgefer_export.quantise.calibrate import Calibration, Feeds, calibrate
from edgefer_export.quantise.graph_index import name_nodes, required_inputs
from edgefer_export.quantise.placement import place
from edgefer_export.quantise.result import QuantisedGraph
from edgefer_export.quantise.rewrite import insert_qdq
from edgefer_export.quantise.spec import QuantiseSpec
from edgefer_export.quantise.verify import verify_qdq, verify_runs

# Below this a range is a guess: a single bright frame decides it.
_FEW_SAMPLES = 16


def quantise(model: onnx.ModelProto, feeds: Feeds, spec: QuantiseSpec, reporter: Reporter) -> QuantisedGraph:
    """Quantise a float32 graph to INT8 by explicit Q/DQ, calibrated on the given data only.

    Nothing is written to disk, and `model` is not changed.

    Args:
        model: opset 19, IR 9 at most, float32, without Q/DQ; operators of domain `edgefer` with function bodies stay
            as they are.
        feeds: called once for each pass over the data (one for `max`, two otherwise); each time the same samples, as
            input name -> array of that input's shape and type.
        spec: method and exclusions.
        reporter: told of progress and of everything left out.

    Raises:
        InputError: the model or a sample is not as described above.
        UsageError: an exclusion that matches no node.
        CalibrationError: no data, unusable ranges, or nothing left to quantise.
        ExportError: the result fails the check of its structure, or does not run in onnxruntime.
    """
    started = time.perf_counter()
    _check_model(model)
    named = onnx.ModelProto()
    named.CopyFrom(model)
    name_nodes(named.graph)
    placement = place(named.graph, spec.exclude)
    calibration = calibrate(named, placement.activations, feeds, spec, reporter)
    dead = _dead_activations(named, calibration)
    placement = placement.without(dead)
    notes = [*placement.notes, *_calibration_notes(calibration, dead)]
    if not placement.int8_layers:
        raise CalibrationError(
            f"nothing is left to quantise: all {len(dead)} activations are zero for every calibration sample",
            hint="look at the calibration images; they must be like those of the cabin",
        )
    ranges = {name: calibration.ranges[name] for name in placement.activations}
    quantised = insert_qdq(named, placement, {name: value.scale for name, value in ranges.items()})
    quantised.ir_version = IR_VERSION
    verify_qdq(quantised)
    verify_runs(quantised, calibration.first)
    for note in notes:
        reporter.note(note)
    seconds = time.perf_counter() - started
    return QuantisedGraph(quantised, ranges, placement.layers(), tuple(notes), calibration.count, seconds)


def _check_model(model: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise InputError(
            f"the graph to be quantised is not valid ONNX: {error}", hint="check the export; every output needs a shape"
        ) from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if opset != OPSET or model.ir_version > IR_VERSION:
        raise InputError(
            f"found a graph of opset {opset} and IR {model.ir_version}, expected {OPSET} and at most {IR_VERSION}",
            hint="export it with opset 19; earlier ones have no float16 scales for Q/DQ",
        )
    present = sum(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node)
    if present:
        raise InputError(
            f"the graph holds {present} Q/DQ nodes already, expected a float32 graph",
            hint="quantise the original graph, or build this one with --precision fp32, which keeps its Q/DQ",
        )


def _dead_activations(model: onnx.ModelProto, calibration: Calibration) -> dict[str, str]:
    """Tensors that cannot have a scale, with the reason.

    A network may have a layer that never fires; what reads it stays in floating point, which is exact and costs
    nothing. An input that is always zero is no such thing: the calibration data lacks a camera.
    """
    dead = {name: value for name, value in calibration.ranges.items() if value.scale == 0}
    for value in required_inputs(model.graph):
        if value.name in dead:
            raise CalibrationError(
                f"input '{value.name}' is zero in all {calibration.count} calibration samples",
                hint="calibrate on data of every camera that the network reads",
            )
    return {
        name: f"its activation '{name}' never exceeds {value.amax:g} in the calibration" for name, value in dead.items()
    }


def _calibration_notes(calibration: Calibration, dead: dict[str, str]) -> list[str]:
    notes = []
    if calibration.count < _FEW_SAMPLES:
        notes.append(f"only {calibration.count} calibration samples; 64 or more give ranges to rely on")
    if dead:
        notes.append(f"no magnitude to quantise in {len(dead)} tensors, whose layers stay float: {', '.join(dead)}")
    return notes
