"""Views: which pixels of a camera's frame become a network's input, and how they get there.

A view has a homography from pixels of the input to those of the frame, both with whole numbers at the centres of
pixels; the picture, beyond whose area is the pad level; and how many samples are taken along a pixel of the input. At
the edge of the picture its last pixels are repeated for half a pixel, as a resize does. Samples are as many as the
manifest's rule `area-bilinear` takes (`edgefer.runtime.resize`), but for its halving: where both sides shrink to less
than a third, the rule takes means of 2x2 pixels first, and a view a sample for each pixel.

The pre-processing kernel takes views in GPU memory (`edgefer.kernels.preprocess_view`), and the CPU takes the same ones
(`edgefer.runtime.view_pixels`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import InputError
from edgefer.runtime.geometry import Box, Geometry
from edgefer.runtime.resize import THREE_FROM, TWO_FROM

Matrix = npt.NDArray[np.float64]
Size = tuple[int, int]
"""Height and width."""

MOST_SAMPLES = 16
"""Along each side; where a side shrinks more than that, pixels between the samples do not count."""

_FARTHEST = 1 << 30


@dataclass(frozen=True)
class View:
    """`to_source` (3, 3), float64: (x, y, 1) of the input to homogeneous (x, y, w) of the frame. `crop` is the picture;
    `samples` are along x and y."""

    to_source: Matrix
    crop: Box
    samples: tuple[int, int]

    def behind(self, homography: npt.ArrayLike, size: Size, frame: Size) -> View:
        """This view of another camera, whose frames are of the size `frame` and lie behind those of this one by
        `homography` (3, 3), from this camera's pixels to the other's. `size` is that of the input.

        Raises:
            InputError: the homography is none.
        """
        return through(checked(homography) @ self.to_source, size, frame)


def fitted(image: ImageSpec, size: Size, frame: Size) -> View:
    """The view of a whole frame as the manifest says: crop, fit and resizing, to an input of `size`."""
    geometry = Geometry(image, *size)
    left, top, right, bottom = geometry.box(*frame)
    height, width = geometry.size(bottom - top, right - left)
    first_row, first_column = geometry.place(height, width)
    across, down = (right - left) / width, (bottom - top) / height
    matrix = _scaling(across, down, left - first_column * across, top - first_row * down)
    samples = (1, 1) if image.resize == "bilinear" else (samples_of(across), samples_of(down))
    return View(matrix, (left, top, right, bottom), samples)


def over_box(box: Sequence[float], size: Size, frame: Size, *, angle: float = 0.0) -> View:
    """The view of a box, such as a face, that fills the input of `size`; beyond the frame is the pad level.

    Args:
        box: left, top, right, bottom in pixels of the frame, in whole numbers or not; pixel i lies from i to i + 1.
        angle: radians by which the box is turned about its middle, from the axis x to the axis y.

    Raises:
        InputError: the box has no area, or a number is not finite; or a size is none.
    """
    _check_sizes(size, frame)
    if len(box) != 4 or not all(map(math.isfinite, (*box, angle))) or box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(
            f"the box is {tuple(box)} at the angle {angle}, expected finite left < right and top < bottom",
            hint="leave out frames without a face",
        )
    left, top, right, bottom = box
    height, width = size
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine, (left + right) / 2], [sine, cosine, (top + bottom) / 2], [0, 0, 1]])
    across, down = (right - left) / width, (bottom - top) / height
    middle = np.array([[across, 0, -(right - left) / 2], [0, down, -(bottom - top) / 2], [0, 0, 1]])
    return through(_shift(-0.5) @ turn @ middle @ _shift(0.5), size, frame)


def through(homography: npt.ArrayLike, size: Size, frame: Size) -> View:
    """The view of a whole frame through a homography (3, 3) from the input's pixels to the frame's. Samples are as many
    as the corner of the input needs at which the frame is seen smallest.

    Raises:
        InputError: the homography or a size is none.
    """
    _check_sizes(size, frame)
    matrix = checked(homography)
    # Without perspective it is the same everywhere.
    last = (size[1] - 1, size[0] - 1) if matrix[2, 0] or matrix[2, 1] else (0, 0)
    scales = [_scale_at(matrix, x, y) for x in {0, last[0]} for y in {0, last[1]}]
    return View(
        matrix,
        (0, 0, frame[1], frame[0]),
        (samples_of(max(scale[0] for scale in scales)), samples_of(max(scale[1] for scale in scales))),
    )


def of_frame(value: object, size: Size, frame: Size, name: str) -> View:
    """What a caller gave for a camera, as a view: a `View`, or a homography (3, 3) from the input's pixels to those of
    the frame (`through`).

    Args:
        value: one of both.
        size: that of the input.
        frame: that of the frame.
        name: the camera, for messages.

    Raises:
        InputError: it is neither, or holds numbers that no view has.
    """
    if not isinstance(value, View):
        if not isinstance(value, np.ndarray):
            raise InputError(
                f"the view of the {name} camera is a {type(value).__name__}, expected a View or a homography (3, 3)",
                hint="edgefer.runtime.view makes views: over_box for a face, through for a homography",
            )
        return through(value, size, frame)
    matrix = checked(value.to_source)
    whole = all(isinstance(number, (int, np.integer)) for number in (*value.crop, *value.samples))
    if (
        (len(value.crop), len(value.samples), whole) != (4, 2, True)
        or not all(-_FARTHEST <= edge <= _FARTHEST for edge in value.crop)
        or not all(1 <= count <= MOST_SAMPLES for count in value.samples)
    ):
        raise InputError(
            f"the view of the {name} camera has the picture {value.crop} and the samples {value.samples}, expected "
            f"whole pixels of the frame (left, top, right, bottom) and 1 to {MOST_SAMPLES} samples along x and y"
        )
    return value if matrix is value.to_source else replace(value, to_source=matrix)


def samples_of(scale: float) -> int:
    """How many samples along a side that shrinks by `scale`: k of the rule `area-bilinear`, at most `MOST_SAMPLES`."""
    if not scale >= TWO_FROM:
        return 1
    return 2 if scale < THREE_FROM else math.floor(min(scale, MOST_SAMPLES) + 0.5)


def checked(homography: npt.ArrayLike) -> Matrix:
    """A homography as an array.

    Raises:
        InputError: it is not (3, 3), has numbers that are not finite in single precision, or has no inverse.
    """
    try:
        given = np.asarray(homography)
    except ValueError:  # rows of different lengths
        given = np.empty(0)
    if given.dtype.kind not in "fiu":
        raise InputError(
            f"a homography has elements of type {given.dtype}, expected real numbers",
            hint="np.asarray(homography, np.float64)",
        )
    matrix = given.astype(np.float64, copy=False)
    with np.errstate(over="ignore"):  # the kernel has it in single precision
        finite = np.isfinite(matrix.astype(np.float32)).all()
    if matrix.shape != (3, 3) or not finite or not np.linalg.det(matrix):
        raise InputError(
            f"a homography of the shape {matrix.shape} is not 3x3, finite and invertible",
            details=str(matrix),
            hint="calibrate the cameras anew, or leave out the frame",
        )
    return matrix


def _check_sizes(size: Size, frame: Size) -> None:
    """A frame's may be its whole shape, with the channels behind."""
    for what, value, most in (("input", size, 2), ("frame", frame, 3)):
        if not isinstance(value, (tuple, list)) or not 2 <= len(value) <= most or min(value) < 1:
            raise InputError(
                f"the size of the {what} is {value!r}, expected (height, width)",
                hint="session.graph.inputs[0].shape[2:] is an input's, frame.shape[:2] a frame's",
            )


def _scale_at(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """How far apart in the frame neighbours along x and along y of the input lie, at one of its pixels."""
    over, w = matrix[:2] @ (x, y, 1.0), float(matrix[2] @ (x, y, 1.0))
    with np.errstate(all="ignore"):
        slopes = (matrix[:2, :2] * w - np.outer(over, matrix[2, :2])) / (w * w)
    across, down = np.hypot(slopes[0], slopes[1])
    return float(across), float(down)


def _scaling(across: float, down: float, left: float, top: float) -> Matrix:
    """From the input's pixels to the frame's, where the input's edge is at `left` and `top` of the frame."""
    return np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5], [0, 0, 1]])


def _shift(distance: float) -> Matrix:
    return np.array([[1, 0, distance], [0, 1, distance], [0, 0, 1.0]])
