"""Engines of the simulated TensorRT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulated_execution import Context
from tensorrt_parts import (
    TYPES,
    DataType,
    EngineSpec,
    ExecutionContextAllocationStrategy,
    Part,
    TensorIOMode,
    TensorLocation,
    give,
    take,
)

if TYPE_CHECKING:
    from simulated_tensorrt import Runtime, SimulatedTensorRt


class Engine(Part):
    _kind = "ICudaEngine"

    def __init__(self, trt: SimulatedTensorRt, runtime: Runtime, spec: EngineSpec) -> None:
        self._block = take(trt.gpu, spec.weight_bytes)
        super().__init__(trt)
        self._runtime, self._spec = runtime, spec
        self.num_io_tensors = len(spec.tensors)
        self.num_optimization_profiles = len(spec.batches) if spec.dynamic else 1
        self.device_memory_size_v2 = max(spec.activation(each) for each in range(self.num_optimization_profiles))

    def _end(self) -> None:
        give(self._gpu, self._block)
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
        return TYPES[self._spec.tensors[name][1]]

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
