"""What a build report says, as a typed schema. report.json is this; report.html shows it and nothing else.

Inside, times are seconds, shares lie between 0 and 1 and sizes are bytes; the page states the unit it shows them in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from edgefer.bundle.manifest import BudgetSpec, InputSpec, NetworkSpec, Precision, StepFigure, Verdict
from edgefer.readable import encode_json

REPORT_SCHEMA = 1

LayerPrecision = Literal["int8", "fp16", "fp32"]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable and closed against unknown fields, as in the manifest."""


class StepReport(_Struct, frozen=True, kw_only=True):
    """One step of the build and how well its graph still recognises; `step_report` derives the last three.

    `bytes` is the size of the step's graph on disk. `confusion[t][p]` counts images of class t that were taken for
    class p; `accuracy` and `recalls` are shares, the latter by class, None for a class without images.
    """

    figure: StepFigure
    seconds: float | None = None
    bytes: int | None = None
    accuracy: float | None = None
    recalls: tuple[float | None, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()


class BudgetCheck(_Struct, frozen=True, kw_only=True):
    """One line of the budget: the loss (or the agreement) of the deployed graph against the FP32 network.

    `value`, `low` and `high` (the paired interval of `confidence`) and `limit` are in `unit`: `points` (percentage
    points lost, negative for a gain) or `share`.
    """

    measure: str
    unit: Literal["points", "share"]
    value: float
    low: float
    high: float
    limit: float
    verdict: Verdict
    confidence: float = 0.95
    note: str = ""


class TensorRange(_Struct, frozen=True, kw_only=True):
    """What calibration saw of one tensor, and the symmetric range ±`limit` that it was given."""

    name: str
    low: float
    high: float
    limit: float


class CalibrationReport(_Struct, frozen=True, kw_only=True):
    """Where the INT8 ranges come from. `digest` is over the decoded pixels."""

    source: str
    digest: str
    count: int
    method: str
    percentile: float | None = None
    ranges: tuple[TensorRange, ...] = ()


class EvaluationReport(_Struct, frozen=True, kw_only=True):
    """The data that the verdict rests on; `class_counts` is in the order of the labels."""

    source: str
    digest: str
    count: int
    class_counts: tuple[int, ...] = ()


class GraphLayer(_Struct, frozen=True, kw_only=True):
    """One node of the deployed ONNX graph and the precision that it computes in (`int8`, `fp16` or `fp32`)."""

    name: str
    op: str
    precision: LayerPrecision


class EngineSummary(_Struct, frozen=True, kw_only=True):
    """The compiled engine: what TensorRT made of the graph. `layers` counts layers by precision.

    `plugins` are the lines about what plugins compute in it and why, `attention` how its self-attention was compiled.
    """

    flavour: str
    version: str
    target: str = ""
    layers: dict[str, int] = {}
    layer_count: int = 0
    reformats: int = 0
    plugins: tuple[str, ...] = ()
    attention: str = ""
    bytes: int = 0
    seconds: float = 0.0
    cached: bool = False
    path: str = ""
    trtexec: str = ""
    notes: tuple[str, ...] = ()


class Report(_Struct, frozen=True, kw_only=True):
    """All that a build has to say.

    `sizes` (bytes) and `seconds` are by stage, in the order in which the page shows them; `digests` are SHA-256 in
    hex; `environment` maps a tool to its version. `layer_counts` is operator -> precision -> nodes, by `count_layers`.
    The first of `steps` is the reference, the last one the graph that the bundle holds.
    """

    schema: int = REPORT_SCHEMA
    title: str
    verdict: Verdict
    reason: str
    created: str
    command: tuple[str, ...] = ()
    network: NetworkSpec
    precision: Precision
    labels: tuple[str, ...]
    inputs: tuple[InputSpec, ...]
    budget: BudgetSpec = BudgetSpec()
    checks: tuple[BudgetCheck, ...] = ()
    blamed_step: str | None = None
    images_to_decide: int | None = None
    over_budget_allowed: bool = False
    steps: tuple[StepReport, ...] = ()
    calibration: CalibrationReport | None = None
    evaluation: EvaluationReport | None = None
    layers: tuple[GraphLayer, ...] = ()
    layer_counts: dict[str, dict[str, int]] = {}
    engine: EngineSummary | None = None
    sizes: dict[str, int] = {}
    seconds: dict[str, float] = {}
    digests: dict[str, str] = {}
    environment: dict[str, str] = {}
    notes: tuple[str, ...] = ()


def step_report(
    figure: StepFigure,
    confusion: Sequence[Sequence[int]] = (),
    *,
    class_counts: Sequence[int] | None = None,
    seconds: float | None = None,
    size: int | None = None,
    notes: tuple[str, ...] = (),
) -> StepReport:
    """A step with the shares that follow from its counts. `size` is in bytes.

    `class_counts` is the number of images by class; None takes the sums of the rows, which miss the images whose
    logits were not finite.
    """
    rows = tuple(tuple(int(each) for each in row) for row in confusion)
    totals = [sum(row) for row in rows] if class_counts is None else [int(each) for each in class_counts]
    accuracy = None if figure.correct is None or not figure.count else figure.correct / figure.count
    recalls = tuple(row[label] / totals[label] if totals[label] else None for label, row in enumerate(rows))
    return StepReport(
        figure=figure, seconds=seconds, bytes=size, accuracy=accuracy, recalls=recalls, confusion=rows, notes=notes
    )


def count_layers(layers: Sequence[GraphLayer]) -> dict[str, dict[str, int]]:
    """Nodes by operator and precision, operators with most nodes first."""
    by_op: dict[str, Counter[str]] = {}
    for layer in layers:
        by_op.setdefault(layer.op, Counter())[layer.precision] += 1
    order = sorted(by_op, key=lambda op: (-by_op[op].total(), op))
    return {op: {precision: by_op[op][precision] for precision in sorted(by_op[op])} for op in order}


def to_json(report: Report) -> bytes:
    """The report as indented JSON, which `from_json` reads back to an equal report."""
    return msgspec.json.format(encode_json(report), indent=2) + b"\n"


def from_json(data: bytes) -> Report:
    """Read what `to_json` wrote.

    Raises:
        msgspec.ValidationError: the data is JSON, but not a report.
    """
    return msgspec.json.decode(data, type=Report)
