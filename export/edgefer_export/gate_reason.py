"""The gate's verdicts in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgefer.bundle.manifest import StepFigure, Verdict
from edgefer_export.blame import EXACT_TOLERANCE
from edgefer_export.criteria import MIN_CLASS_IMAGES, POINTS, Criterion
from edgefer_export.intervals import paired_difference, wilson
from edgefer_export.metrics import Comparison


def not_finite(step: str, broken: int, count: int) -> str:
    """A step whose logits are not numbers."""
    return f"The logits of `{step}` are not finite (NaN or infinity) on {broken:,} of {count:,} images."


def wrong_rewrite(step: str, own: Comparison, names: Sequence[str]) -> str:
    """An exact step that is not."""
    before = names[list(names).index(step) - 1]
    return (
        f"`{step}` does not compute what `{before}` computes: its logits differ by up to {own.max_error:.2g} of "
        f"max(1, max|ref|), and {EXACT_TOLERANCE:g} is allowed. {_changed(own)}"
    )


def numeric(verdict: Verdict, step: str, against: Comparison, criterion: Criterion) -> str:
    """A verdict without labels."""
    closing = (
        "The agreement is beyond the budget."
        if verdict == "fail"
        else "Whether that costs accuracy cannot be told without labels."
    )
    return (
        f"The data has no labels, so `{step}` is judged by its numbers only: {_line(criterion)}; its logits differ by "
        f"up to {against.max_error:.2g} of max(1, max|ref|). {closing}"
    )


def majority(step: str, correct: int, count: int, name: str, most: int) -> str:
    """A network that has learnt nothing that its data could show."""
    interval = wilson(correct, count)
    return (
        f"`{step}` recognises {correct:,} of {count:,} images ({POINTS * correct / count:.2f} %, 95 % interval "
        f"{POINTS * interval.low:.2f} to {POINTS * interval.high:.2f}), which is not shown to be better than always "
        f"answering {name} ({most:,} of {count:,}, {POINTS * most / count:.2f} %). What such a network loses says "
        "nothing; check weights, labels and the order of the classes."
    )


def decided(
    decision: Verdict,
    step: str,
    figures: Sequence[StepFigure],
    criteria: Sequence[Criterion],
    *,
    against: Comparison,
    own: Mapping[str, Comparison],
    blamed: str | None,
    images: int | None,
) -> str:
    """A verdict from the criteria of the budget."""
    reference, final = figures[0], figures[-1]
    sentences = [
        f"`{step}` recognises {final.correct:,} of {final.count:,} images where `{reference.step}` recognises "
        f"{reference.correct:,}."
    ]
    if against.same:
        sentences.append(
            f"It gives the same answers, and its logits differ by rounding only (up to {against.max_error:.2g} of "
            "max(1, max|ref|)), so nothing is lost, however few the images."
        )
    for verdict, opening in (("fail", "Beyond the budget"), ("undecided", "Undecided"), ("pass", "Within the budget")):
        lines = [_line(criterion) for criterion in criteria if criterion.verdict == verdict]
        if lines:
            sentences.append(f"{opening}: {'; '.join(lines)}.")
    if all(criterion.measure != "class recall" for criterion in criteria):
        sentences.append(f"No class has {MIN_CLASS_IMAGES} images, so none is judged on its own.")
    if decision == "undecided":
        sentences.append(
            f"About {images:,} images would decide at the rates seen."
            if images is not None
            else "The rates seen are at the budget itself, where no number of images would decide."
        )
    if blamed is not None:
        sentences.append(_blame(blamed, own[blamed], [figure.step for figure in figures]))
    return " ".join(sentences)


def _line(criterion: Criterion) -> str:
    of = f" of {criterion.subject}" if criterion.subject else ""
    if criterion.unit == "share":
        return (
            f"{criterion.measure} {criterion.value:.4f} (95 % interval {criterion.low:.4f} to {criterion.high:.4f}, "
            f"at least {criterion.limit:g})"
        )
    return (
        f"{criterion.measure}{of} loses {criterion.value:.2f} points (95 % interval {criterion.low:.2f} to "
        f"{criterion.high:.2f}, at most {criterion.limit:g})"
    )


def _blame(step: str, own: Comparison, names: Sequence[str]) -> str:
    before = names[list(names).index(step) - 1]
    pairs = own.total
    interval = paired_difference(pairs)
    proven = "" if interval.low > 0 else "; by itself that may be chance"
    return (
        f"Most of it happens at `{step}`: against `{before}` it loses {pairs.lost:,.0f} of {pairs.count:,.0f} images "
        f"and gains {pairs.gained:,.0f} ({POINTS * pairs.loss:.2f} points, 95 % interval {POINTS * interval.low:.2f} "
        f"to {POINTS * interval.high:.2f}{proven}). {_changed(own)}"
    )


def _changed(own: Comparison) -> str:
    return f"It changes the answer on {own.count - own.agreeing:,} of {own.count:,} images."
