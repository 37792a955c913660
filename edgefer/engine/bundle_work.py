"""The engine of one graph of a bundle: the way to compile it chosen, and the cache asked before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.choose import Choice, choose, policy_of
from edgefer.engine.compile import DEFAULT_WORKSPACE_BYTES, CompiledEngine, CompileRequest, compile_onnx
from edgefer.engine.decision import PluginDecision, RaceResult, Way
from edgefer.engine.driver import CudaDriver
from edgefer.engine.faster import build_faster
from edgefer.engine.flavours import Flavour
from edgefer.engine.missing import missing
from edgefer.engine.race import RaceData, race, race_data
from edgefer.engine.report import EngineReport
from edgefer.errors import CompileError, PluginMissing
from edgefer.progress import Reporter


@dataclass(frozen=True)
class BundleWork:
    """Compiling the graphs of one bundle. `plugins` is the policy asked for, None for that of the manifest;
    `workspace_bytes` the limit of the builder's scratch memory, None for the usual one."""

    bundle: Bundle
    flavour: Flavour
    driver: CudaDriver
    cache: EngineCache
    reporter: Reporter
    timeout: float | None
    plugins: str | None
    workspace_bytes: int | None = None

    def engine(self, graph: GraphSpec) -> tuple[Path, EngineReport, bool]:
        """The plan's path in the cache, its report, and whether it was there.

        Raises:
            EdgeferError: whatever keeps an engine from being built.
        """
        onnx = self.bundle.onnx(graph)
        choice, data = self._choice(graph)
        if choice.way is None and data is not None:
            return self.cache.fetch(self._judged_key(graph, data), self._faster(onnx, graph, data), self.reporter)
        return self._one_way(onnx, graph, choice, choice.way or "inline")

    def required(self, graph: GraphSpec) -> tuple[Path, EngineReport, bool]:
        """`engine` where none may be built.

        Raises:
            EngineMissing: the cache holds none; the message says what it would have to be built for, and in which
                fields the nearest one of this graph differs.
        """
        choice, data = self._choice(graph)
        if choice.way is None and data is not None:
            keys = [self._judged_key(graph, data)]
        else:
            way = choice.way or "inline"
            # Where plugins cannot be built and nobody insists on them, `engine` builds the other way.
            ways: tuple[Way, ...] = (way,) if way == "inline" or choice.asked == "plugin" else (way, "inline")
            keys = [self._key(graph, each) for each in ways]
        for key in keys:
            found = self.cache.find(key)
            if found is not None:
                return found[0], found[1] if choice.way is None else _with_choice(found[1], choice), True
        raise missing(self.cache, graph.role, keys[0])

    def cached(self, graph: GraphSpec) -> EngineReport | None:
        """The report of an engine that is there; nothing is built."""
        found = self.found(graph)
        return None if found is None else found[1]

    def found(self, graph: GraphSpec) -> tuple[Path, EngineReport] | None:
        """The plan's path in the cache and its report, of an engine that is there; nothing is built."""
        choice, data = self._choice(graph)
        if choice.way is None and data is not None:
            return self.cache.find(self._judged_key(graph, data))
        found = self.cache.find(self._key(graph, choice.way or "inline"))
        return None if found is None else (found[0], _with_choice(found[1], choice))

    def _choice(self, graph: GraphSpec) -> tuple[Choice, RaceData | None]:
        asked = policy_of(self.bundle, self.plugins)
        data, judge = None, ""
        if asked == "auto" and graph.operators and self.driver.gpus:
            data, judge = race_data(self.bundle, graph)
        precision = self.bundle.manifest.precision
        return choose(asked, graph, precision, self.flavour, self.driver, judge=judge), data

    def _one_way(
        self, onnx: bytes, graph: GraphSpec, choice: Choice, way: Way, notes: tuple[str, ...] = ()
    ) -> tuple[Path, EngineReport, bool]:
        try:
            path, report, cached = self.cache.fetch(
                self._key(graph, way), lambda: self._compiled(onnx, graph, way), self.reporter
            )
        except (CompileError, PluginMissing) as error:
            # What was measured elsewhere may not work here; what was asked for has to.
            if way == "inline" or choice.asked == "plugin":
                raise
            note = f"the engine with plugins could not be built: {error.message}"
            self.reporter.note(note)
            return self._one_way(onnx, graph, choice, "inline", (note,))
        return path, _with_choice(report, choice, notes), cached

    def _faster(self, onnx: bytes, graph: GraphSpec, data: RaceData) -> Callable[[], CompiledEngine]:
        def run(plans: dict[Way, bytes], judge: RaceData) -> RaceResult:
            return race(plans, judge, self.flavour.name, reporter=self.reporter)

        return lambda: build_faster(lambda way: self._compiled(onnx, graph, way), run, data)

    def _compiled(self, onnx: bytes, graph: GraphSpec, way: Way) -> CompiledEngine:
        return compile_onnx(
            onnx,
            self._request(graph, way),
            timeout=self.timeout,
            reporter=self.reporter,
            timing=self.cache.timing_folder,
        )

    def _request(self, graph: GraphSpec, way: Way) -> CompileRequest:
        workspace = DEFAULT_WORKSPACE_BYTES if self.workspace_bytes is None else self.workspace_bytes
        return CompileRequest(self.flavour.name, graph.batches, workspace, way)

    def _key(self, graph: GraphSpec, way: Way) -> CacheKey:
        return cache_key(self.bundle.onnx(graph), self._request(graph, way), self.flavour.version, self.driver)

    def _judged_key(self, graph: GraphSpec, data: RaceData) -> CacheKey:
        request, version = self._request(graph, "plugin"), self.flavour.version
        onnx = self.bundle.onnx(graph)
        return cache_key(onnx, request, version, self.driver, policy="auto", judged_by=data.digest())


def _with_choice(report: EngineReport, choice: Choice, notes: tuple[str, ...] = ()) -> EngineReport:
    """The report with what was asked for and why it was done so; an engine in the cache knows neither."""
    made = report.decision or PluginDecision(asked=choice.asked, taken="inline", reason="")
    reason = choice.reason
    if made.taken == "inline" and choice.way == "plugin":
        reason = f"{reason}, but {notes[0] if notes else made.reason}"
    decision = msgspec.structs.replace(made, asked=choice.asked, reason=reason, notes=(*made.notes, *notes))
    return msgspec.structs.replace(report, decision=decision)
