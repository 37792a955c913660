"""Where one might look at a synthetic face: blobs on the eyes and the mouth.

Nobody was seen to look there. The maps exist so that a network can be taught them and the whole path be tried; eyes and
mouth are what people look at most in faces (Yarbus, "Eye Movements and Vision", 1967).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edgefer_export.data.synthetic.geometry import FIXED_POINT_BITS, FixedPoints

_PLACES = {"left_eye": 1.0, "right_eye": 1.0, "mouth_line": 0.8}
"""Curves of a face, and how much is looked at them."""
_SPREAD = 0.2
"""Standard deviation of a blob in half face widths."""


def fixation_map(curves: Mapping[str, FixedPoints], half_width: float, side: int) -> npt.NDArray[np.uint8]:
    """The map (side, side) of a face: Gaussians at the centres of its eyes and mouth, the largest value 255.

    Args:
        curves: the projected curves of the face, see `FaceCurves.project`.
        half_width: of the face, in pixels.
        side: of the picture.
    """
    at = np.arange(side) + 0.5
    spread = 2 * (_SPREAD * half_width) ** 2
    found = np.zeros((side, side))
    for name, weight in _PLACES.items():
        x, y = curves[name].mean(axis=0) / (1 << FIXED_POINT_BITS) + 0.5
        blob = np.exp(-((at - y) ** 2) / spread)[:, None] * np.exp(-((at - x) ** 2) / spread)[None]
        found = np.maximum(found, weight * blob)
    peak = found.max()
    return np.rint(found * (255 / peak) if peak > 0 else found).astype(np.uint8)
