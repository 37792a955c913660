"""The same network by other means, measured in turn with ours."""

from __future__ import annotations

from edgefer.benchmark.result import Ratio, Result
from edgefer.benchmark.show.absent import absent
from edgefer.benchmark.show.quantity import number, share, significant, times
from edgefer.benchmark.show.settings import apart, statement
from edgefer.benchmark.show.table import Section, Table, columns
from edgefer.benchmark.statistics import SMALLEST

VERDICTS = {"faster": "faster", "slower": "slower", "within-noise": "within noise"}


def rivals(result: Result) -> Section:
    """One line for each rival: both medians, their ratio, its interval, the verdict."""
    title = "Against others, in turn in one run"
    if not result.rivals:
        return absent(result, "rivals", title, ("rivals", "against"), "No rival was asked for (`--against`).")
    scale = times([each.ours.p50 for each in result.rivals] + [each.theirs.p50 for each in result.rivals])
    told = apart([rival.settings for rival in result.rivals], columns=("runner",), named=())
    level = f"{100 * result.rivals[0].ratio.interval.confidence:g} % "
    header = columns(
        ("rival", "name"),
        f"ours ({scale.unit})",
        f"theirs ({scale.unit})",
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
            interval(rival.ratio),
            VERDICTS[rival.ratio.verdict],
            significant(rival.max_error, 2),
        )
        for rival in result.rivals
    )
    ours = next((loop.settings for loop in result.closed), None)
    notes = [f"ours: {statement(ours)}"] if ours else []
    notes += [f"theirs, all: {told.common}"]
    notes += [
        f"{rival.name}: {' · '.join(part for part in parts if part)}"
        for rival, *parts in zip(
            result.rivals, told.names, told.details, [rival.note for rival in result.rivals], strict=True
        )
        if any(parts)
    ]
    return Section(
        "rivals",
        title,
        lead="Medians of runs that took turns. Below 1 ours takes less time; a difference counts when the whole "
        f"interval is beyond {share(SMALLEST)}.",
        tables=(Table(header, rows),),
        notes=tuple(notes),
    )


def ratio(value: Ratio) -> str:
    """A ratio as a table writes it."""
    return number(value.value, 3)


def interval(value: Ratio) -> str:
    """The interval of a ratio."""
    return f"{number(value.interval.low, 3)} to {number(value.interval.high, 3)}"
