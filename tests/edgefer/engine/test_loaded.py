"""A deserialised plan on a simulated TensorRT: what is read of it, and each thing that it may be refused for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from simulated_tensorrt import DataType, Engine, EngineSpec, SimulatedTensorRt, TensorLocation
from simulation import Simulation, simulate

from edgefer.engine.builder import BuildLog, logger_for
from edgefer.engine.loaded import DYNAMIC, EngineTensor, LoadedEngine
from edgefer.errors import EngineIncompatible
from edgefer.kernels.driver import Driver
from edgefer.kernels.streams import Stream


def spec(**changes: Any) -> EngineSpec:
    fields: dict[str, Any] = {
        "inputs": {"x": ((DYNAMIC, 4), "float32"), "present": ((DYNAMIC, 2), "float32")},
        "outputs": {"y": ((DYNAMIC, 4), "float16"), "k": ((DYNAMIC,), "int64")},
        "function": lambda feeds: {"y": 2 * feeds["x"], "k": feeds["x"].argmax(1)},
        "batches": (1, 8, 4),
    }
    return EngineSpec(**{**fields, **changes})


@contextmanager
def loading(simulation: Simulation, made: EngineSpec) -> Iterator[tuple[Any, Stream]]:
    """A function that loads the plan, and a stream, in the GPU's context."""
    driver, log = Driver(simulation.bindings), BuildLog()
    primary = driver.retain(0)
    plan = simulation.trt.plan("test", made)
    logger = logger_for(simulation.trt, log)
    with driver.current(primary), Stream(driver) as stream:

        def load() -> LoadedEngine:
            return LoadedEngine(simulation.trt, plan, runtime=simulation.trt.Runtime(logger), log=log)

        yield load, stream
        gc.collect()
    driver.release(0)
    simulation.gpu.assert_clean()


def test_tensors_profiles_and_memory_are_read() -> None:
    with loading(simulate(), spec()) as (load, _):
        engine = load()
        assert engine.inputs == (
            EngineTensor("x", (DYNAMIC, 4), np.dtype(np.float32)),
            EngineTensor("present", (DYNAMIC, 2), np.dtype(np.float32)),
        )
        assert [each.dtype for each in engine.outputs] == [np.float16, np.int64]
        assert engine.outputs[1].shape_at(3) == (3,)
        assert engine.dynamic
        assert engine.batches == (1, 8, 4)
        assert [engine.profile_of(batch) for batch in (1, 8, 4)] == [0, 1, 2]
        assert [engine.activation_bytes(profile) for profile in (0, 1, 2)] == [4096, 8 * 4096, 4 * 4096]
        assert engine.activation_bytes() == engine.own_bytes() == 8 * 4096
        engine.close()


def test_a_fixed_batch_has_one_profile() -> None:
    fixed = spec(inputs={"x": ((2, 4), "float32")}, outputs={"y": ((2, 4), "float32")}, batches=(2,))
    with loading(simulate(), fixed) as (load, stream):
        engine = load()
        assert (engine.dynamic, engine.batches, engine.profile_of(2)) == (False, (2,), 0)
        engine.context(0, stream=int(stream.handle), memory=None)
        with pytest.raises(EngineIncompatible, match="built for the batches 2, and 1 is asked for"):
            engine.profile_of(1)
        engine.close()


def test_what_numpy_has_no_type_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nptype(self: SimulatedTensorRt, kind: DataType) -> type:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")

    monkeypatch.setattr(SimulatedTensorRt, "nptype", nptype)
    with loading(simulate(), spec()) as (load, _), pytest.raises(EngineIncompatible, match="NumPy has no type for"):
        load()


def test_a_tensor_that_the_host_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "get_tensor_location", lambda self, name: TensorLocation.HOST)
    with loading(simulate(), spec()) as (load, _), pytest.raises(EngineIncompatible, match=r"x .* read by the host"):
        load()


def test_only_the_batch_may_be_dynamic() -> None:
    made = spec(outputs={"y": ((DYNAMIC, DYNAMIC), "float32")})
    with loading(simulate(), made) as (load, _), pytest.raises(EngineIncompatible, match=r"y .* shape \[-1, -1\]"):
        load()


def test_an_output_of_another_shape_than_expected_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from simulated_tensorrt import Context

    with loading(simulate(), spec()) as (load, stream):
        engine = load()
        context = engine.context(0, stream=int(stream.handle), memory=None)
        monkeypatch.setattr(Context, "get_tensor_shape", lambda self, name: (49, 4))
        with pytest.raises(EngineIncompatible, match=r"x .* shape \[49, 4\] in a batch of 1, expected \[1, 4\]"):
            engine.prepare(context, 1, {})
        del context
        engine.close()


