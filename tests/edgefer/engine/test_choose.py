"""Plugins or not: what was asked for, what was measured elsewhere, and what to do where nothing is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec, InputSpec, OutputSpec
from edgefer.engine.choice_table import PATH, Choice, ChoiceTable, as_toml, choice_table, choices_of
from edgefer.engine.choose import choose, policy_of
from edgefer.engine.decision import NO_OPERATOR, Contender, PluginDecision, RaceResult, WrittenOut
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.flavours import Flavour
from edgefer.errors import EnvironmentMismatch, UsageError

GRAPH = GraphSpec(
    role="fused",
    member="graphs/fused.onnx",
    inputs=(InputSpec(name="x", role="other", shape=(1, 3, 8, 8)),),
    outputs=(OutputSpec(name="y", role="logits", shape=(1, 4)),),
    operators=("CbamAttention", "ChannelGate"),
)
TENSORRT = Flavour("tensorrt", SimpleNamespace(), "10.3.0")
CAPABILITIES = SimpleNamespace(__members__={"NONE": 0, "CURRENT": 1, "SM86": 2, "SM120": 3})
RTX = Flavour("tensorrt_rtx", SimpleNamespace(ComputeCapability=CAPABILITIES), "1.7")
ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
NOTHING = CudaDriver(version=None, problem="no CUDA driver")
ROW = Choice(
    compute_capability="8.7",
    operator="CbamAttention",
    precision="fp16",
    ratio=0.8,
    low=0.78,
    high=0.82,
    confidence=0.99,
    network="cbam-early-fusion",
    source="benchmarks/results/orin.json",
)


def table(*rows: Choice) -> ChoiceTable:
    return ChoiceTable(schema=1, empty="nobody has looked", choice=rows)


def row(operator: str, capability: str = "8.7", **changes: Any) -> Choice:
    return msgspec.structs.replace(ROW, operator=operator, compute_capability=capability, **changes)


@pytest.mark.parametrize("asked", ["plugin", "inline"])
@pytest.mark.parametrize("driver", [ORIN, NOTHING])
def test_what_was_asked_for_is_done(asked: Any, driver: CudaDriver) -> None:
    found = choose(asked, GRAPH, "fp16", RTX, driver)
    assert (found.asked, found.way, found.reason) == (asked, asked, "it was asked for")


@pytest.mark.parametrize("asked", ["plugin", "inline", "auto"])
def test_a_graph_without_operators_has_nothing_to_decide(asked: Any) -> None:
    graph = msgspec.structs.replace(GRAPH, operators=())
    found = choose(asked, graph, "fp16", TENSORRT, ORIN)
    assert (found.way, found.reason) == ("inline", NO_OPERATOR)


def test_on_a_gpu_both_are_timed() -> None:
    assert choose("auto", GRAPH, "fp16", TENSORRT, ORIN).way is None


def test_without_answers_to_judge_by_what_was_measured_on_such_a_gpu_counts() -> None:
    rows = table(row("CbamAttention"), row("ChannelGate"))
    found = choose("auto", GRAPH, "fp16", TENSORRT, ORIN, judge="no golden answers", table=rows)
    assert found.way == "plugin"
    assert "no golden answers" in found.reason
    assert "CbamAttention 0.8 (0.78 to 0.82)" in found.reason


@pytest.mark.parametrize(
    "rows",
    [
        (row("CbamAttention"), row("ChannelGate", ratio=1.0, low=0.9, high=1.1)),
        (row("CbamAttention", ratio=1.2, low=1.1, high=1.3), row("ChannelGate")),
    ],
)
def test_plugins_come_together_and_each_has_to_be_faster(rows: tuple[Choice, ...]) -> None:
    found = choose("auto", GRAPH, "fp16", TENSORRT, ORIN, judge="none", table=table(*rows))
    assert found.way == "inline"
    assert "measured before" in found.reason


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ((), "CbamAttention"),
        ((row("CbamAttention"),), "ChannelGate"),
        ((row("CbamAttention", "9.0"), row("ChannelGate", "9.0")), "CbamAttention"),
        ((row("CbamAttention", precision="int8"), row("ChannelGate", precision="int8")), "CbamAttention"),
    ],
)
def test_what_was_not_measured_is_said_and_inlined(rows: tuple[Choice, ...], missing: str) -> None:
    found = choose("auto", GRAPH, "fp16", TENSORRT, ORIN, judge="none", table=table(*rows))
    assert found.way == "inline"
    assert f"no measured choice for {missing} in fp16 on compute capability 8.7" in found.reason
    assert "nobody has looked" in found.reason


def test_without_a_gpu_the_choice_has_to_hold_for_every_gpu_that_is_built_for() -> None:
    both = [row(operator, capability) for operator in GRAPH.operators for capability in ("8.6", "12.0")]
    assert choose("auto", GRAPH, "fp16", RTX, NOTHING, table=table(*both)).way == "plugin"
    found = choose("auto", GRAPH, "fp16", RTX, NOTHING, table=table(*both[:-1]))
    assert found.way == "inline"
    assert "no GPU here" in found.reason
    assert "12.0" in found.reason


def test_nothing_is_measured_yet_and_the_table_that_is_shipped_says_so() -> None:
    shipped = choice_table()
    assert shipped.choice == ()
    found = choose("auto", GRAPH, "fp16", RTX, NOTHING)
    assert found.way == "inline"
    assert shipped.empty in found.reason


def test_measurements_become_rows_that_the_table_reads(tmp_path: Path) -> None:
    rows = (ROW, row("ChannelGate", "11.0", precision="int8+fp16"))
    path = tmp_path / "choices.toml"
    path.write_text(PATH.read_text() + "\n" + as_toml(rows))
    assert choice_table(path).choice == rows


def test_a_race_becomes_rows_where_both_answered_right() -> None:
    sides = {"plugin": Contender(right=True, seconds=0.8e-3), "inline": Contender(right=True, seconds=1e-3)}
    race = RaceResult(**sides, batch=1, ratio=0.8, low=0.78, high=0.82, confidence=0.99, verdict="faster")
    told = {"compute_capability": "8.7", "precision": "fp16", "found": (ROW.network, ROW.source)}
    assert choices_of(race, ["CbamAttention"], **told) == (ROW,)  # type: ignore[arg-type]
    wrong = msgspec.structs.replace(race, plugin=Contender(seconds=0.8e-3))
    for each in (wrong, RaceResult(**sides, batch=1)):
        assert choices_of(each, ["CbamAttention"], **told) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schema = 2\nempty = 'x'",
        "schema = 1",
        "schema = 1\nempty = 'x'\n[[choice]]\noperator = 'CbamAttention'",
        "[",
    ],
)
def test_a_broken_table_is_a_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "choices.toml"
    path.write_text(text)
    with pytest.raises(EnvironmentMismatch, match="not a table of measured choices") as caught:
        choice_table(path)
    assert caught.value.hint


def test_an_interval_that_does_not_hold_its_ratio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "choices.toml"
    path.write_text(PATH.read_text() + "\n" + as_toml([ROW]).replace("ratio = 0.8", "ratio = 0.9"))
    with pytest.raises(EnvironmentMismatch, match="low <= ratio <= high"):
        choice_table(path)


def test_the_manifest_decides_where_nobody_else_does(tiny_bundle: Bundle) -> None:
    assert policy_of(tiny_bundle, None) == "auto"
    assert policy_of(tiny_bundle, "plugin") == "plugin"
    members = {name: tiny_bundle.member(name) for name in tiny_bundle.members}
    manifest = msgspec.structs.replace(tiny_bundle.manifest, plugin_policy="inline", members={})
    bundle = Bundle.from_members(manifest, members)
    assert policy_of(bundle, None) == "inline"
    assert policy_of(bundle, "auto") == "auto"


def test_an_unknown_policy_is_a_usage_error(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="auto, plugin, inline"):
        policy_of(tiny_bundle, "sometimes")


def test_a_decision_reads_as_sentences() -> None:
    decision = PluginDecision(
        asked="plugin",
        taken="plugin",
        reason="it was asked for",
        operators={"CbamAttention": 7},
        written_out=(WrittenOut(node="/layer1/cbam", operator="CbamAttention", reason="spatial kernel 9"),),
        absorbed=("a", "b"),
        notes=("something went wrong",),
    )
    assert decision.lines() == (
        "7 CbamAttention: plugin was asked for; 2 of them read or write INT8",
        "node /layer1/cbam (CbamAttention): spatial kernel 9: written out",
        "something went wrong",
    )
    alone = msgspec.structs.replace(
        decision, absorbed=("a",), written_out=(), notes=(), asked="auto", reason="it is faster"
    )
    assert alone.lines() == ("7 CbamAttention (auto was asked for): it is faster; 1 of them reads or writes INT8",)
    assert PluginDecision(asked="auto", taken="inline", reason=NO_OPERATOR).lines() == ()
