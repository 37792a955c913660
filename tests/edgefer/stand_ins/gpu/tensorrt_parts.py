"""What the simulated TensorRT is made of: enumerations, the logger, what an engine is, and what all objects share."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from signatures import TENSORRT, check
from simulated_gpu import SimulatedGpu

if TYPE_CHECKING:
    from simulated_tensorrt import SimulatedTensorRt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EngineSpec:
    """Names to shapes and types, as NumPy names them; `function` from inputs to outputs, whole batches.

    `activation_bytes` is for a batch of one. `capturable`: whether an enqueue may be recorded.
    """

    inputs: Mapping[str, tuple[tuple[int, ...], str]]
    outputs: Mapping[str, tuple[tuple[int, ...], str]]
    function: Callable[[dict[str, Array]], Mapping[str, Array]]
    batches: tuple[int, ...] = (1,)
    activation_bytes: int = 4096
    weight_bytes: int = 1024
    capturable: bool = True

    @property
    def tensors(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return {**self.inputs, **self.outputs}

    @property
    def dynamic(self) -> bool:
        return any(shape[:1] == (-1,) for shape, _ in self.inputs.values())

    def activation(self, profile: int) -> int:
        return self.activation_bytes * (self.batches[profile] if self.dynamic else 1)


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class TensorLocation(enum.IntEnum):
    DEVICE = 0
    HOST = 1


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    INT64 = 8


class ExecutionContextAllocationStrategy(enum.IntEnum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


TYPES = {
    "float32": DataType.FLOAT,
    "float16": DataType.HALF,
    "int8": DataType.INT8,
    "int32": DataType.INT32,
    "bool": DataType.BOOL,
    "uint8": DataType.UINT8,
    "int64": DataType.INT64,
}


class Severity(enum.IntEnum):
    __str__ = enum.Enum.__str__  # the bindings' enumerations are written with their class on every Python

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self) -> None:
        self.constructed = True

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class Part:
    """An object of TensorRT: its calls are checked and recorded, and its end is."""

    _kind = ""

    def __init__(self, trt: SimulatedTensorRt) -> None:
        self._trt, self._gpu = trt, trt.gpu
        self.number = trt.gpu.number()
        trt.gpu.history.append(("open", self._kind, self.number))

    def _call(self, method: str, *arguments: Any) -> Any:
        """Check and record a call, the object's number first; the fault that it shall have, or None."""
        name = f"{self._kind}.{method}"
        check(TENSORRT, name, arguments, {})
        return self._gpu.record(name, self.number, *arguments)

    def _end(self) -> None:
        self._gpu.record(f"{self._kind}.destroyed", self.number)
        self._gpu.history.append(("close", self._kind, self.number))

    def __del__(self) -> None:
        if hasattr(self, "_gpu"):
            self._end()


def take(gpu: SimulatedGpu, size: int) -> int:
    """Memory that TensorRT takes for itself."""
    if gpu.record("TensorRT.allocate", size) is not None:
        raise MemoryError
    return gpu.memory.allocate(size, "engine").address


def give(gpu: SimulatedGpu, address: int) -> None:
    with gpu.lock:
        gpu.calls.append(("TensorRT.free", (address,)))
        if not sum(gpu.retained.values()):
            gpu.violations.append("an object of TensorRT was destroyed after the context was released")
        gpu.memory.free(address)
