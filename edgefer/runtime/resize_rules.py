"""The resize rules that a manifest can state, by name.

Each maps n pixels of an axis to m; pixel i of the result stands at (i + 1/2) n / m - 1/2 of the original unless said
otherwise, beyond the border the border's pixels are repeated, and results are rounded to the image's type.

* `area-bilinear`: the rule of this project, see `edgefer.runtime.resize`. The nearest to what libraries call bilinear
  with antialiasing.
* `bilinear`: between the two neighbours on each axis, at any scale; `cv2.INTER_LINEAR`. Where it shrinks by more than
  two, some pixels do not count at all.
* `area`: the mean over the area that a pixel of the result covers; `cv2.INTER_AREA`. `bilinear` where an axis grows.
* `nearest`: pixel floor(i n / m); `cv2.INTER_NEAREST`.
* `bicubic`: four neighbours on each axis by the cubic convolution of R. Keys (1981) with a = -0.75, at any scale;
  `cv2.INTER_CUBIC`.
"""

from __future__ import annotations

import numpy.typing as npt

from edgefer.bundle.manifest import ResizeRule
from edgefer.runtime.resize import Pixel, area_bilinear
from edgefer.runtime.vision import opencv

_OF_OPENCV: dict[ResizeRule, str] = {
    "bilinear": "INTER_LINEAR",
    "area": "INTER_AREA",
    "nearest": "INTER_NEAREST",
    "bicubic": "INTER_CUBIC",
}


def resized(image: npt.NDArray[Pixel], height: int, width: int, rule: ResizeRule) -> npt.NDArray[Pixel]:
    """The image (H, W) or (H, W, C) resized to (height, width) or (height, width, C), of the same type.

    Returns `image` itself where it has that size already.

    Raises:
        EnvironmentMismatch: OpenCV is not installed.
    """
    if rule == "area-bilinear":
        return area_bilinear(image, height, width)
    if image.shape[:2] == (height, width):
        return image
    # What OpenCV does by INTER_AREA where an axis grows is neither an area filter nor linear between centres.
    if rule == "area" and (height > image.shape[0] or width > image.shape[1]):
        rule = "bilinear"
    cv2 = opencv()
    result: npt.NDArray[Pixel] = cv2.resize(image, (width, height), interpolation=getattr(cv2, _OF_OPENCV[rule]))
    return result
