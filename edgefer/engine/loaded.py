"""A plan deserialised: the tensors by name, the profiles, the activation memory, and contexts that run it.

Every call of TensorRT that may return nothing, or False, is checked: an engine of None surfaces far away otherwise.
What a release has is found by asking for the attribute, as everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgefer.errors import EngineIncompatible

DYNAMIC = -1
"""A dimension that the profile chooses; of an input or output only the first, the batch, may be one."""

SMALLEST_ALLOCATION = 256
"""Bytes. An engine may want no activation memory, and an address is handed to it all the same."""


class Log(Protocol):
    """What TensorRT said, as `edgefer.engine.builder.BuildLog` keeps it."""

    errors: list[str]

    def text(self) -> str: ...


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine. `shape` has -1 for a batch that the profile chooses."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def shape_at(self, batch: int) -> tuple[int, ...]:
        """The shape in a batch of that size."""
        return (batch, *self.shape[1:]) if self.shape[:1] == (DYNAMIC,) else self.shape


class LoadedEngine:
    """A deserialised plan. `inputs` and `outputs` are its tensors, in TensorRT's order; `batches` has one entry for
    each profile, or the one batch of an engine whose batch is fixed.

    Raises:
        EngineIncompatible: TensorRT does not take the plan, or a tensor of it cannot be served.
    """

    def __init__(self, trt: Any, plan: bytes, *, runtime: Any, log: Log) -> None:
        self._trt, self._log = trt, log
        # Contexts are made one at a time: nothing promises that an engine makes two at once.
        self._making = threading.Lock()
        self._runtime: Any = runtime
        self._engine: Any = None
        # By whether contexts are given memory. They live as long as those: no release says that they need not.
        self._configs: dict[bool, Any] = {}
        # What a traceback keeps would outlive the GPU's context: no object of TensorRT stays in a local variable here.
        del runtime
        try:
            self._load(plan)
        except BaseException:
            self.close()
            raise

    def _load(self, plan: bytes) -> None:
        trt = self._trt
        self._engine = self._given(self._runtime.deserialize_cuda_engine(plan), "take the plan")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self.inputs = tuple(self._tensor(name) for name in names if modes[name] == trt.TensorIOMode.INPUT)
        self.outputs = tuple(self._tensor(name) for name in names if modes[name] == trt.TensorIOMode.OUTPUT)
        self._dynamic = [each.name for each in self.inputs if DYNAMIC in each.shape]
        self._ranges = self._profiles()
        self.batches = tuple(most for _, most in self._ranges)

    @property
    def dynamic(self) -> bool:
        """Whether a profile chooses the batch."""
        return bool(self._dynamic)

    def profile_of(self, batch: int) -> int:
        """The profile that serves a batch.

        Raises:
            EngineIncompatible: none does.
        """
        for profile, (least, most) in enumerate(self._ranges):
            if least <= batch <= most:
                return profile
        raise EngineIncompatible(
            f"the engine was built for the batches {', '.join(map(str, self.batches))}, and {batch} is asked for",
            hint="compile the bundle again",
        )

    def activation_bytes(self, profile: int | None = None) -> int | None:
        """Bytes of activation memory that a context of that profile wants, or of any profile; None where this release
        manages the memory by itself."""
        if not self._user_managed():
            return None
        if profile is None:
            return max(self.own_bytes() or 0, *(self._profile_bytes(each) for each in range(len(self._ranges))))
        return self._profile_bytes(profile)

    def own_bytes(self) -> int | None:
        """Bytes of activation memory that a context takes by itself where it is given none; None if nobody says."""
        for name in ("device_memory_size_v2", "device_memory_size"):
            if hasattr(self._engine, name):
                return int(getattr(self._engine, name))
        return None

    def context(self, profile: int, *, stream: int, memory: int | None) -> Any:
        """A new execution context with a profile selected.

        Args:
            profile: from `profile_of`.
            stream: address of the stream that it will run on; selecting the profile may put copies there.
            memory: address of `activation_bytes` of activation memory, aligned to 256 bytes, which contexts share that
                never run at the same time; None lets it take its own.

        Raises:
            EngineIncompatible: TensorRT gave none, or refuses the profile.
        """
        context = None
        try:
            with self._making:
                context = self._given(self._created(memory is not None), "give an execution context")
            if self._dynamic:
                self._select(context, profile, stream)
            if memory is not None:
                self._give(context, memory)
            return context
        finally:
            del context

    def prepare(self, context: Any, batch: int, addresses: Mapping[str, int]) -> None:
        """Set the shapes of a batch and the addresses of all tensors, once for all inferences of the context.

        Raises:
            EngineIncompatible: TensorRT refuses one, or derives another shape for an output than edgefer does.
        """
        try:
            for each in self.inputs:
                if not context.set_input_shape(each.name, each.shape_at(batch)):
                    raise self.refused(f"take the shape {list(each.shape_at(batch))} for {each.name}")
            for each in (*self.inputs, *self.outputs):
                found = tuple(int(size) for size in context.get_tensor_shape(each.name))
                if found != each.shape_at(batch):
                    raise EngineIncompatible(
                        f"{each.name} of the engine has the shape {list(found)} in a batch of {batch}, expected "
                        f"{list(each.shape_at(batch))}",
                        hint="only the batch may be dynamic, and it comes first",
                    )
                if not context.set_tensor_address(each.name, addresses[each.name]):
                    raise self.refused(f"take the address of {each.name}")
        finally:
            del context

    def refused(self, what: str) -> EngineIncompatible:
        """The error for something that TensorRT did not do, with what it said last."""
        said = self._log.errors[-1] if self._log.errors else "it gave no reason"
        return EngineIncompatible(f"TensorRT did not {what}: {said}", details=self._log.text())

    def close(self) -> None:
        """Give the engine back; its contexts have to be gone by then."""
        self._configs.clear()
        self._engine = None
        self._runtime = None

    def _tensor(self, name: str) -> EngineTensor:
        shape = tuple(int(size) for size in self._engine.get_tensor_shape(name))
        if DYNAMIC in shape[1:]:
            raise EngineIncompatible(
                f"{name} of the engine has the shape {list(shape)}: only the batch may be dynamic",
                hint="export the network with fixed sizes, and compile it again",
            )
        kind = self._engine.get_tensor_dtype(name)
        try:
            dtype = np.dtype(self._trt.nptype(kind))
        except TypeError as error:  # such as bfloat16
            raise EngineIncompatible(
                f"{name} of the engine has elements of {kind}, which NumPy has no type for",
                hint="keep inputs and outputs of the network in float32",
            ) from error
        location = getattr(self._trt, "TensorLocation", None)
        if location is not None and self._engine.get_tensor_location(name) == location.HOST:
            raise EngineIncompatible(
                f"{name} of the engine is read by the host, as a shape is", hint="export the network without it"
            )
        return EngineTensor(name, shape, dtype)

    def _profiles(self) -> list[tuple[int, int]]:
        """The least and the greatest batch of each profile; of an engine of fixed batch, that batch."""
        if not self._dynamic:
            fixed = {each.shape[0] for each in self.inputs if each.shape}
            batch = fixed.pop() if len(fixed) == 1 else 1
            return [(batch, batch)]
        ranges = []
        for profile in range(self._engine.num_optimization_profiles):
            least, _, most = self._engine.get_tensor_profile_shape(self._dynamic[0], profile)
            ranges.append((int(least[0]), int(most[0])))
        return ranges

    def _user_managed(self) -> bool:
        return hasattr(self._trt, "ExecutionContextAllocationStrategy") or hasattr(
            self._engine, "create_execution_context_without_device_memory"
        )

    def _profile_bytes(self, profile: int) -> int:
        for name in ("get_device_memory_size_for_profile_v2", "get_device_memory_size_for_profile"):
            if hasattr(self._engine, name):
                return max(int(getattr(self._engine, name)(profile)), SMALLEST_ALLOCATION)
        return max(self.own_bytes() or 0, SMALLEST_ALLOCATION)

    def _created(self, without_memory: bool) -> Any:
        strategies: Any = getattr(self._trt, "ExecutionContextAllocationStrategy", None)
        kernels = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if kernels is not None:  # TensorRT-RTX, which compiles kernels here
            if without_memory not in self._configs:
                self._configs[without_memory] = self._config(kernels.EAGER, strategies, without_memory)
            return self._engine.create_execution_context(self._configs[without_memory])
        if not without_memory:
            return self._engine.create_execution_context()
        if strategies is None:
            return self._engine.create_execution_context_without_device_memory()
        return self._engine.create_execution_context(strategies.USER_MANAGED)

    def _config(self, eager: Any, strategies: Any, without_memory: bool) -> Any:
        config = self._given(self._engine.create_runtime_config(), "give a configuration of the runtime")
        # By default it compiles those for the shapes at hand beside the inferences, and a graph would keep the
        # slower ones that stand in for them until then.
        config.dynamic_shapes_kernel_specialization_strategy = eager
        if without_memory:
            config.set_execution_context_allocation_strategy(strategies.USER_MANAGED)
        return config

    def _select(self, context: Any, profile: int, stream: int) -> None:
        try:
            taken = context.set_optimization_profile_async(profile, stream)
        except RuntimeError:  # what the bindings make of False, here alone
            taken = False
        finally:
            del context
        if not taken:
            raise self.refused(f"take the profile {profile}")

    def _give(self, context: Any, memory: int) -> None:
        try:
            if hasattr(context, "set_device_memory"):
                context.set_device_memory(memory, self.activation_bytes())
            else:
                context.device_memory = memory
        finally:
            del context

    def _given(self, value: Any, what: str) -> Any:
        if value is None:
            raise self.refused(what)
        return value
