"""The one resize rule of training, calibration and runtime, `area-bilinear`.

Each axis of length n becomes m; s = n / m is its scale.

1. While both axes are even and at least `HALVE_FROM` times their target, halve both by means of 2x2 pixels.
2. Per axis, take k = 1 where s < `TWO_FROM`, k = 2 where s < `THREE_FROM`, else s rounded; interpolate bilinearly, with
   half-pixel centres, to k times the target.
3. Replace each k_y x k_x pixels by their mean.

Where an axis grows, k = 1 and the rule is bilinear interpolation. Where it shrinks, step 2 moves to a grid near by on
which the area filter is a mean of whole pixels, and does nothing where the image is on such a grid already. Results are
rounded to the image's type after each step. The steps that touch many pixels are those for which OpenCV has vector
code; its own INTER_AREA has none at fractional scales. The error against the area filter is in docs/bundle-format.md.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgefer.runtime.vision import opencv

# Smaller values are faster and further from the area filter. These keep 1280x720 to 224x224 on the fast path.
HALVE_FROM = 3.2
TWO_FROM = 1.25
THREE_FROM = 2.9

Pixel = TypeVar("Pixel", np.uint8, np.uint16, np.float32)


def area_bilinear(image: npt.NDArray[Pixel], height: int, width: int) -> npt.NDArray[Pixel]:
    """The image (H, W) or (H, W, C) resized to (height, width) or (height, width, C), of the same type.

    Returns `image` itself where it has that size already.

    Raises:
        EnvironmentMismatch: OpenCV is not installed.
    """
    cv2 = opencv()
    while _halves(image.shape[0], height) and _halves(image.shape[1], width):
        image = _resize(cv2, image, image.shape[0] // 2, image.shape[1] // 2, cv2.INTER_AREA)
    down, across = _multiple(image.shape[0] / height), _multiple(image.shape[1] / width)
    image = _resize(cv2, image, down * height, across * width, cv2.INTER_LINEAR)
    return _resize(cv2, image, height, width, cv2.INTER_AREA)


def _halves(length: int, target: int) -> bool:
    return length % 2 == 0 and length >= HALVE_FROM * target


def _multiple(scale: float) -> int:
    """k of step 2."""
    if scale < TWO_FROM:
        return 1
    return 2 if scale < THREE_FROM else math.floor(scale + 0.5)


def _resize(cv2: Any, image: npt.NDArray[Pixel], height: int, width: int, rule: int) -> npt.NDArray[Pixel]:
    if image.shape[0] == height and image.shape[1] == width:
        return image
    resized: npt.NDArray[Pixel] = cv2.resize(image, (width, height), interpolation=rule)
    return resized
