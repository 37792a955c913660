"""The synthetic pairs are no toy: what knows nothing of faces stays below one half."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("cv2")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.pixel_baselines import features, linear_accuracy, neighbour_accuracy, standardised
from edgefer_export.data.synthetic import SyntheticPairs

CLASSES = 5


@pytest.fixture(scope="module")
def pixels() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    parts: list[np.ndarray] = []
    for seed, count in ((31, 2000), (32, 600)):
        pairs = SyntheticPairs(count, seed, size=64)
        images = [pairs[i].images for i in range(count)]
        visible, infrared = (np.stack([image[role] for image in images]) for role in ("visible", "infrared"))
        parts += [features(visible, infrared), np.array([pairs.label(i) for i in range(count)])]
    train, test = standardised(parts[0], parts[2])
    return train, parts[1], test, parts[3]


def test_linear_classifier_stays_below_one_half(pixels: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    accuracy = linear_accuracy(*pixels)
    assert 1.2 / CLASSES < accuracy < 0.5, "above chance: the label shows in the pixels; below one half: not simply"


def test_nearest_neighbour_stays_below_one_half(
    pixels: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    assert neighbour_accuracy(*pixels) < 0.5


def test_baselines_do_solve_what_is_easy() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(300) % 3
    rows = rng.normal(size=(300, 12)).astype(np.float32)
    rows[:, :3] += 8 * np.eye(3, dtype=np.float32)[labels]
    train, test = standardised(rows[:200], rows[200:])
    assert linear_accuracy(train, labels[:200], test, labels[200:]) > 0.95
    assert neighbour_accuracy(train, labels[:200], test, labels[200:]) > 0.95


def test_features_are_area_means() -> None:
    picture = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    rows = features(picture, side=2)
    assert rows.shape == (2, 12)
    assert rows[0, 0] == pytest.approx(picture[0, :2, :2, 0].mean() / 255)
