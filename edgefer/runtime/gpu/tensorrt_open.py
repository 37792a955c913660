"""From a bundle to a runner on this machine's GPU: the engine found or compiled, loaded, judged, and warm.

In this order: the packages are looked for before minutes are spent on compiling; the GPU is opened after that, so that
the builder has its memory; nothing answers before it has been judged. When anything fails, all that was opened is given
back in reverse order.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.engine.bundle_work import BundleWork
from edgefer.engine.cache import EngineCache
from edgefer.engine.driver import CudaDriver
from edgefer.engine.flavours import Flavour
from edgefer.engine.known_bad import known_bad
from edgefer.engine.loaded import LoadedEngine
from edgefer.engine.register import register_plugins
from edgefer.engine.report import EngineReport
from edgefer.errors import EdgeferError, EdgeferWarning, EngineIncompatible, EnvironmentMismatch
from edgefer.kernels.driver import load_bindings
from edgefer.progress import Advance, Reporter, Silent
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.fallback import outside
from edgefer.runtime.gpu import engine_check, tensorrt_log
from edgefer.runtime.gpu.cuda_errors import load_pycuda
from edgefer.runtime.gpu.inference import MAKING
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu.machine import Machine, check_gpu
from edgefer.runtime.gpu.memory_need import check_limit, memory_need
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.runner import RunnerRequest
from edgefer.runtime.tensorrt import TensorRtRunner
from edgefer.stopwatch import timed

Array = npt.NDArray[Any]


def open_tensorrt(request: RunnerRequest, machine: Machine | None = None) -> TensorRtRunner:
    """A runner for the graph of a request, ready to answer.

    What each stage took goes into `request.seconds` ("engine", "deserialise", "capture", "golden", "warm-up"), and what
    was found and chosen into `request.settings`: "loading" is "cold" where the engine was compiled, "warm" where it was
    in the cache.

    Raises:
        EnvironmentMismatch: a package or TensorRT is missing, or the cache cannot be used.
        EngineMissing: an engine is required that the cache does not hold.
        PluginMissing: the engine needs plugins that cannot be registered.
        DeviceError: there is no such GPU, or the driver refused something.
        CompileError: TensorRT refused the graph.
        EngineIncompatible: TensorRT does not take the engine, or it does not answer as the bundle says.
        UsageError: the settings cannot be met on this GPU, such as its limit of memory.
    """
    machine, settings = machine or Machine(), request.gpu or GpuSettings()
    load_bindings()
    load_pycuda()
    driver = machine.driver()
    check_gpu(driver, settings.ordinal)
    flavour = machine.flavour(driver)
    cache = EngineCache(settings.cache)
    with timed(request.seconds, "engine"):
        path, report, cached = _engine(request, settings, flavour, driver, cache)
    request.settings["loading"] = "warm" if cached else "cold"
    request.settings.update(_of_report(report))
    try:
        if report.plugins:
            register_plugins(flavour)
        device = machine.device(settings.ordinal)
        try:
            return _Opening(request, settings, device, flavour, driver).run(path, report, machine)
        except BaseException:
            with suppress(EdgeferError):  # what is on its way up says more
                device.close()
            raise
    except engine_check.UnfitEngine as error:
        if not cached or settings.require_cached:
            raise
        hint = "it was removed from the cache, and is compiled anew next time"
        try:
            cache.discard(path.parent.name, report.plan_sha256)
        except EnvironmentMismatch as unwritable:
            hint = f"it cannot be removed from the cache: {unwritable.message}"
        raise EngineIncompatible(error.message, hint=hint, details=error.details) from error


class _Opening:
    """The steps on an open GPU. What is made is given back by the device."""

    def __init__(
        self,
        request: RunnerRequest,
        settings: GpuSettings,
        device: CudaDevice,
        flavour: Flavour,
        driver: CudaDriver,
    ) -> None:
        self._request, self._settings, self._device = request, settings, device
        self._flavour, self._driver = flavour, driver

    def run(self, path: Path, report: EngineReport, machine: Machine) -> TensorRtRunner:
        request, seconds = self._request, self._request.seconds
        with self._device.current():
            with timed(seconds, "deserialise"):
                engine = self._loaded(path, report)
            with timed(seconds, "capture"):
                lanes = self._lanes(engine)
            runs = [partial(_run, lane) for lane in lanes]
            with timed(seconds, "golden"):
                judged = engine_check.judge(request.bundle, request.graph, runs, engine.batches)
            with timed(seconds, "warm-up"):
                request.settings["warm-up"] = self._warm_up(runs, engine.batches, machine)
        request.settings["judged"] = judged
        versions = {self._flavour.name: self._flavour.version, "cuda driver": self._driver.version or "unknown"}
        return TensorRtRunner(self._device, engine, lanes, versions)

    def _loaded(self, path: Path, report: EngineReport) -> LoadedEngine:
        try:
            plan = path.read_bytes()
        except OSError as error:
            raise EnvironmentMismatch(f"the engine cannot be read: {error}", hint="start again") from error
        trt = self._flavour.module
        _, log = tensorrt_log.runtime_log(trt)
        log.forget()
        try:
            with MAKING:
                engine = LoadedEngine(trt, plan, runtime=tensorrt_log.runtime(trt), log=log)
        except EngineIncompatible as error:
            raise self._mismatch(report, error) from error
        self._device.hold(engine.close)
        return engine

    def _mismatch(self, report: EngineReport, error: EngineIncompatible) -> EngineIncompatible:
        """What the engine was built for, and what is here."""
        gpu = self._device.gpu
        # There may be too little memory now, and enough of it later.
        kind = EngineIncompatible if "memory" in error.message.lower() else engine_check.UnfitEngine
        return kind(
            f"{error.message}; the engine was built by {report.flavour} {report.version} for compute capability "
            f"{', '.join(report.targets)} on {report.platform}, and here are {self._flavour.name} "
            f"{self._flavour.version}, {self._device.name} ({gpu.compute_capability}) and a driver for CUDA "
            f"{self._driver.version}",
            hint=error.hint or "compile the bundle on this machine",
            details=error.details,
        )

    def _lanes(self, engine: LoadedEngine) -> list[Lane]:
        settings, device, told = self._settings, self._device, _Told(self._request.settings)
        zero_copy = device.integrated if settings.zero_copy is None else settings.zero_copy
        need = memory_need(engine, settings, zero_copy=zero_copy)
        check_limit(need, settings)
        self._request.settings.update(
            {
                "memory": _why_memory(settings, zero_copy=zero_copy),
                "GPU memory": need.text(),
                "streams": f"{settings.streams}, priority {settings.priority}",
                "graph": "one CUDA graph for each batch" if settings.graphs else "none: not asked for",
            }
        )
        return [Lane(device, engine, settings, zero_copy=zero_copy, told=told.refused) for _ in range(settings.streams)]

    def _warm_up(self, runs: Sequence[engine_check.Run], batches: Sequence[int], machine: Machine) -> str:
        from edgefer.benchmark.steady import Patience, warm_up

        patience = Patience(runs=machine.warm_up_runs, seconds=0.0, most_seconds=machine.warm_up_seconds)
        example, said = engine_check.made_up(self._request.graph), []
        for batch in batches:
            feeds = {name: np.repeat(value, batch, axis=0) for name, value in example.items()}

            def once(feeds: Mapping[str, Array] = feeds) -> None:
                for run in runs:
                    run(feeds)

            found = warm_up(once, patience=patience)
            steady = "steady" if found.steady else f"not steady after {found.limit}"
            said.append(f"batch {batch}: {steady}, {found.runs} runs in {found.seconds:.2f} s")
        return "; ".join(said)


class _Noted:
    """A reporter that keeps the notes beside telling them."""

    def __init__(self, listener: Reporter) -> None:
        self._listener = listener
        self.notes: list[str] = []

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        return self._listener.task(name, total)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._listener.note(text)


class _Told:
    """Says once that something is not replayed from a graph."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings, self._once = settings, False

    def refused(self, reason: str) -> None:
        if self._once:
            return
        self._once = True
        self._settings["graph"] = f"none where the capture was refused, and every kernel is launched: {reason}"
        warnings.warn(
            EdgeferWarning(f"an inference could not be captured as a CUDA graph and is enqueued instead: {reason}"),
            stacklevel=outside(),
        )


