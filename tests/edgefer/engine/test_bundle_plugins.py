"""From a bundle with operators of domain edgefer to an engine: as the host decided, or as is told, and as is faster."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import (
    BudgetSpec,
    GateSpec,
    GoldenSpec,
    GraphSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    PluginPolicy,
    Provenance,
)
from edgefer.engine import bundle_engine, bundle_work
from edgefer.engine.bundle_engine import cached_report, compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.choice_table import Choice, ChoiceTable
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.decision import Contender, PluginDecision, RaceResult
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.layers import LayerCounts
from edgefer.engine.report import EngineReport
from edgefer.errors import CompileError, PluginMissing
from edgefer.progress import Silent

needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
NOTHING = CudaDriver(version=None, problem="no CUDA driver")


@pytest.fixture
def make_bundle(make_portable: Callable[..., bytes]) -> Callable[..., Bundle]:
    """`make_bundle(policy, golden=True)`: a bundle whose manifest says that its graph has a CbamAttention."""

    def make(policy: PluginPolicy = "auto", *, golden: bool = True, precision: Any = "fp16") -> Bundle:
        x = np.zeros((4, 8, 16, 16), np.float32)
        spec = GoldenSpec(
            count=4,
            inputs={"x": "golden/x.npy"},
            reference={"y": "golden/y.npy"},
            expected={"y": "golden/y.npy"},
            tolerance=0.1,
        )
        graph = GraphSpec(
            role="fused",
            member="graphs/fused.onnx",
            inputs=(InputSpec(name="x", role="other", shape=(1, 8, 16, 16)),),
            outputs=(OutputSpec(name="y", role="other", shape=(1, 8, 16, 16)),),
            operators=("CbamAttention",),
        )
        manifest = Manifest(
            network=NetworkSpec(name="tiny"),
            graphs=(graph,),
            labels=(),
            precision=precision,
            gate=GateSpec(verdict="not-run", reason="no data", budget=BudgetSpec()),
            provenance=Provenance(created="2025-01-01T00:00:00Z"),
            golden=spec if golden else None,
            plugin_policy=policy,
        )
        members = {graph.member: make_portable()}
        if golden:
            members |= {"golden/x.npy": encode_array(x), "golden/y.npy": encode_array(x)}
        return Bundle.from_members(manifest, members)

    return make


class Machine:
    """A machine with a TensorRT and perhaps a GPU, on which nothing is compiled: which ways were asked for is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.races = 0
        self.ratio = 0.5
        module = SimpleNamespace(__version__="10.3.0", Builder=object, OnnxParser=object)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        monkeypatch.setattr(bundle_engine, "cuda_driver", lambda: ORIN)
        monkeypatch.setattr(bundle_work, "compile_onnx", self.compile)
        monkeypatch.setattr(bundle_work, "race", self.race)

    def compile(self, onnx: bytes, request: CompileRequest, **named: Any) -> CompiledEngine:
        self.built.append(request.way)
        if request.way in self.fail:
            raise self.fail[request.way]
        plan = request.way.encode() * 10
        operators = {"CbamAttention": 3} if request.way == "plugin" else {}
        report = EngineReport(
            flavour="tensorrt",
            version="10.3.0",
            note="",
            targets=("8.7",),
            platform="Linux-aarch64",
            batches=(1,),
            dynamic=False,
            workspace_bytes=1,
            plugins=tuple(f"edgefer::{name}" for name in operators),
            parsed_sha256="",
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            plan_bytes=len(plan),
            seconds={"total": 1.0},
            inputs=(),
            outputs=(),
            layers=(),
            counts=LayerCounts(),
            decision=PluginDecision(asked=request.way, taken=request.way, reason="as built", operators=operators),
        )
        return CompiledEngine(plan=plan, report=report, onnx=b"graph")

    def race(self, plans: Any, data: Any, flavour: str, **named: Any) -> RaceResult:
        self.races += 1
        return RaceResult(
            plugin=Contender(right=True, seconds=self.ratio * 1e-3),
            inline=Contender(right=True, seconds=1e-3),
            batch=1,
            ratio=self.ratio,
            low=self.ratio,
            high=self.ratio,
            confidence=0.99,
            verdict="faster" if self.ratio < 1 else "slower",
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def decision(report: EngineReport | None) -> PluginDecision:
    assert report is not None
    assert report.decision is not None
    return report.decision


@pytest.mark.parametrize("way", ["plugin", "inline"])
def test_a_device_compiles_as_the_host_decided(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path, way: PluginPolicy
) -> None:
    result = compile_bundle(make_bundle(way), "tensorrt", cache=EngineCache(tmp_path))
    assert machine.built == [way]
    assert (decision(result.report).asked, decision(result.report).taken) == (way, way)


def test_whoever_compiles_may_say_otherwise(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path
) -> None:
    compile_bundle(make_bundle("plugin"), "tensorrt", plugins="inline", cache=EngineCache(tmp_path))
    assert machine.built == ["inline"]


@pytest.mark.parametrize(("ratio", "way"), [(0.5, "plugin"), (1.5, "inline")])
def test_on_a_gpu_both_are_built_and_the_faster_is_kept_and_cached(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path, ratio: float, way: str
) -> None:
    machine.ratio = ratio
    bundle, cache = make_bundle(), EngineCache(tmp_path)
    result = compile_bundle(bundle, "tensorrt", cache=cache)
    assert sorted(machine.built) == ["inline", "plugin"]
    assert result.path is not None
    assert result.path.read_bytes() == way.encode() * 10
    told = decision(result.report)
    assert (told.asked, told.taken) == ("auto", way)
    assert told.race is not None
    assert (told.race.plugin.seconds, told.race.inline.seconds) == (ratio * 1e-3, 1e-3)
    assert f"{ratio:.3g}" in told.reason
    assert ("--dynamicPlugins" in result.trtexec) is (way == "plugin")
    again = compile_bundle(bundle, "tensorrt", cache=cache)
    assert (again.cached, machine.races) == (True, 1)
    assert again.report == result.report == cached_report(bundle, bundle.graph(), "tensorrt", cache)


def test_other_golden_answers_are_judged_anew(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path
) -> None:
    cache, bundle = EngineCache(tmp_path), make_bundle()
    compile_bundle(bundle, "tensorrt", cache=cache)
    members = {name: bundle.member(name) for name in bundle.members}
    members["golden/y.npy"] = encode_array(np.ones((4, 8, 16, 16), np.float32))
    other = Bundle.from_members(msgspec.structs.replace(bundle.manifest, members={}), members)
    assert not compile_bundle(other, "tensorrt", cache=cache).cached
    assert machine.races == 2


def test_plugins_that_cannot_be_built_leave_the_other_with_a_note(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path
) -> None:
    machine.fail = {"plugin": PluginMissing("no kernels for a GPU of compute capability 5.3")}
    result = compile_bundle(make_bundle(), "tensorrt", cache=EngineCache(tmp_path))
    assert decision(result.report).taken == "inline"
    assert "5.3" in decision(result.report).notes[0]
    assert machine.races == 0


@pytest.mark.parametrize("error", [PluginMissing("none registered"), CompileError("no format fits")])
def test_plugins_that_were_asked_for_have_to_work(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path, error: Exception
) -> None:
    machine.fail = {"plugin": error}
    with pytest.raises(type(error), match=str(error)):
        compile_bundle(make_bundle(), "tensorrt", plugins="plugin", cache=EngineCache(tmp_path))
    assert machine.built == ["plugin"]


def test_without_golden_answers_nothing_is_timed(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path
) -> None:
    result = compile_bundle(make_bundle(golden=False), "tensorrt", cache=EngineCache(tmp_path))
    assert (machine.built, machine.races) == (["inline"], 0)
    assert "no golden answers" in decision(result.report).reason
    assert "no measured choice" in decision(result.report).reason


def test_a_measured_choice_that_does_not_work_here_is_taken_back(
    make_bundle: Callable[..., Bundle], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Choice(
        compute_capability="8.7",
        operator="CbamAttention",
        precision="fp16",
        ratio=0.5,
        low=0.4,
        high=0.6,
        confidence=0.99,
        network="n",
        source="s",
    )
    table = ChoiceTable(schema=1, empty="", choice=(row,))
    monkeypatch.setattr("edgefer.engine.choose.choice_table", lambda: table)
    bundle, cache, reporter = make_bundle(golden=False), EngineCache(tmp_path), Silent()
    assert decision(compile_bundle(bundle, "tensorrt", cache=cache).report).taken == "plugin"
    machine.fail = {"plugin": CompileError("no format fits")}
    other = EngineCache(tmp_path / "other")
    result = compile_bundle(bundle, "tensorrt", cache=other, reporter=reporter)
    assert machine.built == ["plugin", "plugin", "inline"]
    assert decision(result.report).taken == "inline"
    assert "no format fits" in decision(result.report).reason
    assert any("no format fits" in note for note in reporter.notes)


@needs_rtx
def test_without_a_gpu_auto_is_inline_and_says_why(
    make_bundle: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_engine, "cuda_driver", lambda: NOTHING)
    bundle, cache = make_bundle(), EngineCache(tmp_path)
    result = compile_bundle(bundle, "tensorrt_rtx", cache=cache)
    told = decision(result.report)
    assert (told.asked, told.taken) == ("auto", "inline")
    assert "no GPU here" in told.reason
    assert "no GPU has measured it yet" in told.reason
    # What came of it is the engine without plugins, whatever asked for it.
    assert compile_bundle(bundle, "tensorrt_rtx", plugins="inline", cache=cache).cached
