"""What a face is put on: windows of the images of a folder, or textures made for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from edgefer.errors import DataError
from edgefer.runtime.vision import opencv
from edgefer_export.data.images import IMAGE_SUFFIXES, read_image
from edgefer_export.data.label_tree import is_image
from edgefer_export.train.composite.pose import Pixels

Backgrounds = Callable[[np.random.Generator, int, int], Pixels]
"""Given chance, height and width: an image (H, W, 3) float32, RGB in 0..1."""

# A window of 148 pixels in an image cropped to 640 x 1024, as in the public generator.
_WINDOW = 148 / 640
_SMALLEST = 16
_KEPT = 64


class FolderBackgrounds:
    """A random window of a random image of a folder, at any depth; any pictures without faces serve.

    The window is 148/640 of the image's shorter side, as in the public generator, and brought to the size asked for.

    Raises:
        DataError: the folder is not there or holds no image; later, where an image cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} of backgrounds.", hint="Name a folder of pictures.")
        self.files = tuple(sorted(path for path in folder.rglob("*") if is_image(path)))
        if not self.files:
            raise DataError(
                f"{folder} holds no image for a background.",
                hint=f"These suffixes count as images: {', '.join(sorted(IMAGE_SUFFIXES))}.",
            )
        self._read = lru_cache(maxsize=_KEPT)(_read)

    def __call__(self, rng: np.random.Generator, height: int, width: int) -> Pixels:
        cv2 = opencv()
        image = self._read(self.files[int(rng.integers(len(self.files)))])
        rows, columns = image.shape[:2]
        side = min(rows, columns, max(_SMALLEST, round(_WINDOW * min(rows, columns))))
        top, left = int(rng.integers(rows - side + 1)), int(rng.integers(columns - side + 1))
        window = image[top : top + side, left : left + side]
        shrinks = side >= max(height, width)
        resized = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return cast(Pixels, resized.astype(np.float32) / np.float32(255.0))


def _read(path: Path) -> npt.NDArray[np.uint8]:
    read = read_image(path)
    image = (read >> 8 if read.dtype == np.uint16 else read).astype(np.uint8)
    return np.ascontiguousarray(image[:, :, ::-1] if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2))


def textures(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A texture of chance: a run between two colours, soft noise at several sizes, and a few flat shapes.

    It stands in for photographs where there are none; a network that learns to tell a face from it has learned less
    than one that has seen rooms and streets.
    """
    cv2 = opencv()
    # Mostly grey, as rooms and streets are.
    first, second = rng.random((2, 1)) + rng.uniform(-0.2, 0.2, (2, 3))
    across, down = rng.uniform(-1.0, 1.0, 2)
    y, x = np.mgrid[0:height, 0:width]
    run = 0.5 + 0.5 * (across * (x / max(1, width - 1) - 0.5) + down * (y / max(1, height - 1) - 0.5))
    image = (first + (second - first) * run[:, :, None]).astype(np.float32)
    for cells in (2, 4, 8, 16):
        grid = rng.normal(0.0, 1.0, (cells, cells, 1)) + rng.normal(0.0, 0.3, (cells, cells, 3))
        grid *= rng.uniform(0.0, 0.4) / np.sqrt(cells)
        image += cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 6))):
        colour = tuple(float(each) for each in rng.random() + rng.uniform(-0.3, 0.3, 3))
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        half = (int(rng.integers(1, max(2, width // 3))), int(rng.integers(1, max(2, height // 3))))
        if rng.random() < 0.5:
            cv2.ellipse(image, centre, half, float(rng.uniform(0, 180)), 0, 360, colour, -1)
        else:
            end = (centre[0] + half[0], centre[1] + half[1])
            cv2.rectangle(image, centre, end, colour, -1)
    return cast(Pixels, np.clip(image, 0.0, 1.0))
