"""Figures of one network, and of two side by side, from logits (n, C) and labels (n,)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import StepFigure
from edgefer_export.checks import relative_error
from edgefer_export.intervals import Discordance, Interval, wilson

Logits = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]

UNBOUNDED = sys.float_info.max
"""The error of logits that are not finite: the largest that JSON can carry, which has no infinity."""


@dataclass(frozen=True)
class ClassFigure:
    """Recall of one class; None where the data has no image of it."""

    name: str
    count: int
    correct: int

    @property
    def recall(self) -> float | None:
        """Correct of count, as a share."""
        return self.correct / self.count if self.count else None

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval of the recall."""
        return wilson(self.correct, self.count) if self.count else None


def top1(logits: Logits) -> npt.NDArray[np.int64]:
    """The class (n,) with the greatest logit, the first of equals."""
    return np.asarray(np.argmax(logits, axis=1), dtype=np.int64)


def finite_rows(logits: Logits) -> npt.NDArray[np.bool_]:
    """Whether all logits (n,) of an image are numbers."""
    return np.asarray(np.isfinite(logits).all(axis=1))


def confusion_matrix(logits: Logits, labels: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts (C, C): row is the true class, column the one with the greatest logit. Images whose logits are not finite
    are in no column, so that a row may sum to less than its class has images."""
    kept = finite_rows(logits)
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels)[kept], top1(logits[kept])), 1)
    return matrix


def correct_mask(logits: Logits, labels: Labels) -> npt.NDArray[np.bool_]:
    """Whether each image (n,) is recognised; one whose logits are not finite is not."""
    return np.asarray((top1(logits) == labels) & finite_rows(logits))


def class_figures(logits: Logits, labels: Labels, names: Sequence[str]) -> tuple[ClassFigure, ...]:
    """Recall by class, in the order of the names."""
    right = correct_mask(logits, labels)
    return tuple(
        ClassFigure(name, int((labels == index).sum()), int(right[labels == index].sum()))
        for index, name in enumerate(names)
    )


def mean_recall(figures: Sequence[ClassFigure]) -> float | None:
    """The mean of the recalls of the classes that have images; None where none has."""
    recalls = [figure.recall for figure in figures if figure.recall is not None]
    return float(np.mean(recalls)) if recalls else None


def worst_class(figures: Sequence[ClassFigure]) -> ClassFigure | None:
    """The class with the lowest recall, the first of equals; None where no class has images."""
    present = [figure for figure in figures if figure.recall is not None]
    return min(present, key=lambda figure: figure.recall or 0.0) if present else None


def agreement(logits: Logits, reference: Logits) -> float:
    """The share of images with the same top-1. An image whose logits are not finite agrees with nothing."""
    return float(agreement_mask(logits, reference).mean())


def agreement_mask(logits: Logits, reference: Logits) -> npt.NDArray[np.bool_]:
    """Whether each image (n,) has the same top-1 under both."""
    return np.asarray((top1(logits) == top1(reference)) & finite_rows(logits) & finite_rows(reference))


def max_error(logits: Logits, reference: Logits) -> float:
    """max|a-b| / max(1, max|ref|) over all logits; `UNBOUNDED` where some are not finite."""
    if not (np.isfinite(logits).all() and np.isfinite(reference).all()):
        return UNBOUNDED
    return relative_error(np.asarray(logits), np.asarray(reference))


def step_figure(
    step: str, logits: Logits, reference: Logits, labels: Labels | None, names: Sequence[str]
) -> StepFigure:
    """The manifest's figures of one step. `correct` and the recalls are None without labels."""
    figures = class_figures(logits, labels, names) if labels is not None else ()
    worst = worst_class(figures)
    return StepFigure(
        step=step,
        count=len(logits),
        correct=int(correct_mask(logits, labels).sum()) if labels is not None else None,
        mean_recall=mean_recall(figures),
        worst_class=worst.name if worst else None,
        worst_recall=worst.recall if worst else None,
        agreement=agreement(logits, reference),
        max_error=max_error(logits, reference),
    )


ROUNDING = 1e-4
"""Share of the typical margin below which an error of the logits is rounding, see `Comparison.same`."""


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same n images, image by image.

    `classes` holds one `Discordance` per class, empty without labels; `agreeing` of `count` images have the same
    top-1. `same` says that the two are one function up to rounding: the same top-1 on every image, and no logit that
    differs by more than `ROUNDING` of the median margin between the two best classes. About one image in ten thousand
    lies that close to a tie, so what such a difference can cost is known from the size of the logits' errors and does
    not have to be estimated from how many images happened to change.
    """

    count: int
    agreeing: int
    max_error: float
    same: bool
    classes: tuple[Discordance, ...]

    @property
    def total(self) -> Discordance:
        """Discordant images of all classes together."""
        return Discordance(
            sum(pairs.lost for pairs in self.classes), sum(pairs.gained for pairs in self.classes), self.count
        )

    @property
    def mean_recall_loss(self) -> float:
        """The mean over the classes that have images of each one's loss, as a share."""
        return float(np.mean([pairs.loss for pairs in self.classes if pairs.count]))


def compare(before: Logits, after: Logits, labels: Labels | None, classes: int) -> Comparison:
    """Compare two arrays of logits (n, C) image by image; `before` is what `after` is measured against."""
    pairs: tuple[Discordance, ...] = ()
    if labels is not None:
        was, now = correct_mask(before, labels), correct_mask(after, labels)
        pairs = tuple(
            Discordance(
                int((was & ~now & (labels == index)).sum()),
                int((~was & now & (labels == index)).sum()),
                int((labels == index).sum()),
            )
            for index in range(classes)
        )
    agreeing = int(agreement_mask(after, before).sum())
    return Comparison(
        count=len(before),
        agreeing=agreeing,
        max_error=max_error(after, before),
        same=agreeing == len(before) and _within_rounding(before, after),
        classes=pairs,
    )


def _within_rounding(before: Logits, after: Logits) -> bool:
    best = np.sort(np.asarray(before, np.float64), axis=1)
    margin = float(np.median(best[:, -1] - best[:, -2]))
    return float(np.abs(np.asarray(after, np.float64) - before).max()) <= ROUNDING * margin
