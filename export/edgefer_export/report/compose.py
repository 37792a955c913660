"""The report's content from what a build has found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from edgefer.engine.bundle_engine import EngineResult
from edgefer_export.evaluate import Evaluation
from edgefer_export.gate import GateResult
from edgefer_export.metrics import confusion_matrix
from edgefer_export.quantise import QuantisedGraph
from edgefer_export.report.content import (
    BudgetCheck,
    CalibrationReport,
    EngineSummary,
    EvaluationReport,
    GraphLayer,
    LayerPrecision,
    StepReport,
    TensorRange,
    step_report,
)
from edgefer_export.steps import StepGraph

# Nodes that move or re-type data, and hold no arithmetic of the network.
_NO_LAYER = {"QuantizeLinear", "DequantizeLinear", "Cast", "Constant", "Identity", "Shape", "Flatten", "Reshape"}


def budget_checks(gate: GateResult) -> tuple[BudgetCheck, ...]:
    """The lines of the budget with their intervals."""
    return tuple(
        BudgetCheck(
            measure=f"{criterion.measure} ({criterion.subject})" if criterion.subject else criterion.measure,
            unit=criterion.unit,
            value=criterion.value,
            low=criterion.low,
            high=criterion.high,
            limit=criterion.limit,
            verdict=criterion.verdict,
            note=criterion.note,
        )
        for criterion in gate.criteria
    )


def step_reports(gate: GateResult, evaluation: Evaluation, steps: Sequence[StepGraph]) -> tuple[StepReport, ...]:
    """The reference and every step: figures, confusion matrices, sizes, times, notes."""
    graphs = {step.name: step for step in steps}
    classes = len(evaluation.class_names)
    counts = class_counts(evaluation)
    reports = []
    for figure in gate.steps:
        step = graphs.get(figure.step)
        confusion: Sequence[Sequence[int]] = ()
        if evaluation.labels is not None:
            confusion = confusion_matrix(evaluation.logits[figure.step], evaluation.labels, classes).tolist()
        reports.append(
            step_report(
                figure,
                confusion,
                class_counts=counts or None,
                seconds=step.seconds if step else None,
                size=step.bytes if step else None,
                notes=step.notes if step else (),
            )
        )
    return tuple(reports)


def class_counts(evaluation: Evaluation) -> tuple[int, ...]:
    """Images by class, in the order of the labels; empty without labels."""
    if evaluation.labels is None:
        return ()
    return tuple(int(n) for n in np.bincount(evaluation.labels, minlength=len(evaluation.class_names)))


def evaluation_report(evaluation: Evaluation) -> EvaluationReport:
    """Where the verdict comes from."""
    return EvaluationReport(
        source=evaluation.source,
        digest=evaluation.digest,
        count=evaluation.count,
        class_counts=class_counts(evaluation),
    )


def calibration_report(
    quantised: QuantisedGraph, source: str, digest: str, method: str, percentile: float | None
) -> CalibrationReport:
    """Where the ranges come from and what they are."""
    return CalibrationReport(
        source=source,
        digest=digest,
        count=quantised.count,
        method=method,
        percentile=percentile,
        ranges=tuple(
            TensorRange(name=name, low=each.minimum, high=each.maximum, limit=each.threshold)
            for name, each in quantised.ranges.items()
        ),
    )


def graph_layers(model: onnx.ModelProto, quantised: QuantisedGraph | None) -> tuple[GraphLayer, ...]:
    """The nodes that compute, and in which precision: INT8 where Q/DQ surrounds them, else the type of their output."""
    int8 = set(quantised.quantised) if quantised is not None else set()
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {
        value.name: value.type.tensor_type.elem_type for value in (*inferred.graph.value_info, *inferred.graph.output)
    }

    def precision(node: onnx.NodeProto) -> LayerPrecision:
        if node.name in int8:
            return "int8"
        return "fp16" if types.get(node.output[0]) == onnx.TensorProto.FLOAT16 else "fp32"

    return tuple(
        GraphLayer(
            name=node.name,
            op=f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
            precision=precision(node),
        )
        for node in model.graph.node
        if node.op_type not in _NO_LAYER
    )


def engine_summary(result: EngineResult | None) -> EngineSummary | None:
    """The first engine, for a bundle of one graph; None where none was built."""
    if result is None or result.report is None:
        return None
    report = result.report
    return EngineSummary(
        flavour=report.flavour,
        version=report.version,
        target=", ".join(report.targets),
        layers=dict(report.counts.per_precision),
        layer_count=report.counts.total,
        reformats=report.counts.reformats,
        plugins=report.decision.lines() if report.decision is not None else (),
        attention=report.fused_attention.text() if report.fused_attention is not None else "",
        bytes=report.plan_bytes,
        seconds=report.seconds.get("total", 0.0),
        cached=result.cached,
        path=str(result.path),
        trtexec=result.trtexec,
        notes=result.notes,
    )


def sizes(steps: Sequence[StepGraph], further: Mapping[str, int]) -> dict[str, int]:
    """Bytes by stage: each step's graph, then what is given."""
    return {**{step.name: step.bytes for step in steps}, **{name: size for name, size in further.items() if size}}
