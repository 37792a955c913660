"""Opening on a simulated GPU: what is loaded and what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import simulated_session as tiny
from opened_runner import QUICK, check, opened, request
from simulated_tensorrt import SimulatedTensorRt
from simulation import Simulation, simulate

from edgefer.engine.bundle_work import BundleWork
from edgefer.engine.cache import EngineCache
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.errors import (
    DeviceError,
    EdgeferError,
    EngineIncompatible,
    EngineMissing,
    EnvironmentMismatch,
    PluginMissing,
    UsageError,
)
from edgefer.runtime.gpu import tensorrt_open
from edgefer.runtime.gpu.machine import Machine, check_gpu, unavailable
from edgefer.runtime.gpu.tensorrt_open import open_tensorrt

STAGES = {"engine", "deserialise", "capture", "golden", "warm-up"}


@pytest.fixture
def simulation() -> Simulation:
    return simulate()


def assert_nothing_left(simulation: Simulation) -> None:
    gc.collect()
    assert simulation.gpu.abandoned == []
    simulation.gpu.assert_clean()


def test_the_first_start_compiles_and_the_second_does_not(simulation: Simulation, tmp_path: Path) -> None:
    with tiny.in_place(simulation) as compiled:
        for loading in ("cold", "warm", "warm"):
            asked = request(tmp_path)
            runner = open_tensorrt(asked, QUICK)
            check(runner.run(tiny.feeds()), tiny.feeds())
            runner.close()
            assert asked.settings["loading"] == loading
            assert set(asked.seconds) == STAGES
        assert len(compiled) == 1
    assert_nothing_left(simulation)


def test_what_is_said_of_an_opening(simulation: Simulation) -> None:
    with opened(simulation, streams=2) as opening:
        said = opening.request.settings
        assert said["engine"] == "tensorrt 10.3.0 for compute capability 8.7"
        assert said["plugins"].startswith("inline: ")
        assert said["graph"] == "one CUDA graph for each batch"
        assert said["memory"].startswith("page-locked, copies inside of the graph")
        assert said["streams"] == "2, priority normal"
        assert said["judged"].startswith("4 golden inputs answered in the batches 1, 4")
        assert said["warm-up"].startswith("batch 1: ")
        # Two lanes, each with places for batch 4 (3072 + 1024 + 256 + 256 bytes) and activations for batch 4.
        assert said["GPU memory"].startswith(f"{2 * (4608 + 4 * 4096)} bytes (inputs and outputs {2 * 4608}, ")
        assert len(said["plan"]) == 64


def test_an_engine_that_is_required_is_not_compiled(simulation: Simulation, tmp_path: Path) -> None:
    with tiny.in_place(simulation) as compiled:
        with pytest.raises(EngineMissing):
            open_tensorrt(request(tmp_path, require_cached=True), QUICK)
        assert compiled == []
        open_tensorrt(request(tmp_path), QUICK).close()
        asked = request(tmp_path, require_cached=True)
        open_tensorrt(asked, QUICK).close()
        assert asked.settings["loading"] == "warm"
    assert simulation.gpu.count("cuDevicePrimaryCtxRetain") == 2  # none for the one that was missing
    assert_nothing_left(simulation)


def with_plugins(patch: pytest.MonkeyPatch) -> None:
    """The compiler says that it left an operator to a plugin. `patch` ends before the simulation, whose compiler it
    would put back."""
    compiled = BundleWork._compiled

    def compiling(self: BundleWork, *arguments: Any) -> Any:
        engine = compiled(self, *arguments)
        report = msgspec.structs.replace(engine.report, plugins=("edgefer::CbamAttention",))
        return dataclasses.replace(engine, report=report)

    patch.setattr(BundleWork, "_compiled", compiling)


def test_plugins_are_registered_before_the_engine_is_loaded(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(tensorrt_open, "register_plugins", lambda flavour: seen.append(simulation.gpu.count("Runtime")))
    with tiny.in_place(simulation), pytest.MonkeyPatch.context() as patch:
        with_plugins(patch)
        asked = request(tmp_path)
        open_tensorrt(asked, QUICK).close()
    assert seen == [0]
    assert asked.settings["plugins"].endswith("(edgefer::CbamAttention)")


def test_without_plugins_the_gpu_is_not_even_opened(simulation: Simulation, tmp_path: Path) -> None:
    with tiny.in_place(simulation), pytest.MonkeyPatch.context() as patch:
        with_plugins(patch)
        with pytest.raises(PluginMissing, match="no plugins of version 3"):
            open_tensorrt(request(tmp_path), QUICK)
    assert simulation.gpu.count("cuDevicePrimaryCtxRetain") == 0


def test_settings_of_the_engine_reach_the_compiler(simulation: Simulation, tmp_path: Path) -> None:
    seen: list[BundleWork] = []

    def engine(self: BundleWork, graph: Any) -> Any:
        seen.append(self)
        raise EngineMissing("none")

    with tiny.in_place(simulation), pytest.MonkeyPatch.context() as patch:
        patch.setattr(BundleWork, "engine", engine)
        with pytest.raises(EngineMissing):
            open_tensorrt(request(tmp_path, plugins="inline", workspace_bytes=1 << 20, timeout=7.0), QUICK)
    (work,) = seen
    assert (work.plugins, work.workspace_bytes, work.timeout) == ("inline", 1 << 20, 7.0)
    assert work.cache.directory == tmp_path / "engines"


# What an engine may not do


def wrong(given: dict[str, Any]) -> dict[str, Any]:
    return {"logits": tiny.logits(given) + 0.01, "embedding": np.zeros((len(given["visible"]), 8))}


class Restless:
    """Another answer every time, within the tolerance."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def __call__(self, given: dict[str, Any]) -> dict[str, Any]:
        noise = 1e-6 * (next(self.count) % 2)
        return {"logits": tiny.logits(given) + noise, "embedding": np.zeros((len(given["visible"]), 8))}


