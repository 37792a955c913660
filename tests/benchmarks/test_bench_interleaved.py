"""Pairs of timings and what is noted of them, without asserting on anybody's speed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.interleaved import Pair, in_turn, interleaved
from benchmarks.note import note
from benchmarks.units import duration


def test_a_pair_has_the_ratio_of_medians_and_an_interval_around_it() -> None:
    pair = Pair.of([2.0, 2.1, 1.9, 2.0] * 10, [1.0, 1.05, 0.95, 1.0] * 10)
    assert pair.ratio == pytest.approx(2.0, rel=0.01)
    assert pair.compared.interval.low <= pair.ratio <= pair.compared.interval.high
    assert pair.added == pytest.approx(1.0)
    assert pair.rounds == 40
    assert pair.compared.verdict == "slower"


def test_of_few_rounds_the_interval_holds_all_ratios() -> None:
    interval = Pair.of([2.0, 2.4], [1.0, 1.0]).compared.interval
    assert interval.low <= 2.0
    assert interval.high >= 2.4


def test_both_run_in_every_round_and_change_places() -> None:
    order: list[str] = []
    pair = interleaved(lambda: order.append("ours"), lambda: order.append("bare"), 8, warm_up=1)
    counted = order[2:]
    assert pair.rounds >= 8
    assert counted.count("ours") == counted.count("bare") == pair.rounds
    firsts = counted[::2]
    assert firsts.count("ours") == firsts.count("bare")


class Fixture:
    """pytest-benchmark's fixture, as far as it is used."""

    name = "test_it"

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}

    def pedantic(self, target: Any, *, setup: Any, rounds: int, iterations: int) -> None:
        for _ in range(rounds):
            setup()
            target()


def test_slow_ones_run_in_the_benchmarks_own_rounds() -> None:
    order: list[str] = []
    pair = in_turn(Fixture(), lambda: order.append("ours"), lambda: order.append("bare"), 3)
    assert order == ["bare", "ours"] * 3
    assert pair.rounds == 3


def test_what_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    fixture, pair = Fixture(), Pair.of([0.2] * 20, [0.1] * 20)
    note(fixture, pair, "the bare call", goal="at most 3 x", met=True, bytes=7)
    wanted = {"against", "ratio", "ratio_low", "ratio_high", "goal", "met", "seconds", "confidence", "rounds", "bytes"}
    assert wanted <= fixture.extra_info.keys()
    assert fixture.extra_info["seconds"] == 0.2
    assert "200 ms, the bare call 100 ms, 2.000 x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"), [(61.2, "61.2 s"), (0.0123, "12.3 ms"), (4.5e-5, "45 us"), (2e-8, "20 ns")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_fixture_is_like_the_real_one(benchmark: Any) -> None:
    assert isinstance(benchmark.name, str)
    assert isinstance(benchmark.extra_info, dict)
    benchmark.pedantic(lambda: None, setup=lambda: None, rounds=1, iterations=1)
