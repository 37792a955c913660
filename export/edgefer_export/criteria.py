"""The four criteria of the budget, each decided from the paired 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgefer.bundle.manifest import BudgetSpec
from edgefer_export.intervals import (
    CONFIDENCE,
    Discordance,
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
    that agree. `subject` is the class for `class recall`; `note` says what the figures do not.
    """

    measure: Measure
    unit: Literal["points", "share"]
    value: float
    low: float
    high: float
    limit: float
    verdict: Decision
    subject: str = ""
    note: str = ""


@dataclass(frozen=True)
class _Loss:
    """A loss as a share, whatever the measure; of agreement it is the share of images that disagree."""

    measure: Measure
    value: float
    interval: Interval
    limit: float
    class_index: int | None = None

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
    losses = _losses(comparison, budget)
    classes = [loss for loss in losses if loss.class_index is not None]
    shown = [loss for loss in losses if loss.class_index is None]
    if classes:
        rank = {"fail": 2, "undecided": 1, "pass": 0}
        worst = max(classes, key=lambda loss: (rank[loss.verdict], loss.value, loss.interval.high))
        shown.insert(-1, worst)
    return tuple(_criterion(loss, names, len(classes)) for loss in shown)


def overall(verdicts: Sequence[Decision]) -> Decision:
    """`fail` if any criterion fails, else `undecided` if any is, else `pass`."""
    if "fail" in verdicts:
        return "fail"
    return "undecided" if "undecided" in verdicts else "pass"


def images_that_decide(comparison: Comparison, budget: BudgetSpec) -> int | None:
    """How many images would decide over all criteria at the rates seen; None where no number would, because a rate is
    at the budget itself. A class that is too small now counts from where it would have `MIN_CLASS_IMAGES` images, and
    is taken to lose at the rate of all images together: its own rate rests on too few."""

    def decided(factor: float) -> bool:
        return overall([loss.verdict for loss in _losses(comparison, budget, factor)]) != "undecided"

    return images_to_decide(decided, comparison.count)


def _losses(comparison: Comparison, budget: BudgetSpec, factor: float = 1.0) -> list[_Loss]:
    """Every loss, agreement last, in a set `factor` times as large with the same rates."""
    total = comparison.count * factor
    differing = 1.0 - comparison.agreeing / comparison.count
    agreement = Interval(0.0, 0.0) if comparison.same else wilson(differing * total, total)
    losses = []
    if comparison.classes:
        accuracy, mean_recall = Interval(0.0, 0.0), Interval(0.0, 0.0)
        if not comparison.same:
            accuracy = paired_difference(comparison.total.scaled(factor))
            mean_recall = mean_recall_difference([pairs.scaled(factor) for pairs in comparison.classes])
        losses.append(_Loss("accuracy", comparison.total.loss, accuracy, budget.accuracy / POINTS))
        losses.append(_Loss("mean recall", comparison.mean_recall_loss, mean_recall, budget.recall / POINTS))
        judged = {
            index: (pairs if pairs.count >= MIN_CLASS_IMAGES else _at_common_rate(comparison, pairs)).scaled(factor)
            for index, pairs in enumerate(comparison.classes)
            if pairs.count * factor >= MIN_CLASS_IMAGES
        }
        for index, pairs in judged.items():
            interval = Interval(0.0, 0.0) if comparison.same else _one_of_several(pairs, len(judged))
            losses.append(_Loss("class recall", pairs.loss, interval, budget.class_recall / POINTS, index))
    losses.append(_Loss("agreement", differing, agreement, 1.0 - budget.agreement))
    return losses


def _at_common_rate(comparison: Comparison, pairs: Discordance) -> Discordance:
    total = comparison.total
    share = pairs.count / total.count
    return Discordance(total.lost * share, total.gained * share, pairs.count)


def _one_of_several(pairs: Discordance, together: int) -> Interval:
    # Any one of several classes may fail the build, so each may do so wrongly only so much more rarely (Bonferroni).
    # Passing takes all of them at once and needs no such care.
    low = paired_difference(pairs, 1 - (1 - CONFIDENCE) / together).low
    return Interval(low, paired_difference(pairs).high)


def _criterion(loss: _Loss, names: Sequence[str], classes: int) -> Criterion:
    if loss.measure == "agreement":
        return Criterion(
            measure="agreement",
            unit="share",
            value=1.0 - loss.value,
            low=1.0 - loss.interval.high,
            high=1.0 - loss.interval.low,
            limit=1.0 - loss.limit,
            verdict=loss.verdict,
        )
    alone = loss.class_index is None
    return Criterion(
        measure=loss.measure,
        unit="points",
        value=POINTS * loss.value,
        low=POINTS * loss.interval.low,
        high=POINTS * loss.interval.high,
        limit=POINTS * loss.limit,
        verdict=loss.verdict,
        subject="" if loss.class_index is None else names[loss.class_index],
        note=""
        if alone
        else f"worst of {classes} with {MIN_CLASS_IMAGES} images or more; lower end corrected for that",
    )
