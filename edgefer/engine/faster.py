"""Both ways built, timed on this GPU, and the faster one that answers right kept, with what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from edgefer.engine.compile import CompiledEngine
from edgefer.engine.decision import PluginDecision, RaceResult, Way
from edgefer.engine.race import RaceData, judged
from edgefer.errors import CompileError, PluginMissing

Build = Callable[[Way], CompiledEngine]
Run = Callable[[dict[Way, bytes], RaceData], RaceResult]


def build_faster(build: Build, run: Run, data: RaceData) -> CompiledEngine:
    """The engine to keep; its report says why. One way that cannot be built leaves the other.

    Args:
        build: compiles the graph in one way.
        run: runs both plans against each other, as `race` does.
        data: what they are judged by.

    Raises:
        CompileError: neither way can be built; the error is that of the engine without plugins.
        EnvironmentMismatch: something is missing that both ways need.
    """
    without = _attempt(build, "inline")
    try:
        plugins = build("plugin")
    except (CompileError, PluginMissing) as error:
        if isinstance(without, CompileError):
            raise without from error
        reason = f"the engine with plugins could not be built: {error.message}"
        return _told(without, "inline", reason, notes=(reason,))
    if isinstance(without, CompileError):
        reason = f"the engine without plugins could not be built: {without.message}"
        return _told(plugins, "plugin", reason, notes=(reason,))
    decision = plugins.report.decision
    if decision is None or decision.taken == "inline":
        return _told(without, "inline", "no kernel fits any of the nodes", like=decision)
    result = run({"plugin": plugins.plan, "inline": without.plan}, data)
    way, reason = judged(result)
    return _told(plugins if way == "plugin" else without, way, reason, result=result, like=decision)


def _attempt(build: Build, way: Way) -> CompiledEngine | CompileError:
    try:
        return build(way)
    except CompileError as error:
        return error


def _told(
    engine: CompiledEngine,
    way: Way,
    reason: str,
    *,
    notes: tuple[str, ...] = (),
    result: RaceResult | None = None,
    like: PluginDecision | None = None,
) -> CompiledEngine:
    """The engine with its decision in its report; `like` is that of the engine with plugins, for what did not fit."""
    made = engine.report.decision
    decision = PluginDecision(
        asked="auto",
        taken=way,
        reason=reason,
        operators=made.operators if made is not None and way == "plugin" else {},
        written_out=like.written_out if like is not None else (),
        absorbed=made.absorbed if made is not None and way == "plugin" else (),
        notes=notes,
        race=result,
    )
    report = msgspec.structs.replace(engine.report, decision=decision)
    return replace(engine, report=report)
