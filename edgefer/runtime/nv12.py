"""NV12, the format of video decoders and of a Jetson's cameras: luma, and half as wide and high, pairs of chroma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from edgefer.errors import InputError

YuvMatrix = Literal["bt601", "bt709"]
ChromaSite = Literal["centre", "left"]

# Of red, green and blue: the coefficients of luma in ITU-R BT.601 and BT.709.
_LUMA: dict[YuvMatrix, tuple[float, float, float]] = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
}


@dataclass(frozen=True, eq=False)
class Nv12:
    """A frame in NV12, as it is in memory.

    Attributes:
        luma: (H, W) uint8, an array of NumPy or in GPU memory (`__cuda_array_interface__`).
        chroma: pairs Cb, Cr, (ceil(H/2), ceil(W/2), 2) uint8, likewise and in the same memory.
        matrix: what R, G and B were converted by: ITU-R BT.601 or BT.709.
        full_range: luma is from 0 to 255, not from 16 to 235.
        site: where a pair of chroma stands: amid its four pixels, or at the left two as in H.264 and H.265.
    """

    luma: Any
    chroma: Any
    matrix: YuvMatrix = "bt601"
    full_range: bool = False
    site: ChromaSite = "centre"

    def __post_init__(self) -> None:
        if self.matrix not in get_args(YuvMatrix) or self.site not in get_args(ChromaSite):
            raise InputError(
                f"an NV12 frame has the matrix {self.matrix!r} and its chroma at {self.site!r}, expected one of "
                f"{', '.join(get_args(YuvMatrix))} and one of {', '.join(get_args(ChromaSite))}",
                hint="the driver of the camera or decoder says which: V4L2 in `ycbcr_enc` and `quantization`",
            )

    @staticmethod
    def from_rows(rows: Any, height: int, **said: Any) -> Nv12:
        """The frame of an array (H + ceil(H/2), W) uint8 of NumPy, W even: the luma, then the chroma in rows of as many
        bytes, as OpenCV and V4L2 give it.

        Args:
            rows: the array.
            height: H.
            said: matrix, full_range and site.

        Raises:
            InputError: the array has another shape.
        """
        array = np.asarray(rows)
        if array.ndim != 2 or array.shape[1] % 2 or array.shape[0] != height + -(-height // 2):
            raise InputError(
                f"an NV12 frame has the shape {array.shape}, expected ({height + -(-height // 2)}, W) with W even for "
                f"{height} rows",
                hint="where rows have gaps, pass luma and chroma to Nv12 as views of the memory",
            )
        return Nv12(array[:height], array[height:].reshape(-1, array.shape[1] // 2, 2), **said)


def rgb_of_yuv(matrix: YuvMatrix, *, full_range: bool) -> tuple[float, ...]:
    """Rows for R, G and B of (Y, Cb, Cr, 1), all in levels of 0 to 255, by ITU-R BT.601 (2.5) or BT.709 (3.2, 4.2)."""
    red, green, blue = _LUMA[matrix]
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    of_blue, of_red = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    rows = (
        (0.0, of_red),
        (-of_blue * blue / green, -of_red * red / green),
        (of_blue, 0.0),
    )
    return tuple(
        number for first, second in rows for number in (luma, first, second, -luma * black - 128 * (first + second))
    )
