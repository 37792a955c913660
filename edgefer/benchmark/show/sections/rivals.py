"""The same network by other means, measured in turn with ours."""

from __future__ import annotations

from edgefer.benchmark.result import Ratio, Result, Rival
from edgefer.benchmark.show.absent import reasons, why
from edgefer.benchmark.show.quantity import number, significant, times
from edgefer.benchmark.show.settings import apart, statement
from edgefer.benchmark.show.table import Section, Table, columns

VERDICTS = {"faster": "faster", "slower": "slower", "within-noise": "within noise"}


def rivals(result: Result) -> Section:
    """One line for each rival: both medians, their ratio, its interval, the verdict."""
    title = "Against others, in turn in one run"
    if not result.rivals:
        return Section("rivals", title, absent=why(result, "rivals", "against"))
    scale = times([each.ours.p50 for each in result.rivals] + [each.theirs.p50 for each in result.rivals])
    common, names = apart([rival.settings for rival in result.rivals], columns=("runner",), named=())
    level = f"{100 * result.rivals[0].ratio.interval.confidence:g} % "
    header = columns(
        ("rival", "name"),
        f"ours, p50 ({scale.unit})",
        f"theirs, p50 ({scale.unit})",
        ("ours / theirs", "key"),
        f"{level}interval",
        ("ours is", "verdict"),
        "largest error",
    )
    rows = tuple(
        (
            rival.name,
            scale(rival.ours.p50),
            scale(rival.theirs.p50),
            ratio(rival.ratio),
            f"{number(rival.ratio.interval.low, 3)} to {number(rival.ratio.interval.high, 3)}",
            VERDICTS[rival.ratio.verdict],
            significant(rival.max_error, 2),
        )
        for rival in result.rivals
    )
    ours = next((loop.settings for loop in result.closed), None)
    notes = [f"ours: {statement(ours)}"] if ours else []
    notes += [f"theirs, all: {common}"]
    notes += [_how(rival, name) for rival, name in zip(result.rivals, names, strict=True) if name or rival.note]
    notes += reasons(result, "rivals", "against")
    return Section(
        "rivals",
        title,
        lead="Below 1 ours takes less time. The verdict is from the interval: within noise when 1 lies in it.",
        tables=(Table(header, rows),),
        notes=tuple(notes),
    )


def ratio(value: Ratio) -> str:
    """A ratio as a table writes it."""
    return number(value.value, 3)


def _how(rival: Rival, name: str) -> str:
    return f"{rival.name}: " + " · ".join(part for part in (name, rival.note) if part)
