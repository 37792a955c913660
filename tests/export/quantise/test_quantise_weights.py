"""Weights as INT8 per channel against a loop in float64."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer_export.quantise.weights import SMALLEST_SCALE, quantise_weights


@pytest.mark.parametrize(("shape", "axis"), [((6, 4, 3, 3), 0), ((5, 7), 0), ((5, 7), 1), ((4, 2, 3), 0)])
def test_each_channel_has_its_own_scale(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> None:
    weights = (
        rng.standard_normal(shape) * np.exp(rng.normal(0, 3, shape[0])).reshape(-1, *[1] * (len(shape) - 1))
    ).astype(np.float32)
    integers, scales = quantise_weights(weights, axis)
    assert integers.dtype == np.int8
    assert scales.dtype == np.float32
    for channel in range(shape[axis]):
        exact = np.take(weights, channel, axis).astype(np.float64)
        step = np.abs(exact).max() / 127
        assert scales[channel] == pytest.approx(step, rel=1e-6)
        found = np.take(integers, channel, axis)
        assert np.abs(found * float(scales[channel]) - exact).max() <= step * 0.5001
        assert np.abs(found).max() == 127


def test_a_channel_of_zeros_keeps_a_positive_scale() -> None:
    weights = np.ones((3, 2, 1, 1), np.float32)
    weights[1] = 0
    integers, scales = quantise_weights(weights, 0)
    assert (scales > 0).all()
    assert scales[1] == np.float32(1 / 127)
    assert not integers[1].any()
    assert (integers[[0, 2]] == 127).all()


def test_a_vanishing_channel_keeps_a_scale_that_fp16_holds() -> None:
    integers, scales = quantise_weights(np.full((1, 4), 1e-20, np.float32), 0)
    assert scales[0] == SMALLEST_SCALE
    assert float(np.float16(scales[0])) > 0
    assert not integers.any()
