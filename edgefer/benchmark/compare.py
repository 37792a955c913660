"""Results side by side: the ratio of each to the first, with an interval and a verdict, and whether that is fair."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from edgefer.benchmark.differences import Difference, Kind, differences, of_settings
from edgefer.benchmark.matching import match, name_of
from edgefer.benchmark.result import ClosedLoop, Interval, OpenLoop, Ratio, Result, Throughput
from edgefer.benchmark.statistics import ratio, verdict
from edgefer.errors import UsageError

_Part = ClosedLoop | OpenLoop | Throughput

BETWEEN_RUNS = 0.03
"""The smallest difference between two runs of a benchmark that a verdict is given for. Processes of the same program
differ by more than their intervals say (addresses, placement of threads, what else the machine holds), and one run
cannot know of it. Of 78 pairs among 13 runs of the same bundle on a virtual machine with two CPUs, 26 had intervals
that exclude 1, 8 by more than 2 %, 2 by more than 3 %, none by more than 5 %. What is measured in turn within one
process (`--against`) does not have this noise."""

LOST_SHARE = 0.001
"""By how much the share of lost frames may differ: an open loop that loses the late ones has better latencies."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the base beside that of another result.

    `ratio` is the other over the base, of times (for throughput of the time per image): below 1 the other is faster.
    `reasons` says what makes that unfair, where `comparable` is False; the ratio is what it is all the same.
    """

    what: str
    unit: Literal["s", "images/s"]
    base: float
    other: float
    ratio: Ratio
    comparable: bool
    reasons: tuple[str, ...] = ()


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """Another result held against the base; `unmatched` names what only one of them measured."""

    name: str
    differences: tuple[Difference, ...]
    figures: tuple[Compared, ...]
    unmatched: tuple[str, ...] = ()

    def of_kind(self, kind: Kind) -> tuple[Difference, ...]:
        """The differences of one kind."""
        return tuple(each for each in self.differences if each.kind == kind)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All results held against the first."""

    base: str
    confidence: float
    smallest: float
    others: tuple[Against, ...]

    @property
    def slower(self) -> bool:
        """Whether a figure that can be compared is slower than the base's."""
        return any(
            each.comparable and each.ratio.verdict == "slower" for other in self.others for each in other.figures
        )


def compare(results: Sequence[Result], *, confidence: float = 0.99, smallest: float = BETWEEN_RUNS) -> Comparison:
    """Hold every result against the first: closed loops by median, open loops by median and p99, throughput by rate.

    Figures are matched by what was measured, batch and streams (and an open loop's rate and queue), and among those by
    the likest settings. Intervals of closed and open loops are bootstraps of the raw series; that of throughput
    combines the two stated ones (Zou and Donner, Statistics in Medicine 27, 2008), whose own confidence holds.

    Args:
        results: the base and at least one other.
        confidence: of the intervals. As several figures are compared at once, it is higher than for a single one.
        smallest: differences up to this share are called noise however narrow the interval.

    Raises:
        UsageError: there are fewer than two results, or `confidence` or `smallest` cannot be what it is.
    """
    if len(results) < 2:
        raise UsageError(f"there is {len(results)} result to compare, expected two or more", hint="name a second file")
    if not 0.5 <= confidence < 1 or not 0 <= smallest < 1:
        raise UsageError(
            f"a confidence of {confidence:g} and a smallest difference of {100 * smallest:g} % cannot be",
            hint="a confidence lies from 0.5 to below 1, a smallest difference from 0 to below 100 %",
        )
    base = results[0]
    return Comparison(
        base=_name(base),
        confidence=confidence,
        smallest=smallest,
        others=tuple(_against(base, other, confidence, smallest) for other in results[1:]),
    )


