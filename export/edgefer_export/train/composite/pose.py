"""Where the face goes: a random affine pose, and images brought into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from edgefer.runtime.vision import opencv
from edgefer_export.train.composite.ranges import PoseRanges

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

# The face is made 128 pixels wide and gets a black border of 10 on every side.
FACE_SHARE = 128 / 148


@dataclass(frozen=True)
class Pose:
    """One draw: scale (1 leaves the size), mirrored or not, degrees, shares of the side (x, y), and shares of the side
    (3, 2) by which the corners at top left, bottom left and top right are displaced."""

    scale: float
    mirrored: bool
    rotation: float
    translation: tuple[float, float]
    warp: Matrix


def draw_pose(rng: np.random.Generator, ranges: PoseRanges) -> Pose:
    """A pose within the ranges."""
    return Pose(
        scale=1.0 + ranges.scale * rng.uniform(-1.0, 1.0),
        mirrored=bool(rng.random() < ranges.flip),
        rotation=ranges.rotation * rng.uniform(-1.0, 1.0),
        translation=(ranges.translation * rng.uniform(-1.0, 1.0), ranges.translation * rng.uniform(-1.0, 1.0)),
        warp=ranges.warp * rng.uniform(-1.0, 1.0, (3, 2)),
    )


def matrix_of(pose: Pose, height: int, width: int) -> Matrix:
    """The affine map (2, 3) from pixels (x, y) of a face that fills the image to those of the posed one.

    In order: smaller by the border, scaled, mirrored and turned about the centre, moved, and warped.
    """
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    angle = np.deg2rad(pose.rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = FACE_SHARE * pose.scale * turn @ np.diag([-1.0 if pose.mirrored else 1.0, 1.0])
    moved = centre + np.array(pose.translation) * (width, height)
    posed = np.column_stack([linear, moved - linear @ centre])
    return cast(Matrix, _warp(pose.warp, height, width) @ np.vstack([posed, [0.0, 0.0, 1.0]]))


def _warp(shares: Matrix, height: int, width: int) -> Matrix:
    """The affine map (2, 3) that displaces three corners by shares of the sides."""
    corners = np.array([[0.0, 0.0], [0.0, height], [width, 0.0]])
    homogeneous = np.column_stack([corners, np.ones(3)])
    return cast(Matrix, np.linalg.solve(homogeneous, corners + shares * (width, height)).T)


def posed(image: Pixels, matrix: Matrix) -> Pixels:
    """An image (H, W, 3) in the pose, bilinearly, on black."""
    cv2 = opencv()
    height, width = image.shape[:2]
    return cast(Pixels, cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR))


def posed_mask(mask: Mask, matrix: Matrix, margin: int = 0) -> Mask:
    """A mask (H, W) of 0 and 1 in the pose, 0 around it, with `margin` pixels more on every side than the picture has:
    (H + 2 margin, W + 2 margin)."""
    cv2 = opencv()
    height, width = mask.shape
    shifted = matrix + np.array([[0.0, 0.0, margin], [0.0, 0.0, margin]])
    size = (width + 2 * margin, height + 2 * margin)
    return cast(Mask, cv2.warpAffine(mask, shifted, size, flags=cv2.INTER_NEAREST))