def deaf(given: dict[str, Any]) -> dict[str, Any]:
    count = len(given["visible"])
    return {"logits": np.ones((count, 5)), "embedding": np.ones((count, 8))}


REFUSED = {
    "tolerance": (wrong, 4, r"output 'logits' differs from the expected by 0\.00.* the tolerance is 0\.0001"),
    "twice": (Restless(), 4, "gave two answers for one input: output 'logits' is not the same bit for bit"),
    "another": (deaf, 0, "answers another input with the very same bits"),
}


@pytest.mark.parametrize(("function", "golden", "said"), REFUSED.values(), ids=REFUSED)
def test_an_engine_that_answers_wrong_is_refused(
    simulation: Simulation, tmp_path: Path, function: Any, golden: int, said: str
) -> None:
    with tiny.in_place(simulation, function=function):
        with pytest.raises(EngineIncompatible, match=said) as caught:
            open_tensorrt(request(tmp_path, golden=golden), QUICK)
        assert "device='cpu'" in caught.value.hint
        assert_nothing_left(simulation)
        # What was just compiled stays, so that the next start does not take minutes to say the same; what was found
        # there goes.
        with pytest.raises(EngineIncompatible, match=said) as caught:
            open_tensorrt(request(tmp_path, golden=golden), QUICK)
        assert "removed from the cache" in caught.value.hint
        assert EngineCache(tmp_path).entries() == ()
    assert_nothing_left(simulation)


def test_only_one_batch_that_answers_wrong_is_refused_too(simulation: Simulation, tmp_path: Path) -> None:
    def function(given: dict[str, Any]) -> dict[str, Any]:
        return wrong(given) if len(given["visible"]) == 4 else wrong(given) | {"logits": tiny.logits(given)}

    with tiny.in_place(simulation, function=function), pytest.raises(EngineIncompatible, match="in a batch of 4"):
        open_tensorrt(request(tmp_path), QUICK)
    assert_nothing_left(simulation)


def test_a_plan_that_is_not_taken_names_both_sides(simulation: Simulation, tmp_path: Path) -> None:
    with tiny.in_place(simulation):
        open_tensorrt(request(tmp_path), QUICK).close()
        for required, left in ((True, 1), (False, 0)):
            simulation.gpu.fail("Runtime.deserialize_cuda_engine", None, times=1)
            with pytest.raises(EngineIncompatible) as caught:
                open_tensorrt(request(tmp_path, require_cached=required), QUICK)
            message = caught.value.message
            assert "the plan was not made for this" in message
            assert "built by tensorrt 10.3.0 for compute capability 8.7 on Linux-aarch64" in message
            assert "here are tensorrt 10.3.0, Simulated Orin (8.7) and a driver for CUDA 12.6" in message
            # What somebody brought and requires is theirs to replace.
            assert len(EngineCache(tmp_path).entries()) == left
        asked = request(tmp_path)
        open_tensorrt(asked, QUICK).close()
        assert asked.settings["loading"] == "cold"
    assert_nothing_left(simulation)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("TensorRT.allocate", None),
        ("ICudaEngine.create_execution_context", None),
        ("IExecutionContext.execute_async_v3", False),
    ],
)
def test_an_engine_that_there_is_no_room_for_stays_in_the_cache(
    simulation: Simulation, tmp_path: Path, call: str, answer: Any
) -> None:
    with tiny.in_place(simulation):
        open_tensorrt(request(tmp_path), QUICK).close()
        simulation.gpu.fail(call, answer, times=1)
        with pytest.raises(EngineIncompatible):
            open_tensorrt(request(tmp_path), QUICK)
        asked = request(tmp_path)
        open_tensorrt(asked, QUICK).close()
        assert asked.settings["loading"] == "warm"
    assert_nothing_left(simulation)