def _against(base: Result, other: Result, confidence: float, smallest: float) -> Against:
    closed, opened = match(base.closed, other.closed), match(base.opened, other.opened)
    rates = match(base.throughput, other.throughput)
    pairs: list[tuple[_Part, _Part]] = []
    pairs += [*closed.pairs, *opened.pairs, *rates.pairs]
    whole = differences(base, other)
    unfair = [str(each) for each in whole if each.kind == "unlike"]
    found: list[Difference] = list(whole)
    figures: list[Compared] = []
    for mine, theirs in pairs:
        how = of_settings(mine.settings, theirs.settings)
        found += [each for each in how if each not in found]
        reasons = [*unfair, *(str(each) for each in how if each.kind == "unlike"), *_lost(mine, theirs)]
        for what, one, another, compared in _ratios(mine, theirs, confidence, smallest):
            figures.append(
                Compared(
                    what=what,
                    unit="images/s" if isinstance(mine, Throughput) else "s",
                    base=one,
                    other=another,
                    ratio=compared,
                    comparable=not reasons,
                    reasons=tuple(reasons),
                )
            )
    return Against(
        name=_name(other),
        differences=tuple(found),
        figures=tuple(figures),
        unmatched=(*closed.unmatched, *opened.unmatched, *rates.unmatched, *_unanswered(opened.pairs)),
    )


def _ratios(base: _Part, other: _Part, confidence: float, smallest: float) -> Iterator[tuple[str, float, float, Ratio]]:
    """What is compared of a pair: its name, both figures, their ratio. An open loop without answers has nothing."""
    name = name_of(base)
    if isinstance(base, ClosedLoop) and isinstance(other, ClosedLoop):
        of_medians = ratio(other.durations, base.durations, paired=False, confidence=confidence, smallest=smallest)
        yield name, base.latency.p50, other.latency.p50, of_medians
    elif isinstance(base, Throughput) and isinstance(other, Throughput):
        yield name, base.rate, other.rate, _ratio_of_rates(base, other, smallest)
    elif isinstance(base, OpenLoop) and isinstance(other, OpenLoop) and base.latency and other.latency:
        mine, theirs = base.latencies, other.latencies
        of_medians = ratio(theirs, mine, paired=False, confidence=confidence, smallest=smallest)
        yield f"{name}, p50", base.latency.p50, other.latency.p50, of_medians
        if base.latency.p99 is not None and other.latency.p99 is not None:
            of_tails = ratio(theirs, mine, paired=False, confidence=confidence, quantile=0.99, smallest=smallest)
            yield f"{name}, p99", base.latency.p99, other.latency.p99, of_tails


def _ratio_of_rates(base: Throughput, other: Throughput, smallest: float) -> Ratio:
    """The time per image of the other over that of the base, from the logarithms of rates and their limits."""
    value = base.rate / other.rate
    (below, above), (other_below, other_above) = _log_distances(base), _log_distances(other)
    interval = Interval(
        low=value * math.exp(-math.hypot(below, other_above)),
        high=value * math.exp(math.hypot(above, other_below)),
        confidence=min(base.interval.confidence, other.interval.confidence),
    )
    return Ratio(value=value, interval=interval, verdict=verdict(interval, smallest))


def _log_distances(point: Throughput) -> tuple[float, float]:
    tiny = 1e-9 * point.rate  # a lower limit of zero says that nothing is known below
    return math.log(point.rate / max(point.interval.low, tiny)), math.log(point.interval.high / point.rate)


def _lost(base: object, other: object) -> list[str]:
    if not isinstance(base, OpenLoop) or not isinstance(other, OpenLoop):
        return []
    shares = [len(each.losses) / each.arrivals for each in (base, other)]
    if abs(shares[0] - shares[1]) <= LOST_SHARE:
        return []
    texts = [f"{len(each.losses)} of {each.arrivals}" for each in (base, other)]
    return [f"frames lost: {texts[0]} against {texts[1]}"]


def _unanswered(pairs: Sequence[tuple[OpenLoop, OpenLoop]]) -> list[str]:
    return [
        f"{name_of(mine)} (no frame was answered in one of them)"
        for mine, theirs in pairs
        if mine.latency is None or theirs.latency is None
    ]


def _name(result: Result) -> str:
    return f"{result.subject.network} {result.subject.precision}, {result.created}"
