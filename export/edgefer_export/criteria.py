"""The four criteria of the budget, each decided from the paired 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgefer.bundle.manifest import BudgetSpec
from edgefer_export.intervals import (
    CONFIDENCE,
    Interval,
    images_to_decide,
    mean_recall_difference,
    paired_difference,
    wilson,
)
from edgefer_export.metrics import Comparison

Measure = Literal["accuracy", "mean recall", "class recall", "agreement"]
Decision = Literal["pass", "fail", "undecided"]

MIN_CLASS_IMAGES = 100
"""A class with fewer images is not judged on its own."""

POINTS = 100.0

_SLACK = 1e-12
"""Room for the floating-point noise of 1 - 0.97 and the like; far below one image."""


@dataclass(frozen=True)
class Criterion:
    """One line of the budget, decided.

    `value`, `low`, `high` and `limit` are in `unit`: percentage `points` lost (negative: gained) or a `share` of images
    that agree. `images` is how many images would decide it at the rates seen: None when it is decided, and when no
    number would decide it. `subject` is the class for `class recall`.
    """

    measure: Measure
    unit: Literal["points", "share"]
    value: float
    low: float
    high: float
    limit: float
    verdict: Decision
    images: int | None = None
    subject: str = ""
    note: str = ""

    @property
    def leans(self) -> Literal["pass", "fail"]:
        """The side on which the value itself lies, whatever the interval says."""
        within = self.value >= self.limit if self.unit == "share" else self.value <= self.limit
        return "pass" if within else "fail"


@dataclass(frozen=True)
class _Loss:
    value: float
    interval: Interval
    limit: float

    @property
    def verdict(self) -> Decision:
        if self.interval.high <= self.limit + _SLACK:
            return "pass"
        return "fail" if self.interval.low > self.limit + _SLACK else "undecided"


def judge_criteria(comparison: Comparison, names: Sequence[str], budget: BudgetSpec) -> tuple[Criterion, ...]:
    """Each criterion for a graph compared with the FP32 network: accuracy, mean recall, the class that loses most among
    those with `MIN_CLASS_IMAGES` images (left out where there is none), agreement. Without labels only agreement.

    `pass`: the whole interval is within the budget; `fail`: the whole of it is beyond; else `undecided`. Where the two
    are the same function up to rounding (`Comparison.same`) the interval is the point 0: what remains uncertain then is
    below any budget, however few the images.
    """
    criteria: list[Criterion] = []
    if comparison.classes:
        criteria.append(_criterion("accuracy", _accuracy(comparison, budget.accuracy), comparison.count))
        criteria.append(_criterion("mean recall", _mean_recall(comparison, budget.recall), comparison.count))
        judged = [index for index, pairs in enumerate(comparison.classes) if pairs.count >= MIN_CLASS_IMAGES]
        if judged:
            criteria.append(_class_recall(comparison, judged, names, budget.class_recall))
    criteria.append(_agreement(comparison, budget.agreement))
    return tuple(criteria)


_At = Callable[[float], _Loss]
"""The loss and its interval in a set so many times as large, at the same rates."""


def _accuracy(comparison: Comparison, points: float) -> _At:
    def at(factor: float) -> _Loss:
        pairs = comparison.total.scaled(factor)
        return _Loss(pairs.loss, _or_point(comparison, lambda: paired_difference(pairs)), points / POINTS)

    return at


def _mean_recall(comparison: Comparison, points: float) -> _At:
    def at(factor: float) -> _Loss:
        scaled = [pairs.scaled(factor) for pairs in comparison.classes]
        interval = _or_point(comparison, lambda: mean_recall_difference(scaled))
        return _Loss(comparison.mean_recall_loss, interval, points / POINTS)

    return at


def _one_class(comparison: Comparison, index: int, together: int, points: float) -> _At:
    def interval(factor: float) -> Interval:
        pairs = comparison.classes[index].scaled(factor)
        high = paired_difference(pairs).high
        # Any one of several classes may fail the build, so each may do so wrongly only so much more rarely
        # (Bonferroni). Passing takes all of them at once and needs no such care.
        low = paired_difference(pairs, 1 - (1 - CONFIDENCE) / together).low
        return Interval(low, high)

    def at(factor: float) -> _Loss:
        loss = comparison.classes[index].loss
        return _Loss(loss, _or_point(comparison, lambda: interval(factor)), points / POINTS)

    return at


def _or_point(comparison: Comparison, interval: Callable[[], Interval]) -> Interval:
    return Interval(0.0, 0.0) if comparison.same else interval()


def _criterion(measure: Measure, at: _At, count: int, *, subject: str = "", note: str = "") -> Criterion:
    loss = at(1.0)
    images = None
    if loss.verdict == "undecided":
        images = images_to_decide(lambda factor: at(factor).verdict != "undecided", count)
    return Criterion(
        measure=measure,
        unit="points",
        value=POINTS * loss.value,
        low=POINTS * loss.interval.low,
        high=POINTS * loss.interval.high,
        limit=POINTS * loss.limit,
        verdict=loss.verdict,
        images=images,
        subject=subject,
        note=note,
    )


def _class_recall(comparison: Comparison, judged: Sequence[int], names: Sequence[str], points: float) -> Criterion:
    each = [
        _criterion(
            "class recall",
            _one_class(comparison, index, len(judged), points),
            comparison.count,
            subject=names[index],
            note=f"of {len(judged)} with {MIN_CLASS_IMAGES} images or more; lower end corrected for their number",
        )
        for index in judged
    ]
    rank = {"fail": 2, "undecided": 1, "pass": 0}
    worst = max(each, key=lambda criterion: (rank[criterion.verdict], criterion.value, criterion.high))
    if worst.verdict != "undecided":
        return worst
    # All classes that are still open have to be decided, or one of them has to fail.
    images = combined_images([criterion for criterion in each if criterion.verdict == "undecided"])
    return Criterion(**{**worst.__dict__, "images": images})


def _agreement(comparison: Comparison, share: float) -> Criterion:
    def at(factor: float) -> _Loss:
        differing = comparison.count - comparison.agreeing
        interval = _or_point(comparison, lambda: wilson(differing * factor, comparison.count * factor))
        return _Loss(differing / comparison.count, interval, 1.0 - share)

    loss = at(1.0)
    images = None
    if loss.verdict == "undecided":
        images = images_to_decide(lambda factor: at(factor).verdict != "undecided", comparison.count)
    return Criterion(
        measure="agreement",
        unit="share",
        value=comparison.agreeing / comparison.count,
        low=1.0 - loss.interval.high,
        high=1.0 - loss.interval.low,
        limit=share,
        verdict=loss.verdict,
        images=images,
    )


def overall(criteria: Sequence[Criterion]) -> Decision:
    """`fail` if any criterion fails, else `undecided` if any is, else `pass`."""
    verdicts = {criterion.verdict for criterion in criteria}
    if "fail" in verdicts:
        return "fail"
    return "undecided" if "undecided" in verdicts else "pass"


def combined_images(criteria: Sequence[Criterion]) -> int | None:
    """How many images would decide all together at the rates seen: as soon as one that leans to failing fails, else
    when the last one passes. None where nothing is open, or one would never pass and none would fail."""
    open_ones = [criterion for criterion in criteria if criterion.verdict == "undecided"]
    failing = [c.images for c in open_ones if c.leans == "fail" and c.images is not None]
    if failing:
        return min(failing)
    numbers = [criterion.images for criterion in open_ones]
    known = [number for number in numbers if number is not None]
    return max(known) if known and len(known) == len(numbers) else None
