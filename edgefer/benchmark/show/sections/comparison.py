"""Results held against the first: ratios where they are fair, and what differs besides."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.compare import Against, Compared, Comparison
from edgefer.benchmark.show.quantity import rates, share, times
from edgefer.benchmark.show.sections.rivals import VERDICTS, interval, ratio
from edgefer.benchmark.show.table import Section, Table, columns

NOT_COMPARABLE = "not comparable"

_KINDS = {
    "unlike": "makes it unfair",
    "worth-knowing": "is worth knowing",
    "purpose": "is what is compared",
}


def comparisons(comparison: Comparison, names: Sequence[str] | None = None) -> tuple[Section, ...]:
    """One section for each result that is held against the base.

    Args:
        comparison: any.
        names: of the base and of the others; None takes those of the comparison.
    """
    base, *others = names or (comparison.base, *(other.name for other in comparison.others))
    return tuple(
        _section(index, (base, name), other, comparison)
        for index, (name, other) in enumerate(zip(others, comparison.others, strict=True))
    )


def word(figure: Compared) -> str:
    """The verdict on a figure, or that there can be none."""
    return VERDICTS[figure.ratio.verdict] if figure.comparable else NOT_COMPARABLE


def _section(index: int, names: tuple[str, str], other: Against, comparison: Comparison) -> Section:
    base, name = names
    tables = [_figures(other.figures)] if other.figures else []
    if other.differences:
        tables.append(_differences(other))
    notes = [f"Only in one of them: {'; '.join(other.unmatched)}."] if other.unmatched else []
    reasons = dict.fromkeys(reason for figure in other.figures for reason in figure.reasons)
    return Section(
        f"against-{index}",
        f"{name} against {base}",
        lead="Time of the other over that of the base (for throughput, of an image): below 1 the other is faster. A "
        f"difference counts when its whole {share(comparison.confidence)} interval is beyond "
        f"{share(comparison.smallest)}; less may be between two runs of the same program."
        if other.figures
        else "The two have no figure in common.",
        tables=tuple(tables),
        notes=tuple(notes),
        warnings=(f"{name}, not comparable with {base}: {'; '.join(reasons)}.",) if reasons else (),
    )


def _figures(figures: Sequence[Compared]) -> Table:
    time = times(value for each in figures if each.unit == "s" for value in (each.base, each.other))
    rate = rates(value for each in figures if each.unit != "s" for value in (each.base, each.other))
    rows = []
    for each in figures:
        scale = time if each.unit == "s" else rate
        cells = each.what, scale(each.base), scale(each.other), scale.unit
        rows.append((*cells, ratio(each.ratio), interval(each.ratio), word(each)))
    header = columns(
        ("figure", "name"), "base", "other", ("unit", "text"), ("ratio", "key"), "interval", ("other is", "verdict")
    )
    return Table(header, tuple(rows))


def _differences(other: Against) -> Table:
    order = list(_KINDS)
    found = sorted(other.differences, key=lambda each: order.index(each.kind))
    return Table(
        columns(("what differs", "name"), ("base", "text"), ("other", "text"), ("which", "text")),
        tuple((each.name, each.base, each.other, _KINDS[each.kind]) for each in found),
    )
