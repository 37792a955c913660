"""The line through samples of memory finds the slope that is there, and says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.benchmark.growth import growth
from edgefer.errors import InputError

RUNS = np.arange(0, 200_000, 1000)


def test_a_line_is_found_to_the_byte() -> None:
    found = growth(RUNS, 1_000_000 + 3 * RUNS)
    assert found.per_run == pytest.approx(3)
    assert found.low == pytest.approx(3)
    assert found.high == pytest.approx(3)
    assert (found.samples, found.runs) == (200, 199_000)
    assert (found.first, found.last) == (pytest.approx(1_000_000), pytest.approx(1_597_000))
    assert "293 KiB per 100,000 runs" in found.text()


def test_steps_of_an_allocator_widen_the_interval() -> None:
    noise = np.random.default_rng(0).integers(-2, 3, 20).repeat(10) * 131_072
    found = growth(RUNS, 50_000_000 + noise)
    assert found.low < 0 < found.high
    assert found.low < found.per_run < found.high


def test_a_leak_under_noise_is_found() -> None:
    noise = np.random.default_rng(1).integers(-1, 2, 200) * 131_072
    found = growth(RUNS, 50_000_000 + 20 * RUNS + noise)
    assert 15 < found.low < 20 < found.high < 25


def test_memory_that_stays_has_no_slope() -> None:
    found = growth(RUNS, np.full(200, 4096))
    assert (found.per_run, found.low, found.high, found.spread) == pytest.approx((0, 0, 0, 0), abs=1e-9)


@pytest.mark.parametrize(
    ("runs", "sizes"), [([], []), ([1, 2], [3, 4]), (list(range(8)), list(range(9))), ([5] * 8, list(range(8)))]
)
def test_what_makes_no_line(runs: list[int], sizes: list[int]) -> None:
    with pytest.raises(InputError, match="make no line"):
        growth(runs, sizes)
