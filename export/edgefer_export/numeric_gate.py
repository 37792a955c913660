"""The verdict on a graph without logits: its raw outputs against those of the network itself, example by example.

There is no class to be right or wrong about, so the verdict is `numeric` at best: it states how far the outputs are
off, and leaves what that costs to whoever knows the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np

from edgefer.bundle.manifest import BudgetSpec, StepFigure, Verdict
from edgefer_export.blame import EXACT_STEPS, EXACT_TOLERANCE
from edgefer_export.checks import relative_error
from edgefer_export.gate import GateResult
from edgefer_export.metrics import UNBOUNDED
from edgefer_export.networks.network import Outputs

Example = TypeVar("Example")


@dataclass
class RawErrors:
    """What was seen of one form of the network, over all examples.

    `against` is the largest max|a-b| / max(1, max|ref|) by output, compared with the reference; `own` that of any
    output compared with the form before it; `broken` counts examples with NaN or infinity.
    """

    count: int = 0
    against: dict[str, float] = field(default_factory=dict)
    own: float = 0.0
    broken: int = 0

    @property
    def largest(self) -> float:
        """The largest error of any output."""
        return max(self.against.values(), default=0.0)


def compare_raw(forms: Mapping[str, Callable[[Example], Outputs]], feeds: Iterable[Example]) -> dict[str, RawErrors]:
    """Run every form on every example, which is whatever the forms take; the first is the reference."""
    found = {name: RawErrors() for name in forms}
    reference_name = next(iter(forms))
    for tensors in feeds:
        answers = {name: function(tensors) for name, function in forms.items()}
        reference = answers[reference_name]
        for name, answer in answers.items():
            seen = found[name]
            seen.count += 1
            seen.broken += not all(_finite(value) for value in answer.values())
            for output, value in answer.items():
                seen.against[output] = max(seen.against.get(output, 0.0), _error(value, reference[output]))
        for before, after in pairwise(forms):
            errors = [_error(answers[after][output], value) for output, value in answers[before].items()]
            found[after].own = max([found[after].own, *errors])
    return found


def judge_raw(found: Mapping[str, RawErrors], budget: BudgetSpec) -> GateResult:
    """`fail` where a form gives NaN or infinity, or a step that only rewrites the graph changed what it computes; else
    `numeric`."""
    names = list(found)
    figures = tuple(
        StepFigure(
            step=name,
            count=seen.count,
            correct=None,
            mean_recall=None,
            worst_class=None,
            worst_recall=None,
            agreement=None,
            max_error=seen.largest,
        )
        for name, seen in found.items()
    )

    def result(verdict: Verdict, reason: str, blamed: str | None) -> GateResult:
        return GateResult(verdict, reason, budget, figures, (), {}, blamed, None)

    for name, seen in found.items():
        if seen.broken:
            reason = f"The outputs of `{name}` are not finite on {seen.broken:,} of {seen.count:,} examples."
            return result("fail", reason, name)
    for before, after in pairwise(names):
        own = found[after].own
        if after in EXACT_STEPS and not own <= EXACT_TOLERANCE:
            reason = (
                f"`{after}` does not compute what `{before}` computes: its outputs differ by up to {_shown(own)} of "
                f"max(1, max|ref|), and {EXACT_TOLERANCE:g} is allowed."
            )
            return result("fail", reason, after)
    final = found[names[-1]]
    by_output = ", ".join(f"{output} {_shown(error)}" for output, error in final.against.items())
    reason = (
        f"The graph gives no logits, so `{names[-1]}` is judged by its numbers only: on {final.count:,} examples its "
        f"outputs differ from those of `{names[0]}` by up to {_shown(final.largest)} of max(1, max|ref|) "
        f"({by_output}). What that costs only the task itself can tell."
    )
    return result("numeric", reason, None)


def _shown(error: float) -> str:
    return "more than any bound" if error >= UNBOUNDED else f"{error:.2g}"


def _finite(value: np.ndarray) -> bool:
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())


def _error(found: np.ndarray, reference: np.ndarray) -> float:
    """The error of one output; beyond any bound where even the shapes differ, as with another number of detections."""
    if found.shape != reference.shape:
        return UNBOUNDED
    return min(relative_error(found, reference), UNBOUNDED)
