"""Which pixels of an image an input is made of, and where they come to lie in it: crop, fit and resizing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy.typing as npt

from edgefer.bundle.manifest import ImageSpec
from edgefer.runtime.resize import Pixel
from edgefer.runtime.resize_rules import resized

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie outside."""


@dataclass(frozen=True)
class Geometry:
    """Crop, fit and resizing of one input of `height` and `width`, as its `image` says.

    All roundings are to the nearest whole pixel, halves up, and no side becomes shorter than a pixel.
    """

    image: ImageSpec
    height: int
    width: int

    @property
    def whole(self) -> bool:
        """Whether every pixel of an input comes from the image; otherwise there may be bars around it."""
        return self.image.fit != "letterbox"

    def box(self, height: int, width: int) -> Box:
        """The pixels that count in an image of this size."""
        left, right = _span(self.image.crop[0], self.image.crop[2], width)
        top, bottom = _span(self.image.crop[1], self.image.crop[3], height)
        if self.image.fit != "centre-crop":
            return left, top, right, bottom
        scale = min((right - left) / self.width, (bottom - top) / self.height) * self.image.keep
        across = _rounded(scale * self.width, right - left)
        down = _rounded(scale * self.height, bottom - top)
        left += (right - left - across) // 2
        top += (bottom - top - down) // 2
        return left, top, left + across, top + down

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a box of this size is resized to."""
        if self.whole:
            return self.height, self.width
        # In integers, so that an aspect that is the input's own never leaves a bar.
        if height * self.width >= width * self.height:
            return self.height, min(max((2 * width * self.height + height) // (2 * height), 1), self.width)
        return min(max((2 * height * self.width + width) // (2 * width), 1), self.height), self.width

    def place(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of what was resized to this size in the input; an odd bar is one wider on the right or below."""
        if self.image.align == "top-left":
            return 0, 0
        return (self.height - height) // 2, (self.width - width) // 2

    def __call__(self, image: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        """The pixels of the image (H, W) or (H, W, C) that count, in the size that they have in the input.

        Raises:
            EnvironmentMismatch: OpenCV is not installed.
        """
        left, top, right, bottom = self.box(*image.shape[:2])
        part = image[top:bottom, left:right]
        return resized(part, *self.size(*part.shape[:2]), self.image.resize)


def _rounded(length: float, most: int) -> int:
    return min(max(math.floor(length + 0.5), 1), most)


def _span(begin: float, end: float, length: int) -> tuple[int, int]:
    first = min(math.floor(begin * length + 0.5), length - 1)
    return first, max(math.floor(end * length + 0.5), first + 1)
