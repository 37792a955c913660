"""TensorRT's `Runtime`, made in one place."""

from __future__ import annotations

from typing import Any

from edgefer.engine.loaded import Log
from edgefer.errors import EngineIncompatible


def new_runtime(trt: Any, logger: Any, log: Log) -> Any:
    """A runtime that writes to `logger`, whose words `log` has. A context of the GPU has to be there already: a runtime
    that finds no GPU can be an object around nothing, of which the next call ends the process.

    Raises:
        EngineIncompatible: TensorRT gave none.
    """
    try:
        runtime = trt.Runtime(logger)
    except TypeError as error:  # what the bindings make of a constructor that returned a null pointer
        raise EngineIncompatible(f"TensorRT gave no runtime: {error}", details=log.text()) from error
    if runtime is None:
        raise EngineIncompatible("TensorRT gave no runtime", details=log.text())
    return runtime
