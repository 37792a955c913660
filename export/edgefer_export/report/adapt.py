"""From what the steps of a build hand back to what the report shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgefer_export.criteria import Criterion
from edgefer_export.intervals import CONFIDENCE
from edgefer_export.report.content import BudgetCheck, EngineSummary, TensorRange

if TYPE_CHECKING:
    from edgefer.engine.bundle_engine import EngineResult
    from edgefer_export.quantise.result import Range


def budget_checks(criteria: Iterable[Criterion]) -> tuple[BudgetCheck, ...]:
    """The lines of the budget as the gate decided them."""
    return tuple(
        BudgetCheck(
            measure=f"recall of {criterion.subject}" if criterion.subject else criterion.measure,
            unit=criterion.unit,
            value=criterion.value,
            low=criterion.low,
            high=criterion.high,
            limit=criterion.limit,
            verdict=criterion.verdict,
            images=criterion.images,
            confidence=CONFIDENCE,
            note=criterion.note,
        )
        for criterion in criteria
    )


def tensor_ranges(ranges: Mapping[str, Range]) -> tuple[TensorRange, ...]:
    """The calibrated ranges, in the order given."""
    return tuple(
        TensorRange(name=name, low=each.minimum, high=each.maximum, limit=each.threshold)
        for name, each in ranges.items()
    )


def engine_summary(result: EngineResult) -> EngineSummary | None:
    """The engines of a bundle taken together; None where none was built."""
    if not result.graphs:
        return None
    reports = [graph.report for graph in result.graphs]
    layers: dict[str, int] = {}
    for report in reports:
        for precision, number in report.counts.per_precision.items():
            layers[precision] = layers.get(precision, 0) + number
    return EngineSummary(
        flavour=result.flavour,
        version=result.version,
        target=", ".join(dict.fromkeys(target for report in reports for target in report.targets)),
        layers=layers,
        layer_count=sum(report.counts.total for report in reports),
        reformats=sum(report.counts.reformats for report in reports),
        bytes=sum(report.plan_bytes for report in reports),
        seconds=sum(report.seconds.get("total", 0.0) for report in reports),
        cached=result.cached,
        path=str(result.path or ""),
        trtexec=result.trtexec,
        notes=result.notes,
    )
