"""edgefer: expression recognition on embedded GPUs, from checkpoint to verified engine to answer."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from edgefer import errors
from edgefer.errors import (
    AccuracyBudgetExceeded,
    AnswerPending,
    ArchiveError,
    BundleError,
    CalibrationError,
    CheckpointError,
    CompileError,
    DataError,
    DeviceError,
    EdgeferError,
    EdgeferWarning,
    EngineIncompatible,
    EngineMissing,
    EnvironmentMismatch,
    ExportError,
    InputError,
    PluginMissing,
    SignatureError,
    StaleInput,
    TrainingError,
    UsageError,
)
from edgefer.version import __version__

if TYPE_CHECKING:
    from edgefer.bundle.container import Bundle
    from edgefer.runtime.estimate import Estimate
    from edgefer.runtime.gpu_settings import GpuSettings
    from edgefer.runtime.pending import PendingEstimate
    from edgefer.runtime.saliency import SaliencySession
    from edgefer.runtime.session import Session, load

# onnxruntime's wheels report to their maker when they are imported, and leave a file in the folder of temporary files.
# What runs in a car with faces before it reports to nobody, unless its owner says so beforehand.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "AccuracyBudgetExceeded",
    "AnswerPending",
    "ArchiveError",
    "Bundle",
    "BundleError",
    "CalibrationError",
    "CheckpointError",
    "CompileError",
    "DataError",
    "DeviceError",
    "EdgeferError",
    "EdgeferWarning",
    "EngineIncompatible",
    "EngineMissing",
    "EnvironmentMismatch",
    "Estimate",
    "ExportError",
    "GpuSettings",
    "InputError",
    "PendingEstimate",
    "PluginMissing",
    "SaliencySession",
    "Session",
    "SignatureError",
    "StaleInput",
    "TrainingError",
    "UsageError",
    "__version__",
    "errors",
    "load",
]

# Found on first use: a program that only catches errors, or asks for the version, does not wait for NumPy and msgspec.
_LAZY = {
    "Bundle": "edgefer.bundle.container",
    "Estimate": "edgefer.runtime.estimate",
    "GpuSettings": "edgefer.runtime.gpu_settings",
    "PendingEstimate": "edgefer.runtime.pending",
    "SaliencySession": "edgefer.runtime.saliency",
    "Session": "edgefer.runtime.session",
    "load": "edgefer.runtime.session",
}


def __getattr__(name: str) -> object:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'edgefer' has no attribute '{name}'")
    value: object = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
