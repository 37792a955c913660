"""Series cut down to a picture keep their extremes; sparklines say where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.benchmark.show.series import bins, envelope, tail
from edgefer.benchmark.show.sparkline import BLOCKS, sparkline


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_an_envelope_keeps_every_extreme(count: int) -> None:
    rng = np.random.default_rng(count)
    at = np.cumsum(rng.exponential(1, count))
    values = rng.normal(0, 1, count)
    found = envelope(at.tolist(), values.tolist(), 50)
    assert len(found.at) <= 50
    assert found.low.min() == values.min()
    assert found.high.max() == values.max()
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()
    assert (np.diff(found.at) > 0).all()


def test_an_envelope_of_gaps_has_no_empty_slices() -> None:
    found = envelope([0.0, 1.0, 100.0], [1.0, 2.0, 3.0], 10)
    assert found.middle.tolist() == [1.5, 3.0]


def test_an_envelope_of_nothing_is_empty() -> None:
    assert len(envelope([], [], 5).at) == 0


@pytest.mark.parametrize("logarithmic", [False, True])
def test_bins_lose_no_value(logarithmic: bool) -> None:
    values = [0.001, 0.0011, 0.002, 0.9, 0.9]
    counts, edges = bins(values, 7, logarithmic)
    assert counts.sum() == len(values)
    assert (edges[0], edges[-1], len(edges)) == (0.001, 0.9, 8)


@pytest.mark.parametrize("value", [0.0, 0.02])
def test_bins_of_one_value(value: float) -> None:
    counts, edges = bins([value] * 3, 5)
    assert counts.sum() == 3
    assert (np.diff(edges) > 0).all()


def test_the_tail_begins_at_the_smallest_and_ends_at_one_in_all() -> None:
    over, values = tail([3.0, 1.0, 2.0, 4.0])
    assert values.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert over.tolist() == [1.0, 4 / 3, 2.0, 4.0]


def test_sparklines() -> None:
    assert sparkline([0.0, 1.0, 2.0]) == BLOCKS[0] + BLOCKS[4] + BLOCKS[7]
    assert sparkline([1.0, None, 2.0, float("nan")]) == f"{BLOCKS[0]} {BLOCKS[7]} "
    assert sparkline([5.0, 5.0]) == BLOCKS[0] * 2
    assert sparkline([5.0, 10.0], low=0.0) == BLOCKS[4] + BLOCKS[7]
    assert sparkline([]) == sparkline([None]) == ""
    assert sparkline([0.0, 1.0, 2.0], unicode=False).isascii()
