"""Warming up: what counts as standing still, and what happens where nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgefer.benchmark.steady import Patience, change_point, warm_up
from edgefer.benchmark.timeline import Timeline
from edgefer.errors import InputError, UsageError


class Machine:
    """Runs that take what a series says, on a clock of their own."""

    def __init__(self, duration: Callable[[int], float]) -> None:
        self.now = 100.0
        self.duration = duration
        self.runs = 0
        self.timeline = Timeline.simulated(lambda: self.now)

    def run(self) -> None:
        self.now += self.duration(self.runs)
        self.runs += 1


def noisy(seed: int, share: float = 0.03) -> Iterator[float]:
    generator = np.random.default_rng(seed)
    while True:
        yield float(np.exp(share * generator.standard_normal()) + (generator.random() < 0.03) * generator.pareto(1.5))


@pytest.mark.parametrize("seed", range(20))
def test_stationary_noise_with_outliers_is_steady_soon(seed: int) -> None:
    noise = noisy(seed)
    machine = Machine(lambda run: 0.01 * next(noise))
    found = warm_up(machine.run, timeline=machine.timeline)
    assert found.steady
    assert found.limit == ""
    assert 40 <= found.runs <= 63
    assert found.runs == machine.runs
    assert found.seconds == pytest.approx(machine.now - 100)


def test_a_step_is_left_behind() -> None:
    noise = noisy(1)
    machine = Machine(lambda run: (0.02 if run < 30 else 0.01) * next(noise))
    found = warm_up(machine.run, timeline=machine.timeline)
    assert found.steady
    assert 50 <= found.runs <= 79  # after 40, the later half has the step in its middle


def test_a_decay_is_waited_for() -> None:
    noise = noisy(2, 0.01)
    machine = Machine(lambda run: 0.01 * (1 + np.exp(-run / 100)) * next(noise))
    found = warm_up(machine.run, timeline=machine.timeline)
    assert found.steady
    assert np.exp(-found.runs / 200) < 0.2  # the median of the later half is near its end


def test_what_never_stands_still_ends_at_the_limit_and_says_what_moved() -> None:
    machine = Machine(lambda run: 0.01 * 1.01**run)
    found = warm_up(machine.run, patience=Patience(most_runs=200), timeline=machine.timeline)
    assert (found.steady, found.runs) == (False, 200)
    assert found.limit.startswith("200 runs: the median still moved by ")


def test_the_limit_in_seconds_ends_it_too() -> None:
    machine = Machine(lambda run: 0.1 * 1.02**run)
    found = warm_up(machine.run, patience=Patience(most_seconds=50), timeline=machine.timeline)
    assert not found.steady
    assert found.limit.startswith("50 s: the median still moved")
    assert 50 <= found.seconds < 52


def test_runs_too_slow_for_the_test_are_not_called_steady() -> None:
    machine = Machine(lambda run: 3.0)
    found = warm_up(machine.run, patience=Patience(most_seconds=10), timeline=machine.timeline)
    assert (found.steady, found.runs) == (False, 4)
    assert "fewer than 40 runs" in found.limit


def test_fast_runs_go_on_until_the_clocks_had_time_to_rise() -> None:
    machine = Machine(lambda run: 1e-4)
    found = warm_up(machine.run, patience=Patience(seconds=0.3), timeline=machine.timeline)
    assert found.steady
    assert found.runs >= 3000


def test_a_change_that_is_real_and_tiny_counts_as_standing_still() -> None:
    machine = Machine(lambda run: 0.01 * (1 + 1e-4 * run / 40))
    assert warm_up(machine.run, timeline=machine.timeline).runs == 40


def test_what_the_action_raises_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        warm_up(lambda: 1 / 0)


def test_the_change_point_is_found_where_it_is() -> None:
    generator = np.random.default_rng(3)
    series = np.concatenate([2 + 0.1 * generator.random(30), 1 + 0.1 * generator.random(50)])
    found = change_point(series)
    assert found.index == 30
    assert found.probability < 1e-6
    assert found.before == pytest.approx(2.05, abs=0.03)
    assert found.shift == pytest.approx(found.before / found.after - 1)
    assert 0.85 < found.shift < 1.1


def test_pettitts_statistic_agrees_with_its_definition() -> None:
    series = np.random.default_rng(4).integers(0, 6, 25).astype(float)  # with ties
    signs = np.sign(series[:, None] - series[None, :])
    greatest = max(abs(signs[:t, t:].sum()) for t in range(1, 25))
    assert change_point(series).probability == pytest.approx(min(1, 2 * np.exp(-6 * greatest**2 / (25**3 + 25**2))))


def test_chance_alone_rarely_makes_a_change_point() -> None:
    generator = np.random.default_rng(5)
    assert sum(change_point(generator.random(60)).probability < 0.01 for _ in range(500)) <= 10


def test_constant_series_do_not_change() -> None:
    found = change_point([1.0] * 30)
    assert (found.probability, found.shift) == (1.0, 0.0)
    assert change_point([1.0, 0.0]).shift == np.inf


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="two durations"):
        change_point([1.0])
    with pytest.raises(UsageError, match="cannot be"):
        Patience(runs=50, most_runs=40)
    with pytest.raises(UsageError, match="cannot be"):
        Patience(seconds=5, most_seconds=1)
