"""Where the face is: from what is not black, or an ellipse where nothing tells; and cleaning after the pose."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from edgefer.runtime.vision import opencv
from edgefer_export.train.composite.pose import Mask, Pixels

MaskRule = Literal["auto", "non-black", "ellipse"]

# Of 255: JPEG leaves traces in what was black.
_BLACK = 8 / 255
# Half axes of the ellipse as shares of the sides. Aligned crops hold the face from ear to ear and from brow to chin.
_ELLIPSE = (0.40, 0.48)
# Side of the square that cleaning works with, at the 148 pixels of the public generator.
_SQUARE, _AT = 7, 148


def face_mask(image: Pixels, rule: MaskRule = "auto") -> Mask:
    """1 where the face is, (H, W), in an image (H, W, 3) in 0..1.

    `non-black` takes what is not black, which is right for faces that were cut out before. `ellipse` takes an ellipse
    in the middle, for aligned crops and synthetic faces, which have no mask: hair, ears and corners of the picture
    remain outside, and a face that is off the middle is cut. `auto` takes the first where most of the picture's border
    is black and most of its middle is not, else the second.
    """
    lit = image.max(axis=2) > _BLACK
    if rule == "auto":
        rule = "non-black" if _is_cut_out(lit) else "ellipse"
    return lit.astype(np.uint8) if rule == "non-black" else _ellipse(*lit.shape)


def _is_cut_out(lit: npt.NDArray[np.bool_]) -> bool:
    """Whether what is lit (H, W) is something on black, and not a dark picture."""
    height, width = lit.shape
    border = np.concatenate([lit[0], lit[-1], lit[1:-1, 0], lit[1:-1, -1]])
    middle = lit[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return bool(border.mean() <= 0.25 and middle.mean() >= 0.75)


def side_of_square(height: int, width: int) -> int:
    """Side of the square that a mask is cleaned with: 7 pixels at the 148 of the public generator, and as many in
    proportion here, at least 3 and odd."""
    return max(3, 2 * round((_SQUARE * min(height, width) / _AT - 1) / 2) + 1)


def cleaned(mask: Mask, side: int) -> Mask:
    """A mask (H, W) closed by a square, made smaller by half of it, and with its holes filled; 0 around it."""
    cv2 = opencv()
    square = np.ones((side, side), np.uint8)
    padded = np.pad(mask, side)
    padded = cv2.erode(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, square), square)
    return _filled(cast(Mask, padded))[side:-side, side:-side]


def _filled(mask: Mask) -> Mask:
    """The mask with every 0 that cannot reach the corner over other zeros made 1."""
    outside = mask.copy()
    opencv().floodFill(outside, None, (0, 0), 2)
    return cast(Mask, (outside != 2).astype(np.uint8))


def _ellipse(height: int, width: int) -> Mask:
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    inside = (x[None, :] / _ELLIPSE[0]) ** 2 + (y[:, None] / _ELLIPSE[1]) ** 2 <= 1.0
    return cast(Mask, inside.astype(np.uint8))
