"""What a benchmark says of itself in pytest-benchmark's `extra_info`, which is what the table and the check read."""

from __future__ import annotations

from typing import Any

from benchmarks.interleaved import CONFIDENCE, Pair
from benchmarks.units import duration


def note(
    benchmark: Any, pair: Pair, against: str, *, goal: str = "", met: bool | None = None, **details: object
) -> None:
    """Write down a pair and print it in a line.

    Args:
        benchmark: the fixture.
        against: what the bare equivalent is.
        goal: what is to be reached, in words; empty without one.
        met: whether it is; None without one.
        details: anything else worth keeping in the JSON.
    """
    found = pair.compared
    benchmark.extra_info.update(
        against=against,
        rounds=pair.rounds,
        seconds=pair.ours,
        bare_seconds=pair.bare,
        added_seconds=pair.added,
        ratio=found.value,
        ratio_low=found.interval.low,
        ratio_high=found.interval.high,
        confidence=CONFIDENCE,
        goal=goal,
        met=met,
        **details,
    )
    print(
        f"\n{benchmark.name}: {duration(pair.ours)}, {against} {duration(pair.bare)}, {found.value:.3f} x "
        f"({found.interval.low:.3f} to {found.interval.high:.3f}), {1e6 * pair.added:+.0f} us"
    )