def _engine(
    request: RunnerRequest, settings: GpuSettings, flavour: Flavour, driver: CudaDriver, cache: EngineCache
) -> tuple[Path, EngineReport, bool]:
    reporter = _Noted(request.reporter or Silent())
    work = BundleWork(
        request.bundle,
        flavour,
        driver,
        cache,
        reporter,
        settings.timeout,
        settings.plugins,
        settings.workspace_bytes,
    )
    notes = [flavour.note] if flavour.note else []
    notes += [line.text() for line in known_bad(flavour.name, flavour.version)]
    path, report, cached = work.required(request.graph) if settings.require_cached else work.engine(request.graph)
    if notes or reporter.notes:
        request.settings["notes"] = "; ".join((*notes, *reporter.notes))
    return path, report, cached


def _of_report(report: EngineReport) -> dict[str, str]:
    """What of an engine's report belongs beside its answers."""
    decision = report.decision
    ways = f"{decision.taken}: {decision.reason}" if decision is not None else "inline"
    return {
        "engine": f"{report.flavour} {report.version} for compute capability {', '.join(report.targets)}",
        "plan": report.plan_sha256,
        "plugins": f"{ways} ({', '.join(report.plugins)})" if report.plugins else ways,
    }


def _why_memory(settings: GpuSettings, *, zero_copy: bool) -> str:
    asked = "as asked for" if settings.zero_copy is not None else "as the GPU and the host"
    if zero_copy:
        return f"mapped, no copies: {asked}" + ("" if settings.zero_copy is not None else " share their memory")
    return f"page-locked, copies inside of the graph: {asked}" + (
        "" if settings.zero_copy is not None else " have memory of their own"
    )


def _run(lane: Lane, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """One inference on a lane that nobody else has yet."""
    batch = len(next(iter(feeds.values()), ())) or lane.engine.batches[0]
    for name, array in lane.batches[batch].inputs:
        array[...] = feeds[name]
    lane.launch(lane.plain[batch])
    lane.wait()
    return lane.results(batch)
