"""From an image to the saliency map of the face in it, and to that map where the face is in another frame.

A map is resized to the crop as an image is: as codes of 16 bits, which the one pre-processing makes into the input of a
classifier. Data sets on the host and sessions on a device therefore feed the same numbers.

Positions are continuous: pixel i of an axis covers i to i + 1, and its value stands at i + 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import InputError
from edgefer.runtime.geometry import Box, Geometry
from edgefer.runtime.preprocess import ColourOrder, Image, Preprocessor, checked_image

Run = Callable[[Mapping[str, npt.NDArray[np.float32]]], Mapping[str, npt.NDArray[Any]]]
"""Runs the saliency graph on one image: outputs by name for tensors by input name."""

FULL = 65535
"""The code of 1."""

_TINY = 1e-6


class Line(NamedTuple):
    """A position of one axis as another sees it: `scale` x + `offset`."""

    scale: float
    offset: float

    def then(self, scale: float, offset: float) -> Line:
        """This and then another one."""
        return Line(scale * self.scale, scale * self.offset + offset)


@dataclass(frozen=True, eq=False)
class SaliencyMap:
    """The map of one face in one frame.

    Attributes:
        values: (h, w) float32 in 0..1, the largest 1; all 0 where nothing stands out.
        face: the box of the face in that frame; it may reach beyond the frame.
        down: from a row of that frame to one of `values`.
        across: from a column of that frame to one of `values`.
    """

    values: npt.NDArray[np.float32]
    face: Box
    down: Line
    across: Line

    def on(self, face: Box, crop: Box) -> npt.NDArray[np.uint16]:
        """The map moved to where the face is in another frame, as codes (h, w) of the pixels of `crop`; 65535 is 1.

        It is interpolated bilinearly; beyond its border the border's values go on.

        Args:
            face: the box of the face in the other frame. The map moves and stretches as the box does.
            crop: the part of that frame which is asked for.
        """
        rows, columns = (
            _positions((face[side], face[side + 2]), (self.face[side], self.face[side + 2]), crop[side : side + 3 : 2])
            for side in (1, 0)
        )
        # Columns first and then rows, whose many values then lie in memory as they are read.
        between = _interpolated(self.values.T * FULL, self.across.scale * columns + self.across.offset).T
        found = _interpolated(np.ascontiguousarray(between), self.down.scale * rows + self.down.offset)
        found += 0.5
        codes: npt.NDArray[np.uint16] = found.astype(np.uint16)
        return codes


class MapMaker:
    """Makes the map of a face with whatever runs the saliency graph. Holds no state that a call changes.

    Args:
        spec: the one input of the graph, an image.
        output: the output that holds the map, (1, 1, h, w).
        run: runs the graph.

    Raises:
        InputError: the input is not one that images can be made into.
    """

    def __init__(self, spec: InputSpec, output: str, run: Run) -> None:
        self._name, self._output, self._run = spec.name, output, run
        self._preprocess = Preprocessor(spec)
        if spec.image is None:  # which the pre-processing has refused
            raise InputError(f"input '{spec.name}' is no image")
        self._height, self._width = spec.shape[2:]
        self._geometry = Geometry(spec.image, self._height, self._width)

    def __call__(
        self, image: Image, *, face: Box | None = None, crop: Box | None = None, colour: ColourOrder = "bgr"
    ) -> SaliencyMap:
        """The map of what is in `crop`, by default the whole image.

        Raises:
            InputError: the image is not as a `Preprocessor` takes it, or the map is not finite or of another shape.
            EnvironmentMismatch: OpenCV is not installed.
        """
        image = checked_image(image, self._name)
        left, top, right, bottom = crop = crop or whole(image)
        part = image[top:bottom, left:right]
        found = self._run({self._name: self._preprocess(part, colour=colour)})[self._output]
        if found.ndim != 4 or found.shape[:2] != (1, 1) or not found.size:
            raise InputError(
                f"the saliency graph answered '{self._output}' with the shape {found.shape}, expected (1, 1, h, w)"
            )
        if not np.isfinite(found).all():
            raise InputError(
                "the saliency graph answered values that are not finite", hint="run `edgefer verify` on the bundle"
            )
        return self._map(found[0, 0].astype(np.float32), face or crop, crop)

    def _map(self, values: npt.NDArray[np.float32], face: Box, crop: Box) -> SaliencyMap:
        """The part of the graph's answer that lies within the bars of a letterbox, divided by its maximum."""
        left, top, right, bottom = self._geometry.box(crop[3] - crop[1], crop[2] - crop[0])
        size = self._geometry.size(bottom - top, right - left)
        place = self._geometry.place(*size)
        lines = []
        for axis, (begin, length, start) in enumerate(
            ((top, bottom - top, crop[1]), (left, right - left, crop[0])),
        ):
            cells = values.shape[axis] / (self._height, self._width)[axis]
            first = math.floor(place[axis] * cells + _TINY)
            last = max(math.ceil((place[axis] + size[axis]) * cells - _TINY), first + 1)
            line = Line(size[axis] / length, -(start + begin) * size[axis] / length + place[axis])
            lines.append(line.then(cells, -first))
            values = values[first:last] if axis == 0 else values[:, first:last]
        values = np.maximum(values, 0)
        peak = float(values.max())
        values = values / np.float32(peak) if peak > _TINY else np.zeros_like(values)
        return SaliencyMap(values, face, lines[0], lines[1])


