"""Which step of the build lost what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgefer_export.criteria import Criterion
from edgefer_export.metrics import Comparison

EXACT_STEPS = frozenset({"exported", "converted", "simplified", "fused"})
"""Steps that rewrite a graph without changing its precision: they must compute what the step before computed."""

EXACT_TOLERANCE = 1e-4
"""Largest max|a-b| / max(1, max|ref|) of an exact step."""


def wrong_rewrite(own: Mapping[str, Comparison]) -> str | None:
    """The first exact step that computes something else than the step before it; None where all are faithful."""
    return next(
        (step for step, comparison in own.items() if step in EXACT_STEPS and comparison.max_error > EXACT_TOLERANCE),
        None,
    )


def costliest_step(own: Mapping[str, Comparison], criterion: Criterion, names: Sequence[str]) -> str | None:
    """The step with the largest part in what a criterion measures, each step compared with the one before it.

    Where no step lost anything by that measure, the one that changed most answers; where none changed any, None: then
    nothing was lost and only images are missing.
    """
    losses = {step: _own_loss(comparison, criterion, names) for step, comparison in own.items()}
    if max(losses.values()) <= 0:
        losses = {step: _disagreement(comparison) for step, comparison in own.items()}
    step = max(losses, key=lambda name: losses[name])
    return step if losses[step] > 0 else None


def _own_loss(comparison: Comparison, criterion: Criterion, names: Sequence[str]) -> float:
    if criterion.measure == "accuracy":
        return comparison.total.loss
    if criterion.measure == "mean recall":
        return comparison.mean_recall_loss
    if criterion.measure == "class recall":
        return comparison.classes[list(names).index(criterion.subject)].loss
    return _disagreement(comparison)


def _disagreement(comparison: Comparison) -> float:
    return 1.0 - comparison.agreeing / comparison.count
