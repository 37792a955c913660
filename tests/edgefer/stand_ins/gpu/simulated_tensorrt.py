"""What stands for the module tensorrt: engines that are Python functions, run when a stream comes to them.

    trt = SimulatedTensorRt(gpu)
    plan = trt.plan("double", EngineSpec(inputs={"x": ((-1, 4), "float32")}, outputs={"y": ((-1, 4), "float32")},
                                         batches=(1, 4), function=lambda feeds: {"y": 2 * feeds["x"]}))

`plan` are bytes that name the engine; they can be put into the real cache of engines. A batch of -1 is dynamic and has
one profile for each of `batches`.
"""

from __future__ import annotations

import numpy as np
from signatures import TENSORRT, TENSORRT_MEMBERS, check
from simulated_engine import Engine
from simulated_execution import Context
from simulated_gpu import SimulatedGpu
from tensorrt_parts import (
    TYPES,
    DataType,
    EngineSpec,
    ExecutionContextAllocationStrategy,
    ILogger,
    Part,
    Severity,
    TensorIOMode,
    TensorLocation,
)

__all__ = ["Context", "DataType", "Engine", "EngineSpec", "ILogger", "SimulatedTensorRt", "TensorLocation"]

MAGIC = b"simulated plan "


class Runtime(Part):
    _kind = "Runtime"

    def __init__(self, trt: SimulatedTensorRt, logger: ILogger) -> None:
        super().__init__(trt)
        self._logger = logger
        if not getattr(logger, "constructed", False):
            raise TypeError("ILogger.__init__() must be called when overriding __init__")

    def _say(self, text: str) -> None:
        self._logger.log(Severity.ERROR, text)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        fault = self._call("deserialize_cuda_engine", serialized_engine)
        data = bytes(serialized_engine)
        spec = self._trt.specs.get(data)
        if fault is not None or spec is None:
            self._say("IRuntime::deserializeCudaEngine: Error Code 1: Serialization (the plan was not made for this)")
            return None
        try:
            return Engine(self._trt, self, spec)
        except MemoryError:
            self._say("IRuntime::deserializeCudaEngine: Error Code 2: OutOfMemory")
            return None


class Builder:
    """There, so that this is taken for a whole TensorRT; it builds nothing."""

    def __init__(self, logger: ILogger) -> None:
        raise NotImplementedError("the simulation has no builder")


class OnnxParser:
    """There, so that this is taken for a whole TensorRT; it parses nothing."""


class SimulatedTensorRt:
    """The module, for one simulated GPU. `version` decides what it has, as far as the runtime asks."""

    TensorIOMode, TensorLocation, DataType, ILogger = TensorIOMode, TensorLocation, DataType, ILogger
    ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy
    Builder, OnnxParser, IExecutionContext, ICudaEngine = Builder, OnnxParser, Context, Engine

    def __init__(self, gpu: SimulatedGpu, version: str = "10.3.0") -> None:
        self.gpu, self.__version__ = gpu, version
        self.__file__ = "/simulated/tensorrt/__init__.py"
        self.before_11 = int(version.split(".")[0]) < 11
        self.specs: dict[bytes, EngineSpec] = {}
        assert set(TENSORRT_MEMBERS["DataType"]) == {each.name for each in DataType}

    def plan(self, name: str, spec: EngineSpec) -> bytes:
        """The bytes of an engine under this name."""
        data = MAGIC + name.encode()
        self.specs[data] = spec
        return data

    def Runtime(self, logger: ILogger) -> Runtime | None:  # noqa: N802 - TensorRT's name
        check(TENSORRT, "Runtime", (logger,), {})
        return None if self.gpu.record("Runtime") is not None else Runtime(self, logger)

    def nptype(self, trt_type: DataType) -> type:
        check(TENSORRT, "nptype", (trt_type,), {})
        found = next(name for name, kind in TYPES.items() if kind == trt_type)
        return np.dtype(found).type

    def init_libnvinfer_plugins(self, logger: ILogger, namespace: str) -> bool:
        check(TENSORRT, "init_libnvinfer_plugins", (logger, namespace), {})
        return True
