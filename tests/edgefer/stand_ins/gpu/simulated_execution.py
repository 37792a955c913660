"""Execution contexts of the simulated TensorRT."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from simulated_gpu import Refused
from simulated_memory import IllegalUse
from simulated_streams import SimulatedStream, Work
from tensorrt_parts import (
    Part,
    give,
    take,
)

if TYPE_CHECKING:
    from simulated_engine import Engine
    from simulated_tensorrt import SimulatedTensorRt


class Context(Part):
    """An execution context. `generation` counts what makes a graph of it invalid."""

    _kind = "IExecutionContext"

    def __init__(self, trt: SimulatedTensorRt, engine: Engine, user_managed: bool) -> None:
        self._block = 0 if user_managed else take(trt.gpu, engine.device_memory_size_v2)
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
            give(self._gpu, self._block)
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
            self._refuse(f"profile {profile_index}")
            raise RuntimeError("Error in set optimization profile async.")  # so the bindings do, here alone
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
