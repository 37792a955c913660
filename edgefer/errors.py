"""Every error that a user of edgefer can cause, as one small tree.

Each message says what was found and what was expected; `hint` says what to do. `exit_code` is what the command line
returns for it: 1 failed, 2 usage, 3 environment, 4 accuracy budget exceeded.
"""

from __future__ import annotations

from typing import ClassVar


class EdgeferError(Exception):
    """Base of all errors raised on purpose by edgefer.

    Args:
        message: what was found and what was expected, in one sentence.
        hint: what the user can do about it.
        details: longer material, such as a log tail or the list of offending names; printed after the message.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        parts = [self.message]
        if self.details:
            parts.append(self.details)
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries here (compile and simplify run in children); the default pickling
        # would call the constructor without its keyword-only arguments.
        return (_rebuild, (type(self), self.message, self.hint, self.details))


def _rebuild(cls: type[EdgeferError], message: str, hint: str, details: str) -> EdgeferError:
    return cls(message, hint=hint, details=details)


class UsageError(EdgeferError):
    """An option, a flag or a field of the specification cannot be what it is."""

    exit_code = 2


class EnvironmentMismatch(EdgeferError):
    """Something this machine would need is missing or of the wrong version: a package, a driver, a GPU."""

    exit_code = 3


class PluginMissing(EnvironmentMismatch):
    """A graph needs a TensorRT plugin that is not registered."""


class EngineMissing(EnvironmentMismatch):
    """The cache holds no engine for what is asked on this machine, and none may be built."""


class DeviceError(EnvironmentMismatch):
    """The CUDA driver or the GPU reported an error."""


class BundleError(EdgeferError):
    """A file is not a bundle, or not a whole one, or not one of a version that this edgefer reads."""


class ArchiveError(EdgeferError):
    """A file is not an archive of engines, or not a whole one, or not one that this edgefer reads."""


class SignatureError(EdgeferError):
    """A file is not signed, or not by the key that it should be signed by, or a key cannot be used."""


class InputError(EdgeferError):
    """Data handed in has the wrong shape, type, range, name or content."""


class DataError(InputError):
    """A data set on disk cannot be read as the layout says."""


class CheckpointError(InputError):
    """A checkpoint cannot be read or does not fit the network."""


class StaleInput(InputError):
    """A frame is older than the runtime may use."""


class TrainingError(EdgeferError):
    """A training diverged, or ended before there was anything to keep."""


class ExportError(EdgeferError):
    """A network could not be exported, or its ONNX does not compute what the network computes."""


class CalibrationError(EdgeferError):
    """Quantisation was asked for without usable calibration data, or gave unusable ranges."""


class CompileError(EdgeferError):
    """TensorRT refused a graph, or the process compiling it died."""


class EngineIncompatible(EdgeferError):
    """An engine was built for another GPU, driver, TensorRT or bundle."""


class AnswerPending(EdgeferError, TimeoutError):
    """An answer is not there after the time that was to be waited for it; it still comes."""


class AccuracyBudgetExceeded(EdgeferError):
    """The quantised network is measurably worse than the budget allows."""

    exit_code = 4


class EdgeferWarning(UserWarning):
    """Something was done in another way than could be expected, such as on the CPU although there is a GPU."""
