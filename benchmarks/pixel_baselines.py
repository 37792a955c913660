"""What a classifier without any notion of a face reaches on pixels: a linear one and the nearest neighbour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

RIDGES = (1e1, 1e2, 1e3, 1e4)


def features(*pictures: npt.NDArray[np.uint8], side: int = 32) -> Features:
    """Pictures (N, H, W[, C]), H and W multiples of `side`, as rows of area-averaged pixels: (N, D) float32 in 0..1."""
    columns = []
    for picture in pictures:
        count, height, width = picture.shape[:3]
        blocks = picture.reshape(count, side, height // side, side, width // side, -1).astype(np.float32)
        columns.append(blocks.mean(axis=(2, 4)).reshape(count, -1) / np.float32(255))
    return np.concatenate(columns, axis=1)


def standardised(train: Features, test: Features) -> tuple[Features, Features]:
    """Both by the mean and the deviation of the training rows."""
    mean, deviation = train.mean(axis=0), train.std(axis=0) + np.float32(1e-3)
    return (train - mean) / deviation, (test - mean) / deviation


def linear_accuracy(train: Features, labels: Labels, test: Features, truth: Labels) -> float:
    """Accuracy of the best of several ridge regressions on one-hot targets. The ridge is chosen on the test rows, in
    the baseline's favour."""
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]
    targets -= targets.mean(axis=0)
    # The dual form: there are fewer rows than columns, or about as many.
    gram, cross = train @ train.T, test @ train.T
    best = 0.0
    for ridge in RIDGES:
        weights = np.linalg.solve(gram + np.float32(ridge) * np.eye(len(gram), dtype=np.float32), targets)
        best = max(best, float(((cross @ weights).argmax(axis=1) == truth).mean()))
    return best


def neighbour_accuracy(train: Features, labels: Labels, test: Features, truth: Labels) -> float:
    """Accuracy of the nearest neighbour by Euclidean distance."""
    squares = (train**2).sum(axis=1)
    nearest = (squares[None] - 2 * test @ train.T).argmin(axis=1)
    return float((labels[nearest] == truth).mean())
