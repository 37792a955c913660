"""Grey from colour."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import GreyWeights
from edgefer.runtime.vision import opencv

# Of red, green and blue.
_WEIGHTS = {"bt709": (0.2126, 0.7152, 0.0722), "average": (1 / 3, 1 / 3, 1 / 3)}


def grey(image: npt.NDArray[Any], colour: Literal["bgr", "rgb"], weights: GreyWeights) -> npt.NDArray[Any]:
    """The grey image (H, W) of a colour one (H, W, 3), of the same type, rounded.

    `bt601` is the luma of ITU-R BT.601 as OpenCV has it, 0.299 R + 0.587 G + 0.114 B; `bt709` that of BT.709,
    0.2126 R + 0.7152 G + 0.0722 B; `average` is (R + G + B) / 3.

    Raises:
        EnvironmentMismatch: OpenCV is not installed.
    """
    cv2 = opencv()
    if weights == "bt601":
        luma: npt.NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY if colour == "bgr" else cv2.COLOR_RGB2GRAY)
        return luma
    row = np.array([_WEIGHTS[weights]], np.float32)
    mixed: npt.NDArray[Any] = cv2.transform(image, row if colour == "rgb" else row[:, ::-1].copy())
    return mixed.reshape(image.shape[:2])
