"""How often the criteria decide wrongly when the true loss is exactly the budget, and how surely when it is not."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.bundle.manifest import BudgetSpec
from edgefer_export.criteria import judge_criteria, overall
from edgefer_export.intervals import Discordance
from edgefer_export.metrics import Comparison, compare

NAMES = ("angry", "happy", "neutral", "sad", "surprise")


def simulated(loss: float, churn: float, repeats: int, count: int, budget: BudgetSpec) -> tuple[float, float]:
    """Shares of `pass` and `fail` where the true loss is `loss`, in each class alike, with `churn` gained as well."""
    rng = np.random.default_rng(7)
    labels = np.arange(count) % 5
    right = np.eye(5, dtype=np.float32)
    verdicts = []
    for _ in range(repeats):
        answers = labels.copy()
        draw = rng.random(count)
        wrong_before = draw < churn + 0.1
        answers[wrong_before] = (labels[wrong_before] + 1) % 5
        after = answers.copy()
        gained = draw < churn
        after[gained] = labels[gained]
        lost = draw > 1 - (loss + churn)
        after[lost] = (labels[lost] + 2) % 5
        comparison = compare(right[answers], right[after], labels, 5)
        verdicts.append(overall([criterion.verdict for criterion in judge_criteria(comparison, NAMES, budget)]))
    return verdicts.count("pass") / repeats, verdicts.count("fail") / repeats


@pytest.mark.parametrize("churn", [0.0, 0.004])
def test_false_verdicts_at_the_edge_of_the_budget_are_rare(churn: float) -> None:
    """With a true loss of exactly the budget of accuracy and mean recall, either verdict is false; the other two
    criteria are out of the way."""
    edge = BudgetSpec(accuracy=0.5, recall=0.5, class_recall=100, agreement=0)
    passed, failed = simulated(0.005, churn, 600, 2000, edge)
    assert passed <= 0.045
    assert failed <= 0.055


@pytest.mark.parametrize("where", ["one class", "every class"])
def test_false_verdicts_at_the_edge_of_a_class_are_rare(where: str) -> None:
    """One class, or all, with a true loss of exactly the budget of a class: no correction is needed for passing, and
    failing is corrected for the number of classes."""
    budget = BudgetSpec(accuracy=100, recall=100, class_recall=1.5, agreement=0)
    sizes, gain, repeats = np.full(5, 500), 0.004, 1200
    loss = np.full(5, 0.015) if where == "every class" else np.array([0.015, 0, 0, 0, 0])
    rng = np.random.default_rng(11)
    lost = rng.binomial(sizes, gain + loss, (repeats, 5))
    gained = rng.binomial(sizes - lost, gain / (1 - gain - loss))
    verdicts = []
    for losses, gains in zip(lost.tolist(), gained.tolist(), strict=True):
        classes = tuple(Discordance(*each) for each in zip(losses, gains, sizes.tolist(), strict=True))
        comparison = Comparison(count=2500, agreeing=2500, max_error=0.1, same=False, classes=classes)
        verdicts.append(overall([criterion.verdict for criterion in judge_criteria(comparison, NAMES, budget)]))
    assert verdicts.count("pass") / repeats <= 0.035
    assert verdicts.count("fail") / repeats <= 0.06


def test_a_clear_case_is_decided() -> None:
    budget = BudgetSpec()
    assert simulated(0.0, 0.0005, 60, 6000, budget)[0] >= 0.95
    assert simulated(0.03, 0.001, 60, 3000, budget)[1] >= 0.95