REFUSALS = {
    "Runtime.deserialize_cuda_engine": (None, "did not take the plan: .*the plan was not made for this"),
    "ICudaEngine.create_execution_context": (None, "did not give an execution context: .*OutOfMemory"),
    "IExecutionContext.set_optimization_profile_async": (False, "did not take the profile 1: .*profile 1"),
    "IExecutionContext.set_input_shape": (False, r"did not take the shape \[8, 4\] for x: "),
    "IExecutionContext.set_tensor_address": (False, "did not take the address of x: "),
}


@pytest.mark.parametrize("call", REFUSALS)
def test_what_tensorrt_refuses_is_said_in_its_words(call: str) -> None:
    simulation = simulate()
    answer, said = REFUSALS[call]
    with loading(simulation, spec()) as (load, stream):
        simulation.gpu.fail(call, answer, times=1)
        engine = context = None
        with pytest.raises(EngineIncompatible, match=said) as caught:  # noqa: PT012 - any of these steps may refuse
            engine = load()
            context = engine.context(engine.profile_of(8), stream=int(stream.handle), memory=None)
            engine.prepare(context, 8, dict.fromkeys(("x", "present", "y", "k"), 0x100))
        assert caught.value.details
        del context
        # The exception and its traceback are still there, and must keep nothing of TensorRT's alive.
        if engine is not None:
            engine.close()
        destroyed = {name for name, _ in simulation.gpu.calls if name.endswith(".destroyed")}
        gc.collect()
        assert simulation.gpu.open().get("engine", 0) == 0, destroyed


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_activation_memory_is_given_as_the_release_takes_it(version: str) -> None:
    simulation = simulate(version=version)
    with loading(simulation, spec()) as (load, stream):
        engine = load()
        engine.context(1, stream=int(stream.handle), memory=0x200)
        calls = [(name, told[-2:]) for name, told in simulation.gpu.calls if "set_device_memory" in name]
        assert calls == [("IExecutionContext.set_device_memory", (0x200, 8 * 4096))]
        engine.close()


def test_without_strategies_the_older_call_makes_contexts_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = simulate()
    monkeypatch.delattr(SimulatedTensorRt, "ExecutionContextAllocationStrategy")
    with loading(simulation, spec()) as (load, stream):
        engine = load()
        assert engine.activation_bytes() == 8 * 4096
        engine.context(0, stream=int(stream.handle), memory=0x200)
        assert simulation.gpu.count("ICudaEngine.create_execution_context_without_device_memory") == 1
        engine.close()


class Config:
    """What TensorRT-RTX configures a context by."""

    def __init__(self) -> None:
        self.dynamic_shapes_kernel_specialization_strategy = "LAZY"
        self.memory = "STATIC"

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.memory = strategy.name


def test_tensorrt_rtx_compiles_its_kernels_before_anything_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation, seen = simulate(), []
    create = Engine.create_execution_context
    strategies = SimulatedTensorRt.ExecutionContextAllocationStrategy

    def created(self: Engine, config: Config) -> Any:
        seen.append((config.dynamic_shapes_kernel_specialization_strategy, config.memory))
        return create(self, strategies[config.memory])

    monkeypatch.setattr(Engine, "create_execution_context", created)
    monkeypatch.setattr(Engine, "create_runtime_config", lambda self: Config(), raising=False)
    names = SimpleNamespace(EAGER="EAGER")
    monkeypatch.setattr(SimulatedTensorRt, "DynamicShapesKernelSpecializationStrategy", names, raising=False)
    with loading(simulation, spec()) as (load, stream):
        engine = load()
        engine.context(0, stream=int(stream.handle), memory=None)
        engine.context(0, stream=int(stream.handle), memory=0x200)
        engine.close()
    assert seen == [("EAGER", "STATIC"), ("EAGER", "USER_MANAGED")]


def test_tensorrt_rtx_has_what_is_configured() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    assert trt.DynamicShapesKernelSpecializationStrategy.EAGER
    assert hasattr(trt.ICudaEngine, "create_runtime_config")
    assert hasattr(trt.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")
    assert hasattr(trt.IRuntimeConfig, "set_execution_context_allocation_strategy")
    assert "runtime_config: tensorrt_rtx" in trt.ICudaEngine.create_execution_context.__doc__
