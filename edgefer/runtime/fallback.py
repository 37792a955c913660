"""When a GPU that is there is not used: what may be passed over, and how its owner hears of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from edgefer.engine.driver import cuda_driver
from edgefer.errors import BundleError, CompileError, EdgeferWarning, EngineIncompatible, EnvironmentMismatch

PASSED_OVER = (BundleError, EnvironmentMismatch, CompileError, EngineIncompatible)
"""What a runner raises that cannot be had here, or not for this graph: another may serve it. With EnvironmentMismatch
come DeviceError and PluginMissing."""

_SAID: ContextVar[set[str] | None] = ContextVar("edgefer_said", default=None)


@contextmanager
def warning_once() -> Iterator[None]:
    """Inside of the block a GPU that is not used is warned of once for each reason: several graphs open as one."""
    token = _SAID.set(set())
    try:
        yield
    finally:
        _SAID.reset(token)


def warn_of_unused_gpu(reason: str) -> None:
    """Warn with the reason where this machine has an NVIDIA GPU; it is no news on one that has none.

    The warning is laid at the line outside edgefer that opened the session.
    """
    said, gpus = _SAID.get(), cuda_driver().gpus
    if said is not None:
        if reason in said:
            return
        said.add(reason)
    if gpus:
        message = (
            f"the NVIDIA GPU of this machine ({gpus[0].name}) is not used, the CPU answers: {reason}; "
            "device='tensorrt' makes this an error, with details, and device='cpu' says that it is meant so"
        )
        warnings.warn(EdgeferWarning(message), stacklevel=outside())


def outside() -> int:
    """How many calls away the first line outside edgefer is from the function that asks, as `warnings.warn` counts."""
    level, frame = 1, sys._getframe(1)
    while _ours(frame) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level


def _ours(frame: FrameType) -> bool:
    # A context manager of edgefer's is called by way of contextlib.
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("edgefer", "contextlib")
