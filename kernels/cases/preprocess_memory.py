"""Frames of noise as a camera's driver lays them down, gaps between rows and frames included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edgefer.kernels.preprocess_frame import Frame


@dataclass(frozen=True)
class Shot:
    """A batch: `pixels` and `chroma` are the memory, bytes that end with the last pixel; `planes` (n, H, W) or
    (n, H, W, 3) and `pairs` (n, h, w, 2) are what is in it."""

    pixels: NDArray[np.uint8]
    planes: NDArray[Any]
    chroma: NDArray[np.uint8]
    pairs: NDArray[np.uint8] | None


def memory_of(frame: Frame, frames: int, generator: Generator) -> Shot:
    """Frames of noise. Y16 has levels of 6,500 to 9,500, as a room has in a thermal camera's counts; gaps hold 255."""
    shape = (frames, frame.height, frame.width)
    if frame.format == "y16":
        planes: NDArray[Any] = generator.integers(6500, 9500, shape, np.uint16)
    else:
        planes = generator.integers(0, 256, (*shape, 3) if frame.format in ("bgr8", "rgb8") else shape, np.uint8)
    pixels = laid_down(planes, frame.row_bytes, frame.frame_bytes)
    if frame.format != "nv12":
        return Shot(pixels, planes, np.zeros(0, np.uint8), None)
    half = (frames, -(-frame.height // 2), -(-frame.width // 2), 2)
    pairs = generator.integers(0, 256, half, np.uint8)
    return Shot(pixels, planes, laid_down(pairs, frame.chroma_row_bytes, frame.chroma_frame_bytes), pairs)


def laid_down(planes: NDArray[Any], row_bytes: int, frame_bytes: int) -> NDArray[np.uint8]:
    """`planes` (n, rows, ...) with so many bytes from row to row and from frame to frame, up to the last pixel."""
    rows = planes.reshape(*planes.shape[:2], -1).view(np.uint8)
    memory = np.full(len(rows) * frame_bytes, 255, np.uint8)
    for index, frame in enumerate(rows):
        for number, row in enumerate(frame):
            start = index * frame_bytes + number * row_bytes
            memory[start : start + len(row)] = row
    used = (len(rows) - 1) * frame_bytes + (rows.shape[1] - 1) * row_bytes + rows.shape[2]
    return memory[:used]
