"""Sessions over the hand-built network: everything that a session on TensorRT is made of, but for TensorRT."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.gpu_check.hand_built import HandBuilt
from benchmarks.gpu_check.hand_engine import HandBuiltEngine
from benchmarks.gpu_check.subject import Subject
from edgefer.kernels import cubins
from edgefer.kernels.launch import Kernels
from edgefer.runtime import runners
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu import engine_check
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu.memory_need import check_limit, memory_need
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.runner import RunnerRequest
from edgefer.runtime.runners import RunnerEntry
from edgefer.runtime.session import Session
from edgefer.runtime.tensorrt import TensorRtRunner

ENGINE = "built by hand"


def hand_subject(network: HandBuilt | None = None, folder: Path = cubins.FOLDER) -> Subject:
    """The network as something to open; `folder` has the kernels' binaries."""
    made = network or HandBuilt()
    bundle = made.bundle()

    def open_session(settings: GpuSettings) -> Session:
        entry = RunnerEntry("tensorrt", "tensorrt", lambda: None, lambda request: opened(made, request, folder))
        # A session takes its runners from this table, and has no other way in.
        with mock.patch.object(runners, "RUNNERS", (entry,)):
            return Session(bundle, device="tensorrt", gpu=settings)

    return Subject(ENGINE, bundle, open_session)


def opened(network: HandBuilt, request: RunnerRequest, folder: Path) -> Any:
    """The runner, as one over an engine of TensorRT is put together.

    Raises:
        DeviceError: the driver refused something.
        EngineIncompatible: the network does not answer the golden inputs as it should.
        EnvironmentMismatch: a package or the kernels' binaries are missing.
        UsageError: the session would take more memory than its limit.
    """
    settings = request.gpu or GpuSettings()
    started = time.perf_counter()
    device = CudaDevice(settings.ordinal)
    with ExitStack() as undo:
        undo.callback(device.close)
        zero_copy = device.integrated if settings.zero_copy is None else settings.zero_copy
        with device.current():
            kernels = Kernels(settings.ordinal, driver=device.driver, folder=folder)
            device.hold(kernels.close)
            engine: Any = HandBuiltEngine(network, device, kernels)
            check_limit(memory_need(engine, settings, zero_copy=zero_copy), settings)
            request.seconds["deserialise"] = time.perf_counter() - started
            started = time.perf_counter()
            refused: list[str] = []
            lanes = [
                Lane(device, engine, settings, zero_copy=zero_copy, told=refused.append)
                for _ in range(settings.streams)
            ]
            request.seconds["capture"] = time.perf_counter() - started
        runner = TensorRtRunner(device, engine, lanes, {"kernels": kernels.binary.toolkit})
        started = time.perf_counter()
        request.settings["judged"] = engine_check.judge(request.bundle, request.graph, [runner.run], engine.batches)
        request.seconds["golden"] = time.perf_counter() - started
        request.settings["loading"] = ENGINE
        if refused:
            request.settings["graph"] = f"none where the capture was refused: {refused[0]}"
        undo.pop_all()
    return runner
