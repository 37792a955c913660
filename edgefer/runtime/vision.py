"""OpenCV, imported when an image is first handled and not before."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

from edgefer.errors import EnvironmentMismatch

# While OpenCV is being imported it replaces itself in sys.modules, so that a second thread would find half a module.
_IMPORTING = threading.Lock()


def opencv() -> Any:
    """The module `cv2`.

    Raises:
        EnvironmentMismatch: it is not installed, or cannot be loaded.
    """
    try:
        with _IMPORTING:
            return sys.modules.get("cv2") or importlib.import_module("cv2")
    except ImportError as error:
        raise EnvironmentMismatch(
            "handling images needs OpenCV, which cannot be imported",
            details=str(error),
            hint="pip install 'edgefer[vision]', or pass tensors to Session.infer instead of images",
        ) from error