def whole(image: Image) -> Box:
    """The box of all of an image (H, W) or (H, W, C)."""
    return 0, 0, image.shape[1], image.shape[0]


def face_box(box: Sequence[float] | None, image: Image) -> tuple[Box, Box]:
    """The box of a face and the part of it that is within the image, both as left, top, right, bottom.

    Args:
        box: x, y, width, height in pixels, rounded to whole ones; None for the whole image.

    Raises:
        InputError: the box is not four finite numbers, is empty, or has no pixel of the image in it.
    """
    height, width = image.shape[:2]
    if box is None:
        return whole(image), whole(image)
    try:
        x, y, across, down = (float(value) for value in box)
        numbers = all(map(math.isfinite, (x, y, across, down)))
    except (TypeError, ValueError):
        numbers = False
    if not numbers:
        raise InputError(f"the box of the face is {box!r}, expected four numbers: x, y, width, height in pixels")
    left, top = math.floor(x + 0.5), math.floor(y + 0.5)
    face = (left, top, left + math.floor(across + 0.5), top + math.floor(down + 0.5))
    crop = (max(face[0], 0), max(face[1], 0), min(face[2], width), min(face[3], height))
    if crop[0] >= crop[2] or crop[1] >= crop[3]:
        raise InputError(
            f"the box of the face is x {x:g}, y {y:g}, width {across:g}, height {down:g}: no pixel of an image of "
            f"{width}x{height} is in it",
            hint="leave the box out for an image that is cropped to the face",
        )
    return face, crop


def _positions(now: tuple[int, int], then: tuple[int, int], crop: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Where the pixels of `crop` were in the frame of the map, on one axis."""
    pixels = np.arange(crop[0], crop[1], dtype=np.float64) + 0.5
    return then[0] + (pixels - now[0]) * ((then[1] - then[0]) / (now[1] - now[0]))


def _interpolated(values: npt.NDArray[np.float32], at: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The rows of `values` (n, m) at positions (k,): (k, m)."""
    index = np.clip(at - 0.5, 0, len(values) - 1)
    below = np.minimum(index.astype(np.intp), max(len(values) - 2, 0))
    above = np.minimum(below + 1, len(values) - 1)
    share = (index - below).astype(np.float32)[:, None]
    found: npt.NDArray[np.float32] = values[below] + share * (values[above] - values[below])
    return found
