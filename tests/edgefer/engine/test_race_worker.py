"""Two engines against each other, with stand-ins for the driver and for TensorRT: no GPU has run this yet."""
# ruff: noqa: N802 - the methods are named after the driver's functions

from __future__ import annotations

import ctypes
import itertools
import json
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.engine.builder import BuildLog
from edgefer.engine.decision import RaceResult, Way
from edgefer.engine.race import RaceData, judged
from edgefer.engine.race_engine import RaceEngine, rows, runtime_of
from edgefer.engine.race_worker import compete
from edgefer.errors import DeviceError, EngineIncompatible

EFFORT = Effort(runs=12, seconds=0.0, most_seconds=20.0, confidence=0.99)
PATIENCE = Patience(runs=4, seconds=0.0, most_runs=8, most_seconds=5.0)
X = np.random.default_rng(3).standard_normal((5, 2, 3)).astype(np.float32)


class Gpu:
    """A driver that keeps memory and a clock; what a capture recorded takes its time whenever it is launched."""

    bindings = SimpleNamespace(
        CUresult=SimpleNamespace(CUDA_SUCCESS=0),
        CUstream_flags=SimpleNamespace(CU_STREAM_NON_BLOCKING=1),
        CUevent_flags=SimpleNamespace(CU_EVENT_DEFAULT=0),
        CUstreamCaptureMode=SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1),
        cuStreamEndCapture=lambda stream: (0, "dropped"),
    )

    def __init__(self) -> None:
        self.names: list[str] = []
        self.memory: dict[int, Any] = {}
        self.recording: list[float] | None = None
        self.clock = 0.0
        self.noise = random.Random(1)
        self._number = itertools.count(1)

    def call(self, function: str, *arguments: Any) -> Any:
        self.names.append(function)
        return getattr(self, f"_{function}", lambda *_: None)(*arguments)

    def allocate(self, size: int) -> int:
        block = (ctypes.c_ubyte * size)()
        self.memory[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, addresses: Any) -> None:
        for address in addresses:
            del self.memory[address]

    def array(self, address: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        return np.frombuffer(self.memory[address], np.float32).reshape(shape)

    def _cuStreamCreate(self, flags: int) -> int:
        return next(self._number)

    def _cuEventCreate(self, flags: int) -> dict[str, float]:
        return {}

    def _cuMemcpyHtoDAsync(self, address: int, source: int, size: int, stream: int) -> None:
        ctypes.memmove(address, source, size)

    def _cuMemcpyDtoHAsync(self, target: int, address: int, size: int, stream: int) -> None:
        ctypes.memmove(target, address, size)

    def _cuStreamBeginCapture(self, stream: int, mode: int) -> None:
        self.recording = []

    def _cuStreamEndCapture(self, stream: int) -> list[float]:
        recorded, self.recording = self.recording or [], None
        return recorded

    def _cuGraphInstantiate(self, recorded: list[float], flags: int) -> tuple[float, ...]:
        return tuple(recorded)

    def _cuGraphLaunch(self, executable: tuple[float, ...], stream: int) -> None:
        self.clock += sum(seconds * self.noise.uniform(1.0, 1.01) for seconds in executable)

    def _cuEventRecord(self, event: dict[str, float], stream: int) -> None:
        event["at"] = self.clock

    def _cuEventElapsedTime(self, start: dict[str, float], end: dict[str, float]) -> float:
        return 1e3 * (end["at"] - start["at"])


class Context:
    """y = gain · x, in `seconds`; `fail` says what goes wrong."""

    def __init__(self, gpu: Gpu, told: dict[str, Any]) -> None:
        self.gpu, self.told = gpu, told
        self.shapes: dict[str, tuple[int, ...]] = {"x": (1, 2, 3)}
        self.addresses: dict[str, int] = {}
        self.runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return self.told.get("fail") != "shape"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes["x"]

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        return profile == 0

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.runs += 1
        if self.gpu.recording is not None:
            self.gpu.recording.append(self.told["seconds"])
            return self.told.get("fail") != "capture"
        if self.told.get("fail") == "fault":
            raise DeviceError("cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS")
        source = self.gpu.array(self.addresses["x"], self.shapes["x"])
        self.gpu.array(self.addresses["y"], self.shapes["x"])[...] = self.told["gain"] * source
        return self.told.get("fail") != "enqueue"


def tensorrt(gpu: Gpu) -> Any:
    """A TensorRT whose plans are descriptions of what their engines do."""

    class Engine:
        num_io_tensors = 2
        num_optimization_profiles = 1

        def __init__(self, told: dict[str, Any]) -> None:
            self.told = told

        def get_tensor_name(self, index: int) -> str:
            return "xy"[index]

        def get_tensor_mode(self, name: str) -> str:
            return {"x": "in", "y": "out"}[name]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (-1, 2, 3)

        def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
            return [(1, 2, 3), (1, 2, 3), (8, 2, 3)]

        def get_tensor_dtype(self, name: str) -> type[np.float32]:
            return np.float32

        def create_execution_context(self) -> Context | None:
            return None if self.told.get("fail") == "context" else Context(gpu, self.told)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            told = json.loads(plan)
            if told.get("fail") == "deserialise":
                self.logger.log("Severity.ERROR", "it was built by another version")
                return None
            return Engine(told)

    class Logger:
        def __init__(self) -> None:
            pass

    modes = SimpleNamespace(INPUT="in", OUTPUT="out")
    return SimpleNamespace(Runtime=Runtime, ILogger=Logger, TensorIOMode=modes, nptype=lambda dtype: dtype)


def plan(seconds: float = 1e-3, gain: float = 2.0, fail: str = "") -> bytes:
    return json.dumps({"seconds": seconds, "gain": gain, "fail": fail}).encode()


def run(plugin: bytes, inline: bytes, *, batch: int = 1, tolerance: float = 0.01) -> tuple[RaceResult, Gpu]:
    gpu, log = Gpu(), BuildLog()
    trt = tensorrt(gpu)
    runtime, _logger = runtime_of(trt, log)
    plans: dict[Way, bytes] = {"plugin": plugin, "inline": inline}
    result = compete(
        lambda way: RaceEngine(trt, plans[way], gpu, batch=batch, runtime=runtime, log=log),  # type: ignore[arg-type]
        RaceData({"x": X}, {"y": 2 * X}, {"y": tolerance}, batch),
        effort=EFFORT,
        patience=PATIENCE,
    )
    return result, gpu


def test_the_faster_one_wins_when_it_has_plugins() -> None:
    result, _ = run(plan(1e-3), plan(2e-3))
    way, reason = judged(result)
    assert way == "plugin"
    assert result.verdict == "faster"
    assert result.ratio == pytest.approx(0.5, rel=0.02)
    assert result.plugin.seconds == pytest.approx(1e-3, rel=0.02)
    assert result.inline.seconds == pytest.approx(2e-3, rel=0.02)
    assert result.blocks >= EFFORT.runs
    assert "faster with plugins" in reason


def test_a_slower_plugin_that_answers_right_loses() -> None:
    result, _ = run(plan(2e-3), plan(1e-3))
    assert result.verdict == "slower"
    assert result.plugin.right
    assert judged(result)[0] == "inline"


def test_within_noise_there_are_no_plugins() -> None:
    result, _ = run(plan(1e-3), plan(1e-3))
    way, reason = judged(result)
    assert (result.verdict, way) == ("within-noise", "inline")
    assert "within noise" in reason


def test_wrong_answers_disqualify_however_fast() -> None:
    result, gpu = run(plan(1e-6, gain=2.2), plan(1e-3))
    way, reason = judged(result)
    assert way == "inline"
    assert not result.plugin.right
    assert result.plugin.errors["y"] > 0.01
    assert result.difference["y"] == pytest.approx(result.plugin.errors["y"])
    assert result.ratio is None
    assert "cuGraphLaunch" not in gpu.names
    assert "missed" in reason


def test_wrong_answers_of_both_leave_the_one_without_plugins() -> None:
    result, _ = run(plan(gain=3.0), plan(gain=3.0))
    assert judged(result)[0] == "inline"


def test_an_engine_without_plugins_that_answers_wrong_leaves_the_other() -> None:
    assert judged(run(plan(), plan(gain=3.0))[0])[0] == "plugin"


@pytest.mark.parametrize("fail", ["deserialise", "context", "shape", "enqueue", "fault", "capture"])
def test_what_fails_with_plugins_leaves_the_other_with_the_reason(fail: str) -> None:
    result, _ = run(plan(fail=fail), plan())
    way, reason = judged(result)
    assert way == "inline"
    assert result.plugin.problem
    assert result.inline.right
    assert not result.inline.problem
    assert result.plugin.problem in reason


@pytest.mark.parametrize("fail", ["deserialise", "enqueue", "fault"])
def test_what_fails_without_plugins_leaves_the_other(fail: str) -> None:
    way, reason = judged(run(plan(), plan(fail=fail))[0])
    assert way == "plugin"
    assert "without plugins could not be judged" in reason


def test_what_tensorrt_said_is_in_the_problem() -> None:
    assert "another version" in run(plan(fail="deserialise"), plan())[0].plugin.problem


def test_an_engine_that_cannot_be_captured_is_judged_all_the_same() -> None:
    result, _ = run(plan(fail="capture"), plan())
    assert result.plugin.right
    assert "enqueue" in result.plugin.problem


def test_one_inference_runs_before_the_capture_and_each_engine_has_its_own_graph() -> None:
    _, gpu = run(plan(1e-3), plan(2e-3))
    assert gpu.names.count("cuStreamBeginCapture") == 2
    assert gpu.names.index("cuMemcpyDtoHAsync") < gpu.names.index("cuStreamBeginCapture")
    assert gpu.names.index("cuStreamBeginCapture") < gpu.names.index("cuGraphLaunch")
    assert gpu.memory == {}
    assert gpu.names.count("cuGraphExecDestroy") == 2
    assert gpu.names.count("cuEventCreate") == gpu.names.count("cuEventDestroy") == 4


def test_golden_inputs_are_run_in_batches_the_last_one_filled() -> None:
    assert [each.tolist() for each in rows(5, 2)] == [[0, 1], [2, 3], [4, 4]]
    result, _ = run(plan(), plan(), batch=2)
    assert result.plugin.right
    assert result.batch == 2


def test_the_stage_says_who_is_at_work() -> None:
    gpu, log, stages = Gpu(), BuildLog(), []
    trt = tensorrt(gpu)
    runtime, _logger = runtime_of(trt, log)

    def opened(way: Way) -> RaceEngine:
        assert stages[-1] == way
        return RaceEngine(trt, plan(), gpu, batch=1, runtime=runtime, log=log)  # type: ignore[arg-type]

    compete(
        opened,
        RaceData({"x": X}, {"y": 2 * X}, {"y": 0.1}, 1),
        stage=stages.append,
        effort=EFFORT,
        patience=PATIENCE,
    )
    assert stages == ["inline", "plugin", ""]


def test_an_output_that_the_engine_lacks_is_a_problem() -> None:
    gpu, log = Gpu(), BuildLog()
    trt = tensorrt(gpu)
    runtime, _logger = runtime_of(trt, log)
    result = compete(
        lambda way: RaceEngine(trt, plan(), gpu, batch=1, runtime=runtime, log=log),  # type: ignore[arg-type]
        RaceData({"x": X}, {"logits": X}, {"logits": 0.1}, 1),
        effort=EFFORT,
        patience=PATIENCE,
    )
    assert "no output logits" in result.plugin.problem
    assert judged(result)[0] == "inline"


def test_no_runtime_is_an_error() -> None:
    trt = tensorrt(Gpu())
    with pytest.raises(EngineIncompatible, match="no runtime"):
        runtime_of(SimpleNamespace(Runtime=lambda logger: None, ILogger=trt.ILogger), BuildLog())


def test_the_bindings_have_what_the_race_calls() -> None:
    trt, parts = pytest.importorskip("tensorrt_rtx"), ("name", "mode", "shape", "dtype")
    wanted = {
        trt: ("Runtime", "TensorIOMode", "ILogger", "nptype"),
        trt.Runtime: ("deserialize_cuda_engine",),
        trt.ICudaEngine: (
            *("num_io_tensors", "num_optimization_profiles", "create_execution_context", "get_tensor_profile_shape"),
            *(f"get_tensor_{what}" for what in parts),
        ),
        trt.IExecutionContext: (
            *("set_optimization_profile_async", "set_input_shape", "get_tensor_shape", "set_tensor_address"),
            "execute_async_v3",
        ),
    }
    assert [name for holder, names in wanted.items() for name in names if not hasattr(holder, name)] == []
    assert (4, *trt.Dims((-1, 2, 3))[1:]) == (4, 2, 3)
    assert trt.nptype(trt.float32) is np.float32
