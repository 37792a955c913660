"""What the blocks mean, in float64 and NumPy alone: the measure that both spellings of a block are held against."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]


def channel_gate(tensors: Mapping[str, Double], gate: str, alpha: float, beta: float) -> Double:
    """X times the gate of W2 relu(W1 mean(X) + b1) + b2; X (N, C, H, W), W1 (h, C), W2 (C, h)."""
    maps = tensors["X"]
    score = _perceptron(maps.mean((2, 3)), tensors)
    value = _sigmoid(score) if gate == "sigmoid" else np.clip(alpha * score + beta, 0.0, 1.0)
    return np.asarray(maps * value[:, :, None, None])


def cbam_attention(tensors: Mapping[str, Double], relu: bool) -> Double:
    """Channel gate from mean and maximum, spatial gate from the gated maps' maximum and mean over the channels.

    X and R (N, C, H, W), W1 (h, C), W2 (C, h), Ws (1, 2, k, k), bs (1).
    """
    maps = tensors["X"]
    score = _perceptron(maps.mean((2, 3)), tensors) + _perceptron(maps.max((2, 3)), tensors)
    gated = maps * _sigmoid(score)[:, :, None, None]
    descriptor = np.stack((gated.max(1), gated.mean(1)), axis=1)
    result = gated * _sigmoid(_correlation(descriptor, tensors["Ws"][0]) + tensors["bs"])[:, None]
    if "R" in tensors:
        result = result + tensors["R"]
    return np.maximum(result, 0.0) if relu else result


def _perceptron(vector: Double, tensors: Mapping[str, Double]) -> Double:
    hidden = vector @ tensors["W1"].T + tensors.get("b1", np.zeros(1))
    return np.asarray(np.maximum(hidden, 0.0) @ tensors["W2"].T + tensors.get("b2", np.zeros(1)))


def _correlation(maps: Double, kernel: Double) -> Double:
    """(N, 2, H, W) with (2, k, k), borders filled with 0, to (N, H, W)."""
    side = kernel.shape[-1]
    border = side // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (border, border), (border, border)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
    return np.asarray(np.einsum("ncyxij,cij->nyx", windows, kernel))


def _sigmoid(score: Double) -> Double:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * score)))
