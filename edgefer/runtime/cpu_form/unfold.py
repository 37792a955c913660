"""A convolution as a matrix product: which pixel each weight meets at each place of its window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Window:
    """The geometry of a two-dimensional convolution over images of `shape` (N, C, H, W); each pair is (y, x), `pads` is
    (top, left, bottom, right)."""

    shape: tuple[int, int, int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]

    @staticmethod
    def of(attributes: dict[str, Any], shape: tuple[int, int, int, int], kernel: tuple[int, ...]) -> Window:
        """That of a Conv with these attributes."""
        strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        return Window(
            shape,
            (kernel[0], kernel[1]),
            (strides[0], strides[1]),
            (top, left, bottom, right),
            (dilations[0], dilations[1]),
        )

    @property
    def images(self) -> int:
        return self.shape[0]

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def height(self) -> int:
        return self.shape[2]

    @property
    def width(self) -> int:
        return self.shape[3]

    @property
    def places(self) -> tuple[int, int]:
        """(height, width) of the output."""
        top, left, bottom, right = self.pads
        y = self.height + top + bottom - self.dilations[0] * (self.kernel[0] - 1) - 1
        x = self.width + left + right - self.dilations[1] * (self.kernel[1] - 1) - 1
        return y // self.strides[0] + 1, x // self.strides[1] + 1

    @property
    def pixels(self) -> int:
        """How many pixels there are, in all images; also the index that stands for padding."""
        return self.images * self.height * self.width

    def indices(self) -> npt.NDArray[np.int32]:
        """(images * places * kernel,): the pixel, counted row by row, that each weight meets; `pixels` outside."""
        places = self.places
        y = np.arange(places[0])[:, None] * self.strides[0] - self.pads[0] + self._taps(0)
        x = np.arange(places[1])[:, None] * self.strides[1] - self.pads[1] + self._taps(1)
        y, x = y[:, None, :, None], x[None, :, None, :]
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        image = (np.arange(self.images) * (self.height * self.width)).reshape(-1, 1, 1, 1, 1)
        return np.where(inside, image + y * self.width + x, self.pixels).astype(np.int32).reshape(-1)

    def _taps(self, axis: int) -> npt.NDArray[np.int64]:
        return np.arange(self.kernel[axis])[None, :] * self.dilations[axis]
