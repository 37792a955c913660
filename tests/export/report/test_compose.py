"""The content of a report from what a build has found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from edgefer.engine.attention_check import AttentionCheck  # noqa: E402
from edgefer.engine.bundle_engine import EngineResult, GraphEngine  # noqa: E402
from edgefer.engine.decision import PluginDecision  # noqa: E402
from edgefer.engine.layers import LayerCounts  # noqa: E402
from edgefer.engine.report import EngineReport  # noqa: E402
from edgefer_export.data.feeds import Record  # noqa: E402
from edgefer_export.evaluate import Evaluation  # noqa: E402
from edgefer_export.gate import GateResult, judge  # noqa: E402
from edgefer_export.quantise.result import Layer, QuantisedGraph, Range  # noqa: E402
from edgefer_export.report import compose  # noqa: E402
from edgefer_export.steps import StepGraph  # noqa: E402

NAMES = ("calm", "cross", "glad")
LABELS = np.array([0, 0, 0, 1, 1, 2])


def logits(answers: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[answers]


def evaluation(labels: np.ndarray | None = LABELS) -> Evaluation:
    return Evaluation(
        logits={"fp32 network": logits([0, 0, 0, 1, 1, 2]), "exported": logits([0, 0, 1, 1, 1, 2])},
        labels=labels,
        class_names=NAMES,
        records=tuple(Record(f"{index}", 0, f"{index:064x}", frozenset()) for index in range(6)),
        seconds={},
        source="a folder",
    )


def gate(found: Evaluation) -> GateResult:
    steps = {"exported": found.logits["exported"]}
    return judge(found.logits["fp32 network"], steps, found.labels, NAMES, reference_name="fp32 network")


def graph() -> Any:
    """A quantised MatMul, a Relu in half precision, an Add in single precision, and what only moves data."""
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["a"], name="fc"),
        onnx.helper.make_node("Identity", ["a"], ["a2"], name="same"),
        onnx.helper.make_node("Cast", ["a2"], ["h"], name="cast", to=onnx.TensorProto.FLOAT16),
        onnx.helper.make_node("Relu", ["h"], ["r"], name="relu"),
        onnx.helper.make_node("Cast", ["r"], ["f"], name="back", to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Add", ["f", "f"], ["logits"], name="add"),
    ]
    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])]
    outputs = [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 3])]
    weight = onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    made = onnx.helper.make_graph(nodes, "g", inputs, outputs, [weight])
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)


def quantised() -> QuantisedGraph:
    return QuantisedGraph(
        model=graph(),
        ranges={"x": Range("max", -1.5, 0.5, 1.5, 1.5 / 127, 0.0)},
        layers=(Layer("fc", "MatMul", "int8"), Layer("add", "Add", "float", "an addition")),
        notes=(),
        count=64,
        seconds=1.0,
    )


def test_each_step_has_its_figures_and_its_confusion() -> None:
    found = evaluation()
    step = StepGraph("exported", graph(), 0.25, ("a note",))
    reference, exported = compose.step_reports(gate(found), found, [step])
    assert (reference.figure.step, reference.seconds, reference.bytes) == ("fp32 network", None, None)
    assert (exported.seconds, exported.bytes, exported.notes) == (0.25, step.bytes, ("a note",))
    assert exported.confusion == ((2, 1, 0), (0, 2, 0), (0, 0, 1))
    assert exported.accuracy == 5 / 6
    assert exported.recalls == (2 / 3, 1.0, 1.0)


def test_without_labels_there_is_neither() -> None:
    found = evaluation(None)
    assert compose.class_counts(found) == ()
    reports = compose.step_reports(gate(found), found, [])
    assert [(report.confusion, report.accuracy, report.recalls) for report in reports] == [((), None, ())] * 2
    assert [report.figure.agreement for report in reports] == [1.0, 5 / 6]


def test_where_the_verdict_comes_from() -> None:
    found = compose.evaluation_report(evaluation())
    assert (found.source, found.count, found.class_counts) == ("a folder", 6, (3, 2, 1))
    assert found.digest == evaluation().digest


def test_the_lines_of_the_budget() -> None:
    judged = gate(evaluation())
    checks = compose.budget_checks(judged)
    assert [check.measure for check in checks][:2] == ["accuracy", "mean recall"]
    assert len(checks) == len(judged.criteria)
    for check, criterion in zip(checks, judged.criteria, strict=True):
        assert (check.value, check.low, check.high, check.limit) == (
            criterion.value,
            criterion.low,
            criterion.high,
            criterion.limit,
        )
        assert (check.unit, check.verdict) == (criterion.unit, criterion.verdict)
        assert (criterion.subject in check.measure) or not criterion.subject


def test_nodes_that_compute_have_a_precision() -> None:
    layers = compose.graph_layers(graph(), quantised())
    assert [(layer.name, layer.op, layer.precision) for layer in layers] == [
        ("fc", "MatMul", "int8"),
        ("relu", "Relu", "fp16"),
        ("add", "Add", "fp32"),
    ]
    assert compose.graph_layers(graph(), None)[0].precision == "fp32"


def test_operators_of_a_domain_are_named_with_it() -> None:
    model = graph()
    model.graph.node[0].domain = "edgefer"
    model.opset_import.append(onnx.helper.make_opsetid("edgefer", 1))
    assert compose.graph_layers(model, None)[0].op == "edgefer::MatMul"


def test_where_the_ranges_come_from() -> None:
    found = compose.calibration_report(quantised(), "synthetic:64:1", "ab", "percentile", 99.9)
    assert (found.source, found.digest, found.count, found.method, found.percentile) == (
        "synthetic:64:1",
        "ab",
        64,
        "percentile",
        99.9,
    )
    assert [(each.name, each.low, each.high, each.limit) for each in found.ranges] == [("x", -1.5, 0.5, 1.5)]


def test_sizes_without_what_does_not_exist() -> None:
    step = StepGraph("exported", graph(), 0.1)
    assert compose.sizes([step], {"bundle": 10, "engine": 0}) == {"exported": step.bytes, "bundle": 10}


def engine_report() -> EngineReport:
    return EngineReport(
        flavour="tensorrt_rtx",
        version="1.7",
        note="not for a Jetson",
        targets=("8.6", "8.9"),
        platform="Linux-x86_64",
        batches=(1,),
        dynamic=False,
        workspace_bytes=1,
        plugins=(),
        parsed_sha256="",
        plan_sha256="",
        plan_bytes=77,
        seconds={"build": 1.0, "total": 2.5},
        inputs=(),
        outputs=(),
        layers=(),
        counts=LayerCounts(total=5, reformats=2, per_precision={"int8": 3, "fp32": 2}),
        decision=PluginDecision(asked="auto", taken="inline", reason="nothing is measured"),
        fused_attention=AttentionCheck(patterns=1, fused=1),
    )


def test_the_engine_in_short() -> None:
    built = GraphEngine("fused", Path("engine.plan"), engine_report(), True, "trtexec --onnx=x")
    result = EngineResult("tensorrt_rtx", "1.7", (built,), ("built, not run",), "trtexec --onnx=x")
    summary = compose.engine_summary(result)
    assert summary is not None
    assert (summary.target, summary.layer_count, summary.reformats, summary.bytes) == ("8.6, 8.9", 5, 2, 77)
    assert (summary.layers, summary.seconds, summary.cached) == ({"int8": 3, "fp32": 2}, 2.5, True)
    assert (summary.path, summary.trtexec, summary.notes) == ("engine.plan", "trtexec --onnx=x", ("built, not run",))
    assert summary.plugins == ("none (auto was asked for): nothing is measured",)
    assert summary.attention == "1 of 1 fused"
    assert compose.engine_summary(None) is None
    assert compose.engine_summary(EngineResult("none", "", (), ("why",), "")) is None
