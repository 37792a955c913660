"""The verdict on a build: each step's logits against those of the FP32 network, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgefer.bundle.manifest import BudgetSpec, GateSpec, StepFigure, Verdict
from edgefer.errors import DataError, InputError
from edgefer_export import gate_reason as say
from edgefer_export.blame import costliest_step, wrong_rewrite
from edgefer_export.budget import parse_budget
from edgefer_export.criteria import Criterion, images_that_decide, judge_criteria, overall
from edgefer_export.intervals import wilson
from edgefer_export.metrics import Comparison, Labels, Logits, compare, correct_mask, finite_rows, step_figure

__all__ = ["GateResult", "judge", "parse_budget"]


@dataclass(frozen=True)
class GateResult:
    """A verdict and all that it rests on.

    Attributes:
        verdict: `pass`, `fail`, `undecided`, or `numeric` where there are no labels.
        reason: the verdict in sentences, with figures.
        steps: figures of the reference and then of each step, in order.
        criteria: the lines of the budget for the last step; empty where it did not come to that.
        own: each step compared with the one before it.
        blamed_step: the step that lost most of what was lost; None with `pass` and where nothing was lost.
        images_to_decide: with `undecided`, how many images would decide at the rates seen; None where no number would.
    """

    verdict: Verdict
    reason: str
    budget: BudgetSpec
    steps: tuple[StepFigure, ...]
    criteria: tuple[Criterion, ...]
    own: Mapping[str, Comparison]
    blamed_step: str | None
    images_to_decide: int | None

    def spec(self, *, data_digest: str, data_source: str, over_budget_allowed: bool = False) -> GateSpec:
        """The manifest's part. `data_digest` is over the decoded pixels of the evaluation data."""
        return GateSpec(
            verdict=self.verdict,
            reason=self.reason,
            budget=self.budget,
            steps=self.steps,
            data_digest=data_digest,
            data_count=self.steps[-1].count,
            data_source=data_source,
            blamed_step=self.blamed_step,
            images_to_decide=self.images_to_decide,
            over_budget_allowed=over_budget_allowed,
        )


def judge(
    reference: Logits,
    steps: Mapping[str, Logits],
    labels: Labels | None,
    class_names: Sequence[str],
    budget: BudgetSpec | None = None,
    *,
    reference_name: str = "reference",
) -> GateResult:
    """Judge the last step against the reference.

    The rules, in this order; the first that applies decides:

    1. Logits that are not finite: `fail`, whichever step has them.
    2. A step that only rewrites the graph (`EXACT_STEPS`) differs from the step before by more than `EXACT_TOLERANCE`:
       `fail`, whatever the accuracy says.
    3. No labels: `fail` if the agreement is beyond the budget with its whole interval, else `numeric`.
    4. The reference is no better than always answering the most frequent class (the lower end of the Wilson interval of
       its accuracy does not exceed that share), or the last step is not: `fail`. Such a network loses nothing by any
       damage, so its losses prove nothing.
    5. The criteria of the budget, see `judge_criteria`: `fail` if one fails, else `undecided` if one is, else `pass`.

    Args:
        reference: logits (n, C) of the FP32 network.
        steps: logits (n, C) by name of the step, in the order of the build; the last is what gets deployed.
        labels: (n,) indices into `class_names`, or None.
        class_names: C names.
        budget: what may be lost; None means the default budget.
        reference_name: what the reference is called in the figures.

    Raises:
        InputError: shapes do not fit together, or a label is no class.
        DataError: there is no image.
    """
    budget = budget or BudgetSpec()
    _check(reference, steps, labels, class_names)
    if reference_name in steps:
        raise InputError(f"A step is called `{reference_name}`, which is the name of the reference.")
    every = {reference_name: reference, **steps}
    figures = tuple(step_figure(name, logits, reference, labels, class_names) for name, logits in every.items())
    names = list(every)
    own = {after: compare(every[before], every[after], labels, len(class_names)) for before, after in pairwise(names)}

    def result(
        verdict: Verdict,
        reason: str,
        blamed: str | None,
        criteria: tuple[Criterion, ...] = (),
        images: int | None = None,
    ) -> GateResult:
        return GateResult(verdict, reason, budget, figures, criteria, own, blamed, images)

    for name, logits in every.items():
        broken = int((~finite_rows(logits)).sum())
        if broken:
            return result("fail", say.not_finite(name, broken, len(logits)), name)
    final = names[-1]
    against = compare(reference, every[final], labels, len(class_names))
    criteria = judge_criteria(against, class_names, budget)
    decision = overall([criterion.verdict for criterion in criteria])
    wrong = wrong_rewrite(own)
    if wrong is not None:
        return result("fail", say.wrong_rewrite(wrong, own[wrong], names), wrong, criteria)
    if labels is None:
        verdict: Verdict = "fail" if decision == "fail" else "numeric"
        blamed = costliest_step(own, criteria[0], class_names) if verdict == "fail" else None
        return result(verdict, say.numeric(verdict, final, against, criteria[0]), blamed, criteria)
    useless = _no_better_than_majority(every, final, labels, class_names)
    if useless is not None:
        name, reason = useless
        blamed = None if name == reference_name else costliest_step(own, criteria[0], class_names)
        return result("fail", reason, blamed, criteria)
    deciding = next((criterion for criterion in criteria if criterion.verdict == decision), criteria[0])
    blamed = None if decision == "pass" else costliest_step(own, deciding, class_names)
    images = images_that_decide(against, budget) if decision == "undecided" else None
    reason = say.decided(decision, final, figures, criteria, against=against, own=own, blamed=blamed, images=images)
    return result(decision, reason, blamed, criteria, images)


def _no_better_than_majority(
    every: Mapping[str, Logits], final: str, labels: Labels, class_names: Sequence[str]
) -> tuple[str, str] | None:
    counts = np.bincount(labels, minlength=len(class_names))
    majority, most = class_names[int(counts.argmax())], int(counts.max())
    reference_name = next(iter(every))
    correct = int(correct_mask(every[reference_name], labels).sum())
    if wilson(correct, len(labels)).low <= most / len(labels):
        return reference_name, say.majority(reference_name, correct, len(labels), majority, most)
    correct = int(correct_mask(every[final], labels).sum())
    if correct <= most:
        return final, say.majority(final, correct, len(labels), majority, most)
    return None


def _check(reference: Logits, steps: Mapping[str, Logits], labels: Labels | None, class_names: Sequence[str]) -> None:
    if not steps:
        raise InputError("There is no step to judge.", hint="Give the logits of at least one graph.")
    shape = np.shape(reference)
    if len(shape) != 2 or shape[1] != len(class_names) or shape[1] < 2:
        raise InputError(
            f"The reference logits have shape {shape}; (images, {len(class_names)}) is expected for the classes "
            f"{', '.join(class_names)}, of which there must be at least two."
        )
    if shape[0] == 0:
        raise DataError("There is no image to judge on.", hint="Give evaluation data that holds some.")
    for name, logits in steps.items():
        if np.shape(logits) != shape:
            raise InputError(f"The logits of step `{name}` have shape {np.shape(logits)}; {shape} is expected.")
    if labels is None:
        return
    if np.shape(labels) != shape[:1]:
        raise InputError(f"The labels have shape {np.shape(labels)}; {shape[:1]} is expected.")
    if not np.issubdtype(np.asarray(labels).dtype, np.integer) or labels.min() < 0 or labels.max() >= shape[1]:
        raise InputError(
            f"The labels are whole numbers from 0 to {shape[1] - 1}; found are {sorted(set(labels))[:10]}."
        )
