"""What a view sees of a frame, on the CPU: the same samples as the pre-processing kernel takes, by OpenCV.

OpenCV warps to a grid with as many pixels as the view has samples, the mean of which is then taken. Beyond the edge of
the picture OpenCV would mix in what is outside, where a view repeats the last pixels for half a pixel and has the pad
level behind that: the picture is warped with its border repeated, and which samples lie in it is worked out beside.

Releases of OpenCV from 5 on interpolate to the rounding of the result; earlier ones in steps of a 32nd of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.errors import InputError
from edgefer.runtime.geometry import Box
from edgefer.runtime.view import MOST_SAMPLES, Matrix, Size, View
from edgefer.runtime.vision import opencv

_BAND = 1 << 20
"""Samples that are taken at once: what lies between warping and averaging then stays in a cache of a few MiB."""
_LONGEST_SIDE = 32_766
"""OpenCV has positions in 16 bits."""

Pixels = npt.NDArray[Any]
Share = npt.NDArray[np.float32]
Inside = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Plane:
    """A part of a frame: `pixels` (h, w) or (h, w, 3) of uint8 or uint16, in which column x and row y of the frame
    stand at x * `scale` + `right` and y * `scale` + `down`. What is seen of it is of its type and rounded, or float32
    where it is `precise`."""

    pixels: Pixels
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0
    precise: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is seen."""
        return np.dtype(np.float32) if self.precise else self.pixels.dtype


def seen(planes: Sequence[Plane], view: View, size: Size) -> tuple[list[Pixels], Share | None]:
    """What a view shows, in an input of `size` (height, width).

    Args:
        planes: the frame; the first is at its full size.
        view: which pixels.
        size: of the input.

    Returns:
        For each plane the mean of the samples that lie in the picture, (height, width) or (height, width, 3); and
        their share of all samples, (height, width), or None where it is 1 everywhere. Where the share is 0 the means
        hold no meaning.

    Raises:
        InputError: a side of what is seen of the frame is longer than OpenCV takes.
        EnvironmentMismatch: OpenCV is not installed.
    """
    height, width = size
    rows, columns = planes[0].pixels.shape[:2]
    left, top, right, bottom = view.crop
    picture = (max(left, 0), max(top, 0), min(right, columns), min(bottom, rows))
    if picture[0] >= picture[2] or picture[1] >= picture[3]:
        nothing = [np.zeros((height, width, *plane.pixels.shape[2:]), plane.dtype) for plane in planes]
        return nothing, np.zeros(size, np.float32)
    # The kernel has the homography in single precision.
    matrix = view.to_source.astype(np.float32).astype(np.float64)
    across, down = (min(max(count, 1), MOST_SAMPLES) for count in view.samples)
    band = max(1, _BAND // (width * across * down))
    share: Share | None = None
    bands: list[list[Pixels]] = []
    for first in range(0, height, band):
        part = slice(first, min(first + band, height))
        grid = _Grid(matrix @ _to_input(across, down, first), part.stop - first, width, across, down)
        partly = grid.partly(picture)
        if partly is not None:
            share = np.ones(size, np.float32) if share is None else share
            np.divide(partly.counts, across * down, out=share[part], casting="same_kind")
        bands.append([_mean(plane, grid, picture, partly) for plane in planes])
    return bands[0] if len(bands) == 1 else [np.concatenate(parts) for parts in zip(*bands, strict=True)], share


@dataclass(frozen=True)
class _Partly:
    """Where not all samples lie in the picture: which do, and how many of each pixel of the input."""

    inside: Inside
    counts: npt.NDArray[np.uint16]


@dataclass(frozen=True)
class _Grid:
    """The samples of some rows of the input; `matrix` leads from their columns and rows to the frame."""

    matrix: Matrix
    height: int
    width: int
    across: int
    down: int

    @property
    def size(self) -> Size:
        """Rows and columns of samples."""
        return self.height * self.down, self.width * self.across

    @cached_property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """The least and greatest columns and rows of the frame that are sampled: left, top, right, bottom. None where
        the horizon runs through: a homography maps convex areas to convex ones only on one side of it."""
        last_row, last_column = self.size[0] - 1, self.size[1] - 1
        corners = self.matrix @ np.array([[0, last_column, 0, last_column], [0, 0, last_row, last_row], [1, 1, 1, 1]])
        w = corners[2]
        if not ((w > 0).all() or (w < 0).all()):
            return None
        with np.errstate(over="ignore"):
            x, y = corners[:2] / w
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def partly(self, picture: Box) -> _Partly | None:
        """Which samples lie in the picture; None where all do."""
        edges = [edge - 0.5 for edge in picture]
        bounds = self.bounds
        if bounds is not None and (
            bounds[0] >= edges[0] and bounds[1] >= edges[1] and bounds[2] < edges[2] and bounds[3] < edges[3]
        ):
            return None
        x, y = self._positions()
        # A position that is not a number is nowhere.
        inside = np.asarray((x >= edges[0]) & (x < edges[2]) & (y >= edges[1]) & (y < edges[3]))
        return _Partly(inside, _counts(inside, self))

    def _positions(self) -> tuple[Matrix, Matrix]:
        """Columns and rows of the samples in the frame; one row, and one column, where they depend on no more."""
        column, row = np.arange(self.size[1])[None, :], np.arange(self.size[0])[:, None]
        matrix = self.matrix
        if not (matrix[0, 1] or matrix[1, 0] or matrix[2, 0] or matrix[2, 1]):
            over = matrix[:2] / matrix[2, 2]
            return over[0, 0] * column + over[0, 2], over[1, 1] * row + over[1, 2]
        x, y, w = (line[0] * column + (line[1] * row + line[2]) for line in matrix)
        with np.errstate(all="ignore"):
            return x / w, y / w


def _to_input(across: int, down: int, first: int) -> Matrix:
    """From columns and rows of samples to the input's pixels, from row `first` on."""
    return np.array(
        [[1 / across, 0, 0.5 / across - 0.5], [0, 1 / down, first + 0.5 / down - 0.5], [0, 0, 1]], np.float64
    )


def _mean(plane: Plane, grid: _Grid, picture: Box, partly: _Partly | None) -> Pixels:
    """The means of a grid's samples of a plane."""
    scale = plane.scale
    to_plane = np.array([[scale, 0, plane.right], [0, scale, plane.down], [0, 0, 1]]) @ grid.matrix
    # Of a plane of half the size, the pixels that the picture touches.
    step = round(1 / scale)
    box = (picture[0] // step, picture[1] // step, (picture[2] - 1) // step + 1, (picture[3] - 1) // step + 1)
    left, top, right, bottom = _touched(grid, plane, box)
    if max(right - left, bottom - top, *grid.size) > _LONGEST_SIDE:
        raise InputError(
            f"a view sees {right - left}x{bottom - top} pixels of a frame by {grid.size[1]} samples along a row, "
            f"expected at most {_LONGEST_SIDE} of each on the CPU",
            hint="scale the frame down, or give a smaller view",
        )
    pixels = plane.pixels[top:bottom, left:right].astype(plane.dtype, copy=plane.precise)
    from_corner = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]) @ to_plane
    cv2 = opencv()
    border = cv2.BORDER_REPLICATE
    if partly is not None:
        # Much may lie beside the picture, and what is constant takes OpenCV less time.
        pixels, border = cv2.copyMakeBorder(pixels, 1, 1, 1, 1, border), cv2.BORDER_CONSTANT
        from_corner = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1.0]]) @ from_corner
    warped = _warped(cv2, pixels, from_corner, grid.size, border)
    if grid.across == grid.down == 1:
        return warped
    mean = np.asarray(cv2.resize(warped, (grid.width, grid.height), interpolation=cv2.INTER_AREA))
    if partly is not None:
        _leave_out(warped, partly, grid, mean)
    return mean


