"""The block bootstrap: what is drawn, and how long the blocks are."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.benchmark.resampling import block_length, ends, ranks, replicates


def test_blocks_are_runs_of_neighbours_and_join_the_end_to_the_beginning() -> None:
    drawn: list[np.ndarray] = []

    def keep(indices: np.ndarray) -> np.ndarray:
        drawn.append(indices.copy())
        return np.zeros(len(indices))

    assert replicates(10, 4, keep, number=300).shape == (300,)
    rows = np.concatenate(drawn)
    assert rows.shape == (300, 10)
    assert rows.min() == 0
    assert rows.max() == 9
    for first in (0, 4, 8):
        block = rows[:, first : first + 4]
        assert np.all(np.diff(block, axis=1) % 10 == 1)
    assert np.any(np.diff(rows[:, :4], axis=1) == -9)  # some block goes over the end
    share = np.bincount(rows.ravel(), minlength=10) / rows.size
    assert np.all(np.abs(share - 0.1) < 0.02)


def test_a_series_longer_than_a_chunk_is_drawn_row_by_row() -> None:
    found = replicates(300_000, 100, lambda indices: indices.mean(axis=1), number=3)
    assert found == pytest.approx([149_999.5] * 3, rel=0.05)


def test_the_bootstrap_of_a_mean_has_its_standard_error() -> None:
    values = np.random.default_rng(0).standard_normal(400)
    found = replicates(400, 1, lambda drawn: values[drawn].mean(axis=1))
    assert found.std() == pytest.approx(values.std() / 20, rel=0.1)


def test_blocks_are_longer_where_runs_depend_on_their_neighbours() -> None:
    generator = np.random.default_rng(1)
    white = generator.standard_normal(2000)
    slow = np.convolve(white, np.ones(50) / 50, mode="same")
    assert block_length(white) == 21  # 2000^0.4
    assert 40 <= block_length(slow) <= 135
    assert block_length(np.arange(2000.0)) == 135  # 3 √n, the most


@pytest.mark.parametrize("series", [np.ones(100), np.full(100, 1e-9), np.tile([1.0, -1.0], 50)])
def test_constant_and_alternating_series_have_the_shortest_blocks(series: np.ndarray) -> None:
    assert block_length(series) == 7


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_short_series_keep_three_blocks(count: int) -> None:
    assert 1 <= block_length(np.arange(float(count))) <= max(1, count // 3)


def test_ranks_are_places_in_the_order() -> None:
    assert ranks(np.array([30.0, 10.0, 1e9, 20.0])).tolist() == [2, 0, 3, 1]


def test_few_blocks_widen_the_ends_as_students_t_does() -> None:
    found = np.random.default_rng(2).standard_normal(20_000)
    many, few = ends(0.0, found, 0.95, 1000.0), ends(0.0, found, 0.95, 11.0)
    assert many[1] == pytest.approx(1.96, abs=0.05)
    assert few[1] / many[1] == pytest.approx(2.228 / 1.96 * (11 / 10) ** 0.5, rel=0.01)  # t of ten degrees of freedom
    assert few[0] < many[0] < 0
