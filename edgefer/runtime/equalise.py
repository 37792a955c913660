"""Spreading the levels of an image: by its histogram, or by that of each part of it with limited contrast (CLAHE).

A grey image is equalised itself, of a colour one the luma Y of OpenCV's YCrCb, with Cr and Cb kept. A 16-bit image is
cut to the window of its input first, which becomes its whole range. Its histogram has 65536 levels; for CLAHE it
becomes one of 8 bits before, since a clip limit is a multiple of the mean count of a level, and over 65536 levels of a
part of an image that count is below one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import ImageSpec
from edgefer.runtime.vision import opencv


@dataclass(frozen=True)
class Equaliser:
    """The equalisation that the `image` of an input states; safe to share between threads."""

    image: ImageSpec

    def __call__(self, image: npt.NDArray[Any], colour: Literal["bgr", "rgb"]) -> npt.NDArray[Any]:
        """The image (H, W) or (H, W, 3), uint8 or uint16, equalised; uint8 by CLAHE, else of its type.

        Raises:
            EnvironmentMismatch: OpenCV is not installed.
        """
        if image.dtype == np.uint16:
            image = stretched(image, self.image.window16, 255 if self.image.equalise == "clahe" else 65535)
        if image.ndim == 2:
            return self._plane(image)
        cv2 = opencv()
        there, back = (
            (cv2.COLOR_BGR2YCrCb, cv2.COLOR_YCrCb2BGR)
            if colour == "bgr"
            else (cv2.COLOR_RGB2YCrCb, cv2.COLOR_YCrCb2RGB)
        )
        parts: npt.NDArray[Any] = cv2.cvtColor(image, there)
        parts[..., 0] = self._plane(np.ascontiguousarray(parts[..., 0]))
        result: npt.NDArray[Any] = cv2.cvtColor(parts, back)
        return result

    def _plane(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cv2 = opencv()
        if self.image.equalise == "clahe":
            # A new one each time: it keeps buffers between calls, which threads must not share.
            made = cv2.createCLAHE(clipLimit=self.image.clip_limit, tileGridSize=self.image.tiles)
            result: npt.NDArray[Any] = made.apply(plane)
            return result
        if plane.dtype == np.uint16:
            return _equalised16(plane)
        return np.asarray(cv2.equalizeHist(plane))


def stretched(image: npt.NDArray[np.uint16], window: tuple[int, int], top: int) -> npt.NDArray[Any]:
    """The image with the levels of `window` spread to 0..top, rounded, and those outside at its ends.

    uint8 where `top` is 255, else uint16.
    """
    low, high = window
    # 65535 * 65535 and half a window more still fit into 32 bits.
    codes = np.arange(65536, dtype=np.uint32).clip(low, high) - np.uint32(low)
    span = np.uint32(high - low)
    table = (codes * np.uint32(top) + span // np.uint32(2)) // span
    result: npt.NDArray[Any] = table.astype(np.uint8 if top == 255 else np.uint16)[image]
    return result


def _equalised16(plane: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """`cv2.equalizeHist` with 65536 levels, which it lacks: level v becomes the share of pixels up to v, without those
    of the lowest level, times 65535. A plane of one level stays as it is."""
    counts = np.bincount(plane.reshape(-1), minlength=65536)
    lowest = int(counts.nonzero()[0][0])
    others = plane.size - int(counts[lowest])
    if not others:
        return plane
    shares = (np.cumsum(counts) - counts[lowest]).clip(0) / others
    result: npt.NDArray[np.uint16] = np.rint(shares * 65535).astype(np.uint16)[plane]
    return result
