"""Schedules of the learning rate, against torch's own where it has one."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.train.rates import Moment, Rates, make_rates  # noqa: E402
from edgefer_export.train.schedule import rate  # noqa: E402

ACCURACIES = (0.21, 0.4, 0.8, 0.75, 1.0, 0.0, 0.9)
START = Moment(0.0, 0)


def torch_rates(scheduler: object, steps: list[tuple[object, ...]]) -> list[float]:
    """The rate in force before each of `steps`, arguments of torch's scheduler, and after the last."""
    seen = []
    for arguments in steps:
        seen.append(scheduler.optimizer.param_groups[0]["lr"])  # type: ignore[attr-defined]
        scheduler.optimizer.step()  # type: ignore[attr-defined]
        scheduler.step(*arguments)  # type: ignore[attr-defined]
    return seen


def ours(rates: Rates, accuracies: tuple[float, ...], better: tuple[bool, ...] | None = None) -> list[float]:
    seen = []
    for index, accuracy in enumerate(accuracies):
        rates.begin()
        seen.append(rates.share(START))
        rates.end(accuracy, better[index] if better else True)
    return seen


def optimiser() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def test_one_cycle_is_the_default_schedule() -> None:
    rates = make_rates("one-cycle")
    for progress in np.linspace(0, 1, 11):
        assert rates.share(Moment(float(progress), 3)) == rate(float(progress))


def test_cosine_is_torchs_stepped_once_an_epoch() -> None:
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser(), T_max=3)
    expected = torch_rates(scheduler, [()] * 13)
    # torch multiplies the rate of before, and so ends near 0 and not at it.
    assert ours(make_rates("cosine:3"), (0.5,) * 13) == pytest.approx(expected, abs=1e-9)
    assert max(expected[3], expected[9]) < 1e-9
    assert expected[6] == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")
def test_cosine_as_run_is_torchs_stepped_before_and_after_an_epoch() -> None:
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser(), T_max=3)
    expected = []
    for accuracy in ACCURACIES:
        scheduler.step()
        expected.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.step(accuracy)
    assert ours(make_rates("cosine-as-run:3"), ACCURACIES) == pytest.approx(expected, abs=1e-9)
    assert expected[0] == pytest.approx(0.75)
    assert all(0.25 - 1e-9 <= value <= 0.75 + 1e-9 for value in expected)


def test_step_is_torchs() -> None:
    expected = torch_rates(torch.optim.lr_scheduler.StepLR(optimiser(), 2, 0.1), [()] * 7)
    assert ours(make_rates("step:2:0.1"), (0.5,) * 7) == pytest.approx(expected)


def test_plateau_is_torchs() -> None:
    accuracies = (0.1, 0.2, 0.2, 0.1, 0.15, 0.19, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser(), "max", 0.1, 2, threshold=0.0)
    expected = torch_rates(scheduler, [(each,) for each in accuracies])
    better = tuple(each > max(accuracies[:index], default=-1.0) for index, each in enumerate(accuracies))
    assert ours(make_rates("plateau:2:0.1"), accuracies, better) == pytest.approx(expected)
    assert min(expected) < 0.5


def test_constant_and_inverse() -> None:
    assert make_rates("constant").share(Moment(0.7, 90)) == 1.0
    inverse = make_rates("inverse:0.0005")
    assert [inverse.share(Moment(0.0, step)) for step in (0, 2000, 6000)] == pytest.approx([1.0, 0.5, 0.25])


@pytest.mark.parametrize("text", ["cosine:3", "cosine-as-run:3", "step:2:0.5", "plateau:0:0.5"])
def test_a_schedule_goes_on_from_its_state(text: str) -> None:
    whole, first = make_rates(text), make_rates(text)
    better = (True, False, True, False, False, True, False)
    expected = ours(whole, ACCURACIES, better)
    begun = ours(first, ACCURACIES[:4], better[:4])
    later = make_rates(text)
    later.state.update(first.state)
    assert begun + ours(later, ACCURACIES[4:], better[4:]) == expected


def test_cosine_as_run_needs_an_accuracy() -> None:
    rates = make_rates("cosine-as-run:3")
    with pytest.raises(UsageError, match="does not have"):
        rates.end(None, True)


@pytest.mark.parametrize(
    "text",
    [
        *("cosines:3", "", "cosine", "cosine:0", "cosine:nan", "cosine:three", "step:10", "step:0:0.1", "step:1.5:0.1"),
        *("step:10:1", "plateau:-1:0.1", "plateau:2:0", "inverse:-1", "constant:1", "one-cycle:2"),
    ],
)
def test_texts_that_are_no_schedule(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_rates(text)
    assert caught.value.hint