def test_a_cache_that_cannot_be_written_does_not_hide_what_was_wrong(simulation: Simulation, tmp_path: Path) -> None:
    def unwritable(self: EngineCache, digest: str, plan_sha256: str) -> bool:
        raise EnvironmentMismatch("the engine cache cannot be used: read-only")

    with tiny.in_place(simulation), pytest.MonkeyPatch.context() as patch:
        open_tensorrt(request(tmp_path), QUICK).close()
        patch.setattr(EngineCache, "discard", unwritable)
        simulation.gpu.fail("Runtime.deserialize_cuda_engine", None, times=1)
        with pytest.raises(EngineIncompatible, match="did not take the plan") as caught:
            open_tensorrt(request(tmp_path), QUICK)
        assert caught.value.hint == "it cannot be removed from the cache: the engine cache cannot be used: read-only"


# Memory


def test_a_limit_that_is_too_small_is_refused_before_anything_is_taken(simulation: Simulation, tmp_path: Path) -> None:
    need = 2 * (4608 + 4 * 4096)
    with tiny.in_place(simulation):
        with pytest.raises(UsageError, match=f"2 streams .* need {need} bytes .* memory_limit is {need - 1}"):
            open_tensorrt(request(tmp_path, streams=2, memory_limit=need - 1), QUICK)
        assert simulation.gpu.count("cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate") == 0
        open_tensorrt(request(tmp_path, streams=2, memory_limit=need), QUICK).close()
        one = need // 2
        with pytest.raises(UsageError, match=f"one stream of this engine needs {one} bytes"):
            open_tensorrt(request(tmp_path, memory_limit=one - 1), QUICK)
    assert_nothing_left(simulation)


def test_activation_memory_is_shared_by_the_contexts_of_a_lane(simulation: Simulation) -> None:
    with opened(simulation, streams=2) as opening:
        for seed in range(3):
            opening.runner.bind(opening.arrays(tiny.feeds(1, seed)))
    assert simulation.gpu.count("TensorRT.allocate") == 1  # the weights
    given = {told[-2:] for name, told in simulation.gpu.calls if name == "IExecutionContext.set_device_memory"}
    assert len(given) == 2
    assert {size for _, size in given} == {4 * 4096}


def test_a_release_that_manages_the_memory_itself_is_served() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(SimulatedTensorRt, "ExecutionContextAllocationStrategy")
        simulation = simulate(version="11.0.0")
        with opened(simulation, streams=1) as opening:
            check(opening.runner.run(tiny.feeds(4)), tiny.feeds(4))
            opening.runner.bind(opening.arrays(tiny.feeds()))
            assert opening.request.settings["GPU memory"].startswith(f"{4608 + 2 * 4 * 4096} bytes")
        assert simulation.gpu.count("IExecutionContext.set_device_memory") == 0
        assert simulation.gpu.count("TensorRT.allocate") == 4


# Failures at every place


FAULTS = {
    "cuCtxPushCurrent": "CUDA_ERROR_UNKNOWN",
    "cuDevicePrimaryCtxRetain": "CUDA_ERROR_OUT_OF_MEMORY",
    "cuMemAlloc": "CUDA_ERROR_OUT_OF_MEMORY",
    "cuMemHostAlloc": "CUDA_ERROR_OUT_OF_MEMORY",
    "cuMemHostGetDevicePointer": "CUDA_ERROR_UNKNOWN",
    "cuStreamCreate": "CUDA_ERROR_OUT_OF_MEMORY",
    "cuStreamSynchronize": "CUDA_ERROR_LAUNCH_FAILED",
    "cuEventCreate": "CUDA_ERROR_OUT_OF_MEMORY",
    "cuEventRecord": "CUDA_ERROR_UNKNOWN",
    "cuEventSynchronize": "CUDA_ERROR_ILLEGAL_ADDRESS",
    "cuMemcpyHtoDAsync": "CUDA_ERROR_INVALID_VALUE",
    "cuMemcpyDtoHAsync": "CUDA_ERROR_INVALID_VALUE",
    "cuStreamBeginCapture": "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
    "cuStreamEndCapture": "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
    "cuGraphInstantiate": "CUDA_ERROR_OUT_OF_MEMORY",
    "cuGraphLaunch": "CUDA_ERROR_LAUNCH_FAILED",
    "TensorRT.allocate": None,
    "Runtime": None,
    "Runtime.deserialize_cuda_engine": None,
    "ICudaEngine.create_execution_context": None,
    "IExecutionContext.set_optimization_profile_async": False,
    "IExecutionContext.set_input_shape": False,
    "IExecutionContext.set_tensor_address": False,
    "IExecutionContext.execute_async_v3": False,
}
FIRST = 6
"""Of each call so many are made to fail, one after the other, and the last one; those between are like these."""


