"""Weights as INT8: symmetric, one scale per output channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Largest magnitude of INT8, symmetric: -128 is never the image of a value within the range.
INT8_MAX = 127
# The smallest positive float16. A scale below it would become 0 in a graph converted to FP16, which TensorRT refuses.
SMALLEST_SCALE = 2.0**-24


def quantise_weights(
    weights: npt.NDArray[np.float32], axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round weights to INT8 with the scale max|w| / 127 of each channel.

    Args:
        weights: finite, of any shape.
        axis: of the output channels.

    Returns:
        Integers from -127 to 127 of the same shape, and the positive scales (channels,). A channel of zeros has scale
        1/127.
    """
    others = tuple(index for index in range(weights.ndim) if index != axis)
    amax = np.abs(weights).max(axis=others)
    amax = np.where(amax > 0, amax, np.float32(1))
    scales = np.maximum(amax / np.float32(INT8_MAX), np.float32(SMALLEST_SCALE)).astype(np.float32)
    shape = [1] * weights.ndim
    shape[axis] = -1
    integers = np.clip(np.rint(weights / scales.reshape(shape)), -INT8_MAX, INT8_MAX)
    return integers.astype(np.int8), scales
