"""Both ways built and the faster kept: each way of failing leaves the other, with the reason in the record."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from edgefer.engine.compile import CompiledEngine
from edgefer.engine.decision import Contender, PluginDecision, RaceResult, Way, WrittenOut
from edgefer.engine.faster import build_faster
from edgefer.engine.layers import LayerCounts
from edgefer.engine.race import RaceData
from edgefer.engine.report import EngineReport
from edgefer.errors import CompileError, EnvironmentMismatch, PluginMissing

DATA = RaceData({"x": np.zeros((1, 1))}, {"y": np.zeros((1, 1))}, {"y": 0.1}, 1)
FIT = PluginDecision(asked="plugin", taken="plugin", reason="", operators={"CbamAttention": 8}, absorbed=("a",))
LEFT = WrittenOut(node="n", operator="CbamAttention", reason="too wide")


def engine(way: Way, decision: PluginDecision | None = None) -> CompiledEngine:
    plan = way.encode()
    report = EngineReport(
        flavour="tensorrt",
        version="10.3.0",
        note="",
        targets=("8.7",),
        platform="Linux-aarch64",
        batches=(1,),
        dynamic=False,
        workspace_bytes=1,
        plugins=(),
        parsed_sha256="",
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        seconds={},
        inputs=(),
        outputs=(),
        layers=(),
        counts=LayerCounts(),
        decision=decision or PluginDecision(asked="inline", taken="inline", reason=""),
    )
    return CompiledEngine(plan=plan, report=report, onnx=b"", timing=b"times of " + plan)


def build(plugin: CompiledEngine | Exception, inline: CompiledEngine | Exception) -> Any:
    ways: dict[Way, CompiledEngine | Exception] = {"plugin": plugin, "inline": inline}

    def one(way: Way) -> CompiledEngine:
        found = ways[way]
        if isinstance(found, Exception):
            raise found
        return found

    return one


def never(plans: Any, data: Any) -> RaceResult:
    raise AssertionError("there is nothing to time")


def race(ratio: float) -> Any:
    def run(plans: dict[Way, bytes], data: RaceData) -> RaceResult:
        assert plans == {"plugin": b"plugin", "inline": b"inline"}
        assert data is DATA
        return RaceResult(
            plugin=Contender(right=True, seconds=ratio * 1e-3),
            inline=Contender(right=True, seconds=1e-3),
            batch=1,
            ratio=ratio,
            low=ratio,
            high=ratio,
            confidence=0.99,
            verdict="faster" if ratio < 1 else "slower",
        )

    return run


@pytest.mark.parametrize(("ratio", "way"), [(0.5, "plugin"), (1.5, "inline")])
def test_the_faster_is_kept_with_both_times(ratio: float, way: str) -> None:
    kept = build_faster(build(engine("plugin", FIT), engine("inline")), race(ratio), DATA)
    assert kept.timing == b"times of " + kept.plan
    assert kept.plan == way.encode()
    decision = kept.report.decision
    assert decision is not None
    assert (decision.asked, decision.taken) == ("auto", way)
    assert decision.race is not None
    assert (decision.race.plugin.seconds, decision.race.inline.seconds) == (ratio * 1e-3, 1e-3)
    assert decision.operators == (FIT.operators if way == "plugin" else {})
    assert decision.absorbed == (FIT.absorbed if way == "plugin" else ())


@pytest.mark.parametrize("error", [CompileError("no format fits"), PluginMissing("no kernels for 5.3")])
def test_plugins_that_cannot_be_built_leave_the_other_with_a_note(error: Exception) -> None:
    kept = build_faster(build(error, engine("inline")), never, DATA)
    assert kept.plan == b"inline"
    assert kept.report.decision is not None
    assert str(error) in kept.report.decision.notes[0]
    assert str(error) in kept.report.decision.reason


def test_only_plugins_can_be_built() -> None:
    kept = build_faster(build(engine("plugin", FIT), CompileError("the scores overflow")), never, DATA)
    assert kept.plan == b"plugin"
    assert kept.report.decision is not None
    assert "the scores overflow" in kept.report.decision.notes[0]


def test_neither_can_be_built() -> None:
    with pytest.raises(CompileError, match="without"):
        build_faster(build(CompileError("with"), CompileError("without")), never, DATA)


def test_what_both_need_and_is_missing_is_an_error() -> None:
    with pytest.raises(EnvironmentMismatch, match="onnx"):
        build_faster(build(engine("plugin", FIT), EnvironmentMismatch("onnx is missing")), never, DATA)


def test_where_no_kernel_fits_nothing_is_timed() -> None:
    unfit = PluginDecision(asked="plugin", taken="inline", reason="", written_out=(LEFT,))
    kept = build_faster(build(engine("plugin", unfit), engine("inline")), never, DATA)
    assert kept.plan == b"inline"
    assert kept.report.decision is not None
    assert kept.report.decision.written_out == (LEFT,)
