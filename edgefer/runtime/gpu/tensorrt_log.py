"""What TensorRT says in this process, and the one logger that hears it.

TensorRT takes the first logger of a process for all that comes later, and keeps its address: it is made once for each
TensorRT and never given back. Nothing of it goes to standard error, which is the caller's; warnings and errors are kept
for the messages of exceptions.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from edgefer.engine.builder import BuildLog, logger_for
from edgefer.engine.trt_runtime import new_runtime

_KEPT_ERRORS = 50


@dataclass
class RuntimeLog(BuildLog):
    """The last warnings and errors, and nothing else."""

    def add(self, severity: str, message: str) -> None:
        if severity in ("VERBOSE", "INFO"):
            return
        self.tail.append(f"[{severity}] {message}")
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(message)
            del self.errors[:-_KEPT_ERRORS]

    def forget(self) -> None:
        """What was said before belongs to another engine."""
        self.errors.clear()
        self.tail.clear()


_lock = threading.Lock()
_loggers: dict[int, tuple[Any, Any, RuntimeLog]] = {}


def runtime_log(trt: Any) -> tuple[Any, RuntimeLog]:
    """The logger of this TensorRT, and what it has heard."""
    with _lock:
        if id(trt) not in _loggers:
            log = RuntimeLog()
            _loggers[id(trt)] = (trt, logger_for(trt, log), log)
        _, logger, log = _loggers[id(trt)]
        return logger, log


def runtime(trt: Any) -> Any:
    """A runtime that writes to the log of `runtime_log`. The GPU's context has to be there already, as `new_runtime`
    says.

    Raises:
        EngineIncompatible: TensorRT gave none.
    """
    return new_runtime(trt, *runtime_log(trt))
