"""What stands for the module tensorrt: engines that are Python functions, run when a stream comes to them.

    trt = SimulatedTensorRt(gpu)
    plan = trt.plan("double", EngineSpec(inputs={"x": ((-1, 4), "float32")}, outputs={"y": ((-1, 4), "float32")},
                                         batches=(1, 4), function=lambda feeds: {"y": 2 * feeds["x"]}))

`plan` are bytes that name the engine; they can be put into the real cache of engines. A batch of -1 is dynamic and has
one profile for each of `batches`.
"""

from __future__ import annotations

import enum
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from signatures import TENSORRT, TENSORRT_MEMBERS, check
from simulated_gpu import Refused, SimulatedGpu
from simulated_memory import IllegalUse
from simulated_streams import SimulatedStream, Work

Array = npt.NDArray[Any]
MAGIC = b"simulated plan "


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


_TYPES = {
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


class _Part:
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


class Runtime(_Part):
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


class Engine(_Part):
    _kind = "ICudaEngine"

    def __init__(self, trt: SimulatedTensorRt, runtime: Runtime, spec: EngineSpec) -> None:
        self._block = _take(trt.gpu, spec.weight_bytes)
        super().__init__(trt)
        self._runtime, self._spec = runtime, spec
        self.num_io_tensors = len(spec.tensors)
        self.num_optimization_profiles = len(spec.batches) if spec.dynamic else 1
        self.device_memory_size_v2 = max(spec.activation(each) for each in range(self.num_optimization_profiles))

    def _end(self) -> None:
        _give(self._gpu, self._block)
        super()._end()

    def get_tensor_name(self, index: int) -> str:
        self._call("get_tensor_name", index)
        return list(self._spec.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        self._call("get_tensor_mode", name)
        known = self._spec
        found = TensorIOMode.INPUT if name in known.inputs else TensorIOMode.OUTPUT
        return found if name in known.tensors else TensorIOMode.NONE

    def get_tensor_location(self, name: str) -> TensorLocation:
        self._call("get_tensor_location", name)
        return TensorLocation.DEVICE

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        self._call("get_tensor_shape", name)
        return self._spec.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> DataType:
        self._call("get_tensor_dtype", name)
        return _TYPES[self._spec.tensors[name][1]]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        self._call("get_tensor_profile_shape", name, profile_index)
        return [self._shape(name, profile_index)] * 3

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        self._call("get_device_memory_size_for_profile_v2", profile_index)
        return self._spec.activation(profile_index)

    def get_device_memory_size_for_profile(self, profile_index: int) -> int:
        self._call("get_device_memory_size_for_profile", profile_index)
        return self._spec.activation(profile_index)

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> Context | None:
        fault = self._call("create_execution_context", strategy)
        return self._context(fault, strategy == ExecutionContextAllocationStrategy.USER_MANAGED)

    def __getattr__(self, name: str) -> Any:
        if name == "create_execution_context_without_device_memory" and self._trt.before_11:  # gone since TensorRT 11
            return self._without_memory
        raise AttributeError(name)

    def _without_memory(self) -> Context | None:
        return self._context(self._call("create_execution_context_without_device_memory"), True)

    def _shape(self, name: str, profile: int) -> tuple[int, ...]:
        if not 0 <= profile < self.num_optimization_profiles:
            raise IndexError(profile)
        shape = self._spec.tensors[name][0]
        return (self._spec.batches[profile], *shape[1:]) if shape[:1] == (-1,) else shape

    def _context(self, fault: Any, user_managed: bool) -> Context | None:
        if fault is not None:
            self._runtime._say("ICudaEngine::createExecutionContext: Error Code 2: OutOfMemory")
            return None
        try:
            return Context(self._trt, self, user_managed)
        except MemoryError:
            self._runtime._say("ICudaEngine::createExecutionContext: Error Code 2: OutOfMemory")
            return None


class Context(_Part):
    """An execution context. `generation` counts what makes a graph of it invalid."""

    _kind = "IExecutionContext"

    def __init__(self, trt: SimulatedTensorRt, engine: Engine, user_managed: bool) -> None:
        self._block = 0 if user_managed else _take(trt.gpu, engine.device_memory_size_v2)
        super().__init__(trt)
        self._engine, self._user_managed = engine, user_managed
        self.active_optimization_profile = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._activation = (self._block, engine.device_memory_size_v2)
        self._ready = False
        self.generation = 0

    def _end(self) -> None:
        self._gpu.not_needed(self.number, "execution context")
        if self._block:
            _give(self._gpu, self._block)
        super()._end()

    def _refuse(self, text: str) -> bool:
        self._engine._runtime._say(f"IExecutionContext: Error Code 3: API Usage Error ({text})")
        return False

    def _changed(self, *, shape: bool = False) -> None:
        self.generation += 1
        if shape:
            self._ready = False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        fault = self._call("set_optimization_profile_async", profile_index, stream_handle)
        if fault is not None or not 0 <= profile_index < self._engine.num_optimization_profiles:
            return self._refuse(f"profile {profile_index}")
        self._gpu.stream(stream_handle)
        if profile_index != self.active_optimization_profile:
            self.active_optimization_profile = profile_index
            self._shapes.clear()
            self._changed(shape=True)
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        fault = self._call("set_input_shape", name, tuple(shape))
        wanted = tuple(int(each) for each in shape)
        spec = self._engine._spec
        if fault is not None or name not in spec.inputs:
            return self._refuse(f"{name} is no input")
        if wanted != self._engine._shape(name, self.active_optimization_profile):
            return self._refuse(f"{name}: {wanted} is not in profile {self.active_optimization_profile}")
        if self._shapes.get(name) != wanted:
            self._shapes[name] = wanted
            self._changed(shape=True)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        self._call("get_tensor_shape", name)
        return self._resolved(name)

    def _resolved(self, name: str) -> tuple[int, ...]:
        spec = self._engine._spec
        shape = spec.tensors[name][0]
        if shape[:1] != (-1,):
            return shape
        batches = {self._shapes[each][0] for each in spec.inputs if each in self._shapes}
        return (batches.pop() if len(batches) == 1 else -1, *shape[1:])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        fault = self._call("set_tensor_address", name, memory)
        if fault is not None or name not in self._engine._spec.tensors or not memory or memory % 256:
            return self._refuse(f"the address {memory:#x} for {name}")
        if self._addresses.get(name) != memory:
            self._addresses[name] = memory
            self._changed()
        return True

    def get_tensor_address(self, name: str) -> int:
        self._call("get_tensor_address", name)
        return self._addresses.get(name, 0)

    def set_device_memory(self, memory: int, size: int) -> None:
        self._call("set_device_memory", memory, size)
        if not self._user_managed:
            self._refuse("this context has its own memory")
            return
        if self._activation != (memory, size):
            self._activation = (memory, size)
            self._changed()

    @property
    def device_memory(self) -> int:
        return self._activation[0]

    @device_memory.setter
    def device_memory(self, memory: int) -> None:
        self.set_device_memory(memory, self._engine._spec.activation(self.active_optimization_profile))

    def infer_shapes(self) -> list[str]:
        self._call("infer_shapes")
        return self._unknown()

    def _unknown(self) -> list[str]:
        spec = self._engine._spec
        return [name for name in spec.inputs if spec.dynamic and name not in self._shapes]

    def execute_async_v3(self, stream_handle: int) -> bool:
        with self._gpu.lock:
            try:
                return self._execute(stream_handle)
            except IllegalUse as illegal:
                self._gpu.violations.append(f"execute_async_v3: {illegal}")
                raise
            except Refused as refused:
                return self._refuse(str(refused))

    def _execute(self, handle: int) -> bool:
        fault = self._call("execute_async_v3", handle)
        stream, spec = self._gpu.stream(handle), self._engine._spec
        if fault is not None:
            return self._refuse("enqueueV3 failed")
        if not self._gpu.stack:
            raise IllegalUse("an inference is enqueued without a current context")
        if self._unknown() or set(self._addresses) != set(spec.tensors):
            return self._refuse("not all shapes and addresses are set")
        needed = spec.activation(self.active_optimization_profile)
        memory, size = self._activation
        if not memory or size < needed:
            return self._refuse(f"{needed} bytes of device memory are needed")
        if stream.capture is not None and not (self._ready and spec.capturable):
            stream.capture.invalid = "execute_async_v3"
            return self._refuse("this cannot be captured: the first enqueue sets up what a capture forbids")
        self._ready = True
        self._gpu.put(stream, self._work(stream, memory, needed))
        return True

    def _work(self, stream: SimulatedStream, memory: int, needed: int) -> Work:
        """The run with the shapes and addresses of now; it does not keep the context alive."""
        gpu, spec, generation, captured = self._gpu, self._engine._spec, self.generation, stream.capture is not None
        addresses, alive = dict(self._addresses), weakref.ref(self)
        tensors = {name: (addresses[name], self._resolved(name), kind) for name, (_, kind) in spec.tensors.items()}
        for address, shape, kind in tensors.values():
            gpu.view(address, shape, kind)
        gpu.memory.at(memory, needed)

        def run() -> None:
            context = alive()
            if context is None:
                raise IllegalUse("an inference is run after its execution context was destroyed")
            if captured and context.generation != generation:
                raise IllegalUse("a graph is run whose execution context has other shapes or addresses by now")
            feeds = {name: gpu.view(*tensors[name]).copy() for name in spec.inputs}
            gpu.memory.at(memory, needed)[:] = stream.handle & 0xFF
            for name, value in spec.function(feeds).items():
                gpu.view(*tensors[name])[...] = np.asarray(value)

        needs = {gpu.memory.begin(address) for address in (*addresses.values(), memory)}
        uses = {("activation", memory), ("context", self.number)}
        return Work("inference", run, frozenset(uses), frozenset({*needs, self.number}))


def _take(gpu: SimulatedGpu, size: int) -> int:
    """Memory that TensorRT takes for itself."""
    if gpu.record("TensorRT.allocate", size) is not None:
        raise MemoryError
    return gpu.memory.allocate(size, "engine").address


def _give(gpu: SimulatedGpu, address: int) -> None:
    with gpu.lock:
        gpu.calls.append(("TensorRT.free", (address,)))
        if not sum(gpu.retained.values()):
            gpu.violations.append("an object of TensorRT was destroyed after the context was released")
        gpu.memory.free(address)


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
        found = next(name for name, kind in _TYPES.items() if kind == trt_type)
        return np.dtype(found).type

    def init_libnvinfer_plugins(self, logger: ILogger, namespace: str) -> bool:
        check(TENSORRT, "init_libnvinfer_plugins", (logger, namespace), {})
        return True
