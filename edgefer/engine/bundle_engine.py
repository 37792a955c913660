"""From a bundle to engines for this machine: each graph compiled, or found in the cache.

Of what is outside the bundle only TensorRT, the GPU and its driver matter, and all of them are in the cache key.
Compiling needs the package `onnx`; an engine that is in the cache needs neither that nor anything of the host half.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgefer import atomic
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.engine.bundle_work import BundleWork
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import GRAPH
from edgefer.engine.driver import cuda_driver
from edgefer.engine.flavours import FLAVOURS, detect
from edgefer.engine.known_bad import known_bad
from edgefer.engine.report import EngineReport
from edgefer.engine.trtexec import trtexec_command
from edgefer.errors import EnvironmentMismatch, UsageError
from edgefer.progress import Reporter, Silent

NO_ENGINE = "none"


@dataclass(frozen=True)
class GraphEngine:
    """The engine of one graph: where the plan lies in the cache, and where a copy was asked for and put."""

    role: str
    path: Path
    report: EngineReport
    cached: bool
    trtexec: str
    copy: Path | None = None

    @property
    def digest(self) -> str:
        """The digest of the engine's key, by which `EngineCache.discard` knows it."""
        return self.path.parent.name


@dataclass(frozen=True)
class EngineResult:
    """What compiling a bundle gave. `flavour` is "none" when nothing was built; then `notes` says why.

    `path`, `report` and `cached` are of the first graph, and None or False without engines. `trtexec` has a line for
    every graph, also without engines.
    """

    flavour: str
    version: str
    graphs: tuple[GraphEngine, ...]
    notes: tuple[str, ...]
    trtexec: str

    @property
    def path(self) -> Path | None:
        return self.graphs[0].path if self.graphs else None

    @property
    def report(self) -> EngineReport | None:
        return self.graphs[0].report if self.graphs else None

    @property
    def cached(self) -> bool:
        return bool(self.graphs) and all(graph.cached for graph in self.graphs)


def compile_bundle(
    bundle: Bundle,
    flavour: str = "auto",
    *,
    plugins: str | None = None,
    reporter: Reporter | None = None,
    cache: EngineCache | None = None,
    engine_out: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    require_cached: bool = False,
    workspace_bytes: int | None = None,
) -> EngineResult:
    """Compile every graph of `bundle` for this machine, or take it from the cache.

    Args:
        bundle: a verified bundle.
        flavour: `tensorrt`, `tensorrt_rtx`, `none` (no engine), or `auto`: the first that can build here, else none.
        plugins: whether operators of domain `edgefer` are compiled as plugins: `plugin`, `inline`, or `auto`, as is
            faster here; by default what the manifest says.
        reporter: hears of progress and of what is worth knowing about the TensorRT at hand.
        cache: where engines are kept; the user's cache folder by default.
        engine_out: also copy the plan there; with several graphs their names go before the suffix.
        timeout: seconds for compiling one graph; None for no limit.
        require_cached: build nothing.
        workspace_bytes: limit of the builder's scratch memory; None for 1 GiB. Another limit is another engine.

    Raises:
        UsageError: no such flavour, no such policy for plugins, or an engine is required of the flavour `none`.
        EngineMissing: an engine is required that the cache does not hold.
        PluginMissing: plugins were asked for and cannot be registered, or have no kernels for this GPU.
        EnvironmentMismatch: the flavour named is missing, `onnx` is missing and an engine must be built, or the cache
            or `engine_out` cannot be written.
        DeviceError: the flavour named needs a GPU and there is none.
        CompileError: TensorRT refused a graph, or died, or ran out of time.
    """
    reporter = reporter or Silent()
    if flavour == NO_ENGINE:
        if require_cached:
            raise UsageError("an engine is required, but the flavour `none` has none", hint="leave one of the two out")
        return _nothing(bundle, "no engine was asked for: the bundle runs on the CPU", reporter)
    driver = cuda_driver()
    try:
        chosen = detect(flavour, driver)
    except EnvironmentMismatch as error:
        if flavour != "auto" or require_cached:
            raise
        reason = f"no engine was built: {error.message}; the bundle runs on the CPU ({error.hint})"
        return _nothing(bundle, reason, reporter)
    notes = [chosen.note] if chosen.note else []
    notes += [line.text() for line in known_bad(chosen.name, chosen.version)]
    for note in notes:
        reporter.note(note)
    work = BundleWork(bundle, chosen, driver, cache or EngineCache(), reporter, timeout, plugins, workspace_bytes)
    engines = []
    for graph in bundle.manifest.graphs:
        engine = _engine(work, graph, require_cached)
        if engine_out is not None:
            engine = _copied(engine, _target(Path(engine_out), graph, len(bundle.manifest.graphs)))
        engines.append(engine)
    lines = "\n".join(engine.trtexec for engine in engines)
    return EngineResult(chosen.name, chosen.version, tuple(engines), tuple(notes), lines)


def cached_report(
    bundle: Bundle,
    graph: GraphSpec,
    flavour: str = "auto",
    cache: EngineCache | None = None,
    *,
    plugins: str | None = None,
    workspace_bytes: int | None = None,
) -> EngineReport | None:
    """The report of the graph's engine where the cache holds one; None without one, or without any TensorRT.

    Raises:
        UsageError: no such flavour, no such policy for plugins.
        EnvironmentMismatch: the cache cannot be read.
    """
    driver = cuda_driver()
    try:
        chosen = detect(flavour, driver)
    except EnvironmentMismatch:
        return None
    work = BundleWork(bundle, chosen, driver, cache or EngineCache(), Silent(), None, plugins, workspace_bytes)
    return work.cached(graph)


def _engine(work: BundleWork, graph: GraphSpec, require_cached: bool) -> GraphEngine:
    path, report, cached = work.required(graph) if require_cached else work.engine(graph)
    line = trtexec_command(
        graph,
        path.with_name(GRAPH),
        f"{_stem(graph)}.plan",
        flavour=work.flavour.name,
        dynamic=report.dynamic,
        workspace_bytes=report.workspace_bytes,
        plugins=bool(report.plugins),
    )
    return GraphEngine(role=graph.role, path=path, report=report, cached=cached, trtexec=line)


def _nothing(bundle: Bundle, reason: str, reporter: Reporter) -> EngineResult:
    reporter.note(reason)
    lines = [
        trtexec_command(graph, f"{_stem(graph)}.onnx", f"{_stem(graph)}.plan", flavour=FLAVOURS[0])
        for graph in bundle.manifest.graphs
    ]
    return EngineResult(NO_ENGINE, "", (), (reason,), "\n".join(lines))


def _target(engine_out: Path, graph: GraphSpec, graphs: int) -> Path:
    return engine_out if graphs == 1 else engine_out.with_suffix(f".{_stem(graph)}{engine_out.suffix}")


def _stem(graph: GraphSpec) -> str:
    """The graph's name among those of its bundle; a role may occur twice, a member's name cannot."""
    return PurePosixPath(graph.member).stem


def _copied(engine: GraphEngine, target: Path) -> GraphEngine:
    try:
        atomic.write_bytes(target, engine.path.read_bytes())
    except OSError as error:
        raise EnvironmentMismatch(
            f"cannot copy the engine to {target}: {error}",
            hint=f"name a file in a folder that exists and can be written; the engine is at {engine.path}",
        ) from error
    return GraphEngine(engine.role, engine.path, engine.report, engine.cached, engine.trtexec, target)