def _touched(grid: _Grid, plane: Plane, box: Box) -> Box:
    """The part of a box of a plane's pixels that the grid reaches."""
    bounds = grid.bounds
    if bounds is None:
        return box
    left, right = (bounds[place] * plane.scale + plane.right for place in (0, 2))
    top, bottom = (bounds[place] * plane.scale + plane.down for place in (1, 3))
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return box
    # A pixel on, for the neighbour that a position is between, and one for rounding. Where the samples lie beyond the
    # box, its last pixels are what is repeated.
    return (
        min(max(math.floor(left) - 1, box[0]), box[2] - 1),
        min(max(math.floor(top) - 1, box[1]), box[3] - 1),
        max(min(math.floor(right) + 3, box[2]), box[0] + 1),
        max(min(math.floor(bottom) + 3, box[3]), box[1] + 1),
    )


def _warped(cv2: Any, pixels: Pixels, matrix: Matrix, size: Size, border: int) -> Pixels:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    wanted = size[::-1]
    if matrix[2, 0] == matrix[2, 1] == 0:
        affine = matrix[:2] / matrix[2, 2]
        return np.asarray(cv2.warpAffine(pixels, affine, wanted, flags=flags, borderMode=border))
    return np.asarray(cv2.warpPerspective(pixels, matrix, wanted, flags=flags, borderMode=border))


def _counts(inside: Inside, grid: _Grid) -> npt.NDArray[np.uint16]:
    """How many samples of each pixel of the input lie in the picture."""
    most = grid.across * grid.down
    # OpenCV's mean of whole numbers that it is a whole number of.
    scaled: npt.NDArray[np.uint16] = inside.view(np.uint8).astype(np.uint16) * np.uint16(most)
    if most == 1:
        return scaled
    cv2 = opencv()
    return np.asarray(cv2.resize(scaled, (grid.width, grid.height), interpolation=cv2.INTER_AREA))


def _leave_out(warped: Pixels, partly: _Partly, grid: _Grid, target: Pixels) -> None:
    """Take the mean anew for the pixels of which some samples lie in the picture and some beside it."""
    counts, kept = partly.counts, partly.inside.reshape(grid.height, grid.down, grid.width, grid.across)
    rows, columns = np.nonzero((counts > 0) & (counts < grid.across * grid.down))
    if not rows.size:
        return
    samples = warped.reshape(grid.height, grid.down, grid.width, grid.across, -1)[rows, :, columns]
    sums = (samples * kept[rows, :, columns][..., None]).sum((1, 2), dtype=np.float64)
    means = sums / counts[rows, columns][:, None]
    if target.dtype != np.float32:
        means = np.rint(means)
    target[rows, columns] = means.reshape(len(rows), *target.shape[2:])
