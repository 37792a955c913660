"""The measure by which two computations are compared."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.numeric_error import relative_error


def test_small_references_are_compared_absolutely_and_large_ones_relatively() -> None:
    assert relative_error(np.array([0.5, 0.25]), np.array([0.5, 0.0])) == 0.25
    assert relative_error(np.array([110.0, 1.0]), np.array([100.0, 1.0])) == pytest.approx(0.1)


def test_what_is_not_a_number_passes_no_bound() -> None:
    for bad in (np.nan, np.inf):
        assert relative_error(np.array([bad]), np.array([1.0])) == np.inf
        assert relative_error(np.array([1.0]), np.array([bad])) == np.inf


def test_nothing_differs_by_nothing_and_shapes_must_agree() -> None:
    assert relative_error(np.zeros((0, 5), np.float32), np.zeros((0, 5), np.float32)) == 0.0
    with pytest.raises(ValueError, match="shapes differ"):
        relative_error(np.zeros(2), np.zeros(3))


def test_half_precision_is_compared_in_full() -> None:
    found = np.array([60000.0], np.float16)
    assert relative_error(found, -found) == pytest.approx(2.0)
