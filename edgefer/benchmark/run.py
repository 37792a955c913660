"""One benchmark of one bundle, part by part, into one `Result`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Literal, TypeVar

import msgspec

from edgefer.benchmark import stimulus
from edgefer.benchmark.closed_loop import closed_loop, noted
from edgefer.benchmark.cold_start import cold_start
from edgefer.benchmark.layers import compiled_layers, layers
from edgefer.benchmark.machine import Observer, describe, warnings
from edgefer.benchmark.memory import memory
from edgefer.benchmark.nvml import open_nvml
from edgefer.benchmark.open_loop import Camera, open_loop
from edgefer.benchmark.power import PowerSampler, Window, find_source, power
from edgefer.benchmark.result import (
    ClosedLoop,
    Conditions,
    Moment,
    OpenLoop,
    Power,
    Result,
    Rival,
    Settings,
    Switch,
    Throughput,
)
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.benchmark.steady import warm_up
from edgefer.benchmark.subject import subject
from edgefer.benchmark.throughput import sweep
from edgefer.benchmark.timeline import Action, Aside, Effort, Timeline
from edgefer.bundle.container import Bundle
from edgefer.engine.bundle_engine import compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.report import EngineReport
from edgefer.errors import EdgeferError
from edgefer.progress import Reporter, Silent
from edgefer.runtime.gpu_settings import MOST_STREAMS
from edgefer.runtime.session import Session
from edgefer.version import __version__

IDLE_SECONDS = 5.0
THROUGHPUT_SECONDS = 2.0

Found = TypeVar("Found")
Measured = Literal["infer", "images", "runner"]


def benchmark(
    bundle: Bundle | str | os.PathLike[str],
    spec: BenchmarkSpec | None = None,
    reporter: Reporter | None = None,
    *,
    command: Sequence[str] = (),
) -> Result:
    """Measure a bundle on this machine.

    A part that cannot be had here is left out, and `missing` of the result says why; only a bundle that cannot be
    opened at all, or a closed loop that fails, is an error.

    Args:
        bundle: a bundle, or the path of one; cold start and memory need a path.
        spec: what to measure; everything for a few seconds each where None.
        reporter: hears of progress.
        command: the command line, for the record.

    Raises:
        BundleError: the file is not a whole bundle.
        EnvironmentMismatch: the device, or a package that it needs, cannot be had here.
        InputError: the bundle has no such graph.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.read(bundle)
    return _Benchmark(opened, spec or BenchmarkSpec(), reporter or Silent()).run(tuple(command))


