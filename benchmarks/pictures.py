"""Synthetic pairs as files, and what one would write to read them: the data of benchmarks that begin with images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgefer_export.data.synthetic import SyntheticPairs

SIZE = 224


def write_pairs(folder: Path, count: int, seed: int = 102) -> Path:
    """So many pairs of 224x224 as PNG, laid out as `visible/LABEL/NAME.png` and `infrared/LABEL/NAME.png`."""
    pairs = SyntheticPairs(count, seed, size=SIZE)
    for index in range(count):
        sample = pairs[index]
        for role, image in sample.images.items():
            path = folder / role / pairs.labels[sample.label] / f"{index:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), np.asarray(image)):
                raise OSError(f"{path} cannot be written")
    return folder


def plain_pairs(folder: Path, labels: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], int]]:
    """The pairs as tensors (1, 3, 224, 224) in 0..1 with their labels, by OpenCV and NumPy."""
    for path in sorted((folder / "visible").glob("*/*.png")):
        label = path.parent.name
        visible = cv2.imread(str(path))
        infrared = cv2.imread(str(folder / "infrared" / label / path.name), cv2.IMREAD_GRAYSCALE)
        tensors = {
            "visible": cv2.cvtColor(visible, cv2.COLOR_BGR2RGB),
            "infrared": cv2.cvtColor(infrared, cv2.COLOR_GRAY2RGB),
        }
        yield (
            {
                name: np.ascontiguousarray((image.astype(np.float32) / 255).transpose(2, 0, 1))[None]
                for name, image in tensors.items()
            },
            labels.index(label),
        )
