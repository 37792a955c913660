"""How a measuring child answers: one line of JSON behind a prefix, its own or that of a typed error.

Nothing heavy is imported here: this module is among what a cold start waits for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from edgefer.errors import EdgeferError

PREFIX = b"edgefer-answer "
"""Libraries may print lines of their own."""

_PR_SET_PDEATHSIG = 1


def answer(measure: Callable[[], dict[str, Any]]) -> int:
    """Measure and print; the exit status. The process ends with its parent, so that nothing measures for nobody."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        _print(measure())
    except EdgeferError as error:
        _print(
            {
                "kind": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
                "details": error.details,
            }
        )
        return 1
    return 0


def _print(value: dict[str, Any]) -> None:
    import json

    # One write, so that no line of a library's thread comes in between.
    os.write(sys.stdout.fileno(), PREFIX + json.dumps(value).encode() + b"\n")