@pytest.mark.parametrize("integrated", [False, True])
def test_whatever_fails_leaves_nothing_behind(integrated: bool, tmp_path: Path) -> None:
    with tiny.in_place(simulate()):
        open_tensorrt(request(tmp_path, streams=2), QUICK).close()
    usual = simulate(integrated=integrated)
    with tiny.in_place(usual):
        usual.trt.plan("tiny (1, 4)", tiny.engine_spec(request(tmp_path).bundle))
        open_tensorrt(request(tmp_path, streams=2, require_cached=True), QUICK).close()
    failed = 0
    for name, answer in FAULTS.items():
        count = usual.gpu.count(name)
        for place in dict.fromkeys((*range(min(count, FIRST)), *range(count)[-1:])):
            failed += _fails(integrated, tmp_path, name, answer, place)
    assert failed > 60


def _fails(integrated: bool, cache: Path, name: str, answer: Any, place: int) -> bool:
    simulation = simulate(integrated=integrated)
    asked = request(cache, streams=2, require_cached=True)
    with tiny.in_place(simulation), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulation.trt.plan("tiny (1, 4)", tiny.engine_spec(asked.bundle))
        simulation.gpu.fail(name, answer, after=place, times=1)
        try:
            runner = open_tensorrt(asked, QUICK)
        except EdgeferError:
            if simulation.gpu.open():  # what is in a cycle is given back by the collector, which takes its time
                gc.collect()
            assert simulation.gpu.open() == {}, (name, place)
            assert simulation.gpu.violations == [], (name, place)
            return True
        # A refused capture is no failure, and no more is one of a call that came later than these.
        simulation.gpu.mend()
        check(runner.run(tiny.feeds()), tiny.feeds())
        runner.close()
        simulation.gpu.assert_clean()
        return False


# What this machine has


def test_without_a_gpu_the_drivers_words_are_the_reason() -> None:
    assert unavailable(Machine(driver=lambda: CudaDriver(version=None, problem="no CUDA driver: gone"))) == (
        "no CUDA driver: gone"
    )


def test_without_tensorrt_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(driver=lambda: driver(gpu("Orin", "8.7")))
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "no TensorRT is installed" in (unavailable(machine) or "")


def test_with_a_gpu_and_tensorrt_it_can_be_tried(simulation: Simulation) -> None:
    with tiny.in_place(simulation):
        assert unavailable() is None


@pytest.mark.parametrize("module", ["cuda.bindings.driver", "pycuda.driver"])
def test_a_missing_package_is_found_before_anything_is_compiled(
    simulation: Simulation, tmp_path: Path, module: str
) -> None:
    with tiny.in_place(simulation) as compiled, pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module, None)
        with pytest.raises(EnvironmentMismatch):
            open_tensorrt(request(tmp_path), QUICK)
        assert compiled == []


def gpu(name: str, capability: str) -> Gpu:
    return Gpu(name=name, compute_capability=capability, memory_bytes=1 << 30)


def driver(*gpus: Gpu) -> CudaDriver:
    return CudaDriver(version="12.6", gpus=gpus)


def test_another_gpu_of_the_same_kind_is_served() -> None:
    check_gpu(driver(gpu("A", "8.7"), gpu("A", "8.7")), 1)


def test_a_gpu_of_another_kind_or_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"GPU 1 is B .*, and engines are compiled for the first one, A") as caught:
        check_gpu(driver(gpu("A", "8.7"), gpu("B", "9.0")), 1)
    assert "CUDA_VISIBLE_DEVICES=1" in caught.value.hint
    with pytest.raises(DeviceError, match="GPU 2 is asked for, and there are 1"):
        check_gpu(driver(gpu("A", "8.7")), 2)


def test_a_second_session_on_the_same_gpu_is_served(simulation: Simulation) -> None:
    with opened(simulation) as opening, tiny.in_place(simulation):
        other = open_tensorrt(dataclasses.replace(opening.request, seconds={}, settings={}), QUICK)
        check(other.run(tiny.feeds()), tiny.feeds())
        opening.runner.close()
        check(other.run(tiny.feeds(4)), tiny.feeds(4))
        other.close()