class _Benchmark:
    """A benchmark under way: one clock, one observer, and what could not be measured."""

    def __init__(self, bundle: Bundle, spec: BenchmarkSpec, reporter: Reporter) -> None:
        self._bundle, self._spec, self._reporter = bundle, spec, reporter
        self._graph = bundle.graph(spec.graph)
        self._timeline = Timeline()
        self._moments: list[Moment] = []
        self._missing: dict[str, str] = dict.fromkeys(sorted(spec.skip), "left out with --skip")

    def run(self, command: tuple[str, ...]) -> Result:
        with ExitStack() as stack:
            gpu, _ = open_nvml()
            if gpu is not None:
                stack.callback(gpu.close)
            self._observer = Observer(nvml=gpu)
            machine = describe(nvml=gpu)
            self._look()
            session = stack.enter_context(self._session())
            self._runner = str(session.info["runner"])
            self._reporter.note(f"runs on {self._runner}: {session.info['why']}")
            closed, power_found = self._closed(session)
            opened = self._part("open", lambda: (self._open(session),)) or ()
            rates = self._part("throughput", lambda: self._throughput(session)) or ()
            rivals = self._rivals(session)
            info = session.info
        # The parts below open sessions of their own, partly in other processes: this one is closed by then.
        engine = self._part("compiled", self._compiled)
        times = self._part("layers", lambda: layers(self._bundle, replace(self._spec, device=self._runner)))
        cold = self._part("cold-start", lambda: cold_start(self._bundle, self._spec, self._reporter))
        size = None if engine is None else engine.plan_bytes
        held = self._part("memory", lambda: memory(self._bundle, self._spec, engine=size))
        self._look()
        return Result(
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            command=command,
            edgefer=__version__,
            subject=subject(self._bundle, self._graph),
            conditions=Conditions(
                machine=machine, moments=tuple(self._moments), warnings=warnings(machine, self._moments)
            ),
            closed=closed,
            opened=opened,
            throughput=rates,
            cold_start=cold,
            memory=held,
            power=power_found,
            layers=times,
            compiled=None if engine is None else compiled_layers(self._bundle, engine, self._spec.graph),
            rivals=rivals,
            missing=self._missing,
            info=info,
        )

    def _session(self) -> Session:
        spec, gpu = self._spec, self._spec.gpu
        if spec.wants("throughput"):  # whose streams share this session
            gpu = replace(gpu, streams=min(MOST_STREAMS, max(*spec.streams, gpu.streams)))
        return Session(
            self._bundle,
            device=spec.device,
            threads=spec.threads,
            graph=spec.graph,
            gpu=gpu,
            reporter=self._reporter,
        )

    def _look(self) -> None:
        self._moments.append(self._observer.moment(self._now()))

    def _now(self) -> float:
        return self._timeline.since_start(self._timeline.now())

    def _part(self, name: str, measure: Callable[[], Found]) -> Found | None:
        """What `measure` finds; None where the part is not wanted or cannot be had, which `missing` then says."""
        if not self._spec.wants(name):
            return None
        try:
            with self._reporter.task(name):
                return measure()
        except EdgeferError as error:
            self._missing[name] = error.message
            return None

    def _settings(self, session: Session, measured: Measured) -> Settings:
        info = session.info
        copies, graph = _on_gpu(info)
        return Settings(
            runner=str(info["runner"]),
            device="cpu" if info["device"] == "cpu" else "gpu",
            measured=measured,
            precision=str(info["precision"]),
            threads=self._spec.threads,
            copies=copies,
            graph=graph,
            versions=dict(info["versions"]),  # type: ignore[call-overload]
            note="; ".join(f"{name}: {value}" for name, value in info["settings"].items()),  # type: ignore[attr-defined]
        )

    def _closed(self, session: Session) -> tuple[tuple[ClosedLoop, ...], Power | None]:
        loops: list[ClosedLoop] = []
        found = None
        for measured, action in self._actions(session).items():
            if self._spec.wants("images" if measured == "images" else "closed"):
                # Power is of the first loop: the sum over both would belong to neither.
                loop, drawn = self._loop(session, measured, action, with_power=not loops)
                loops.append(loop)
                found = drawn or found
        return tuple(loops), found

    def _actions(self, session: Session) -> dict[Measured, Action]:
        """What a caller of the session can do with this graph; the last is what an application does with a frame."""
        tensors, frames = stimulus.tensors(self._bundle, self._graph), stimulus.frames(self._graph)
        if not any(output.role == "logits" for output in self._graph.outputs):
            self._missing.setdefault("images", "the graph has no logits, so there is nothing to infer from an image")
            return {"runner": lambda: session.run(tensors)}
        actions: dict[Measured, Action] = {"infer": lambda: session.infer(**tensors)}
        try:
            session.infer_images(**frames)  # type: ignore[arg-type]
        except EdgeferError as error:  # an input that is no image, or no OpenCV
            self._missing.setdefault("images", error.message)
            return actions
        return {**actions, "images": lambda: session.infer_images(**frames)}  # type: ignore[arg-type]

    def _loop(
        self, session: Session, measured: Measured, action: Action, *, with_power: bool
    ) -> tuple[ClosedLoop, Power | None]:
        source, reason = None, ""
        if with_power and self._spec.wants("power"):
            source, reason = find_source(gpu=session.info["device"] != "cpu")
            if source is None:
                self._missing["power"] = reason
        effort = Effort(self._spec.runs, self._spec.seconds, max(60.0, 4 * self._spec.seconds), self._spec.confidence)
        aside = Aside(self._look, every=0.5)
        settings = self._settings(session, measured)
        with self._reporter.task(f"{measured}, one after the other"):
            if source is None:
                loop = closed_loop(action, settings=settings, effort=effort, aside=aside, timeline=self._timeline)
                return loop, None
            try:
                with PowerSampler(source, now=self._now) as sampler:
                    idle = sampler.idle(IDLE_SECONDS)
                    loop = closed_loop(action, settings=settings, effort=effort, aside=aside, timeline=self._timeline)
            finally:
                source.close()
        window = Window(loop.started[0], loop.started[-1] + loop.durations[-1])
        found, problem = power(sampler.series(), run=window, inferences=len(loop.durations), idle=idle)
        if found is None:
            self._missing["power"] = problem
        return loop, found

    def _open(self, session: Session) -> OpenLoop:
        """At a camera's rate, pre-processing included where the graph takes images."""
        measured, action = list(self._actions(session).items())[-1]
        with self._reporter.task(f"{measured}, {self._spec.rate:g} frames a second"):
            return open_loop(
                [action],
                settings=self._settings(session, measured),
                camera=Camera(
                    rate=self._spec.rate,
                    seconds=self._spec.duration,
                    queue_limit=self._spec.queue,
                    confidence=self._spec.confidence,
                ),
                warmed=warm_up(action, timeline=self._timeline),
                aside=Aside(self._look, every=2.0),
                timeline=self._timeline,
            )

    def _throughput(self, session: Session) -> tuple[Throughput, ...]:
        example = stimulus.tensors(self._bundle, self._graph)
        asked = self._spec.batches or tuple(sorted(self._graph.batches))
        unknown = sorted(set(asked) - set(session.batches))
        if unknown:
            self._missing["throughput"] = (
                f"the graph takes no batch of {', '.join(map(str, unknown))}: it was made for "
                f"{', '.join(map(str, sorted(session.batches)))} (build it with --batch)"
            )

        @contextmanager
        def opened(batch: int, streams: int) -> Iterator[tuple[Settings, Sequence[Action]]]:
            feeds = stimulus.batch(example, batch)
            settings = msgspec.structs.replace(
                self._settings(session, "infer"), measured="runner", batch=batch, streams=streams
            )
            yield noted(settings, "the streams share one session"), [lambda: session.run(feeds)] * streams

        effort = Effort(2, THROUGHPUT_SECONDS, 10 * THROUGHPUT_SECONDS, self._spec.confidence)
        batches = [size for size in asked if size not in unknown]
        return sweep(batches, self._spec.streams, opened, effort=effort, timeline=self._timeline)

    def _rivals(self, session: Session) -> tuple[Rival, ...]:
        if not self._spec.against:
            self._missing["against"] = "not asked for; --against measures the same network by other means in turn"
            return ()
        from edgefer.benchmark.rivals import measure_rivals

        with self._reporter.task("rivals"):
            found, absent = measure_rivals(session, self._bundle, self._spec.against, threads=self._spec.threads)
        self._missing.update({f"against {name}": reason for name, reason in absent.items()})
        return found

    def _compiled(self) -> EngineReport | None:
        gpu = self._spec.gpu
        engine = compile_bundle(
            self._bundle,
            plugins=gpu.plugins,
            reporter=Silent(),
            cache=None if gpu.cache is None else EngineCache(gpu.cache),
            timeout=gpu.timeout,
            require_cached=gpu.require_cached,
            workspace_bytes=gpu.workspace_bytes,
        )
        role = self._graph.role
        report = next((each.report for each in engine.graphs if each.role == role), None)
        if report is None:
            self._missing["compiled"] = "; ".join(engine.notes) or "no engine was compiled"
        return report


def _on_gpu(info: Mapping[str, Any]) -> tuple[Switch, Switch]:
    """Whether copies to and from the GPU are measured, and whether a CUDA graph is replayed."""
    if info["device"] == "cpu":
        return "not-applicable", "not-applicable"
    mapped = str(info["settings"].get("memory", "")).startswith("mapped")
    return "off" if mapped else "on", "on" if info["counters"].get("launches") else "off"
