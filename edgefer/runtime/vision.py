"""OpenCV, imported when an image is first handled and not before."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from edgefer.errors import EnvironmentMismatch


def opencv() -> Any:
    """The module `cv2`.

    Raises:
        EnvironmentMismatch: it is not installed, or cannot be loaded.
    """
    loaded = sys.modules.get("cv2")
    if loaded is not None:
        return loaded
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise EnvironmentMismatch(
            "handling images needs OpenCV, which cannot be imported",
            details=str(error),
            hint="pip install 'edgefer[vision]', or pass tensors to Session.infer instead of images",
        ) from error
