"""The part of the check of a GPU that is about engines: how races are judged, and engines loaded across."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from benchmarks.gpu_check import across, engines
from edgefer.engine.decision import Contender, PluginDecision, RaceResult
from edgefer.errors import CompileError, DeviceError

RACE = RaceResult(plugin=Contender(seconds=1e-3, right=True), inline=Contender(seconds=2e-3, right=True), batch=1)


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (PluginDecision(asked="auto", taken="plugin", reason="faster", race=RACE), "passed"),
        (PluginDecision(asked="auto", taken="inline", reason="no GPU"), "absent"),
        (None, "failed"),
        (
            PluginDecision(
                asked="auto",
                taken="inline",
                reason="wrong",
                race=msgspec.structs.replace(RACE, plugin=Contender(problem="it died")),
            ),
            "failed",
        ),
    ],
)
def test_engines_are_judged(decision: PluginDecision | None, state: str) -> None:
    assert engines.judged("tensorrt", decision).state == state


def test_engines_in_a_child(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    decision = PluginDecision(asked="auto", taken="plugin", reason="faster", race=RACE)
    answer = engines.Answer(checks=(engines.judged("tensorrt", decision),), decision=decision)
    content = msgspec.json.encode(answer).decode()
    script.write_text(
        "import pathlib, sys\n"
        "if sys.argv[2] == 'tensorrt_rtx': raise SystemExit('no such thing')\n"
        f"pathlib.Path(sys.argv[1], 'answer.json').write_text({content!r})\n"
    )
    found = engines.engines_part([sys.executable, str(script)])
    assert [check.state for check in found.checks] == ["passed", "failed"]
    assert "no such thing" in found.checks[1].found
    assert found.details["tensorrt"]["race"]["batch"] == 1


def test_engines_of_a_tensorrt_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert engines.main([str(tmp_path), "tensorrt"]) == 0
    answer = msgspec.json.decode((tmp_path / "answer.json").read_bytes(), type=engines.Answer)
    assert answer.checks[0].state == "absent"
    assert "tensorrt" in answer.checks[0].found


class Fakes:
    """A compiler whose plans are the library they were built with, and a race that says how they are loaded."""

    def __init__(self, *, faults: dict[tuple[str, str], Contender] | None = None, refused: str = "nobody") -> None:
        self.faults, self.refused = faults or {}, refused

    def compile(self, onnx: bytes, request: Any) -> Any:
        built = os.environ.get(across.LIBRARY, "Python")
        if built == self.refused:
            raise CompileError("TensorRT refused the graph")
        return SimpleNamespace(plan=built.encode())

    def race(self, plans: Any, data: Any, flavour: str) -> RaceResult:
        loaded = os.environ.get(across.LIBRARY, "Python")
        found = [self.faults.get((plans[key].decode(), loaded), Contender(right=True)) for key in ("plugin", "inline")]
        return RaceResult(plugin=found[0], inline=found[1], batch=1)


def loaded_across(monkeypatch: pytest.MonkeyPatch, fakes: Fakes, found: Path | None = Path("lib.so")) -> Any:
    monkeypatch.setattr(across, "race_data", lambda bundle, graph: ("data", ""))
    graph = SimpleNamespace(batches=(1,))
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(graphs=[graph]), onnx=lambda graph: b"")
    return across.across(bundle, "tensorrt", found, compile_=fakes.compile, race_=fakes.race)


def test_engines_are_loaded_across(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(across.LIBRARY, "own.so")
    assert across.library() == Path("own.so")
    assert loaded_across(monkeypatch, Fakes()).state == "passed"
    assert os.environ[across.LIBRARY] == "own.so"


def test_engines_that_do_not_load_across(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        ("Python", "lib.so"): Contender(problem="no such plugin"),
        ("lib.so", "Python"): Contender(errors={"logits": 0.5}),
    }
    found = loaded_across(monkeypatch, Fakes(faults=faults))
    assert found.state == "failed"
    assert "built in C++, loaded in Python: off from the golden answers by {'logits': 0.5}" in found.found
    assert "built in Python, loaded in C++: no such plugin" in found.found


def test_an_engine_that_cannot_be_built_for_loading_across(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded_across(monkeypatch, Fakes(refused="lib.so"))
    assert found.state == "failed"
    assert "no engine with the plugins in C++: TensorRT refused" in found.found


def test_without_the_library_or_golden_answers_nothing_is_loaded_across(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(across.LIBRARY, raising=False)
    monkeypatch.setattr(across, "BUILT", tmp_path / "none.so")
    assert across.library() is None
    assert loaded_across(monkeypatch, Fakes(), None).state == "absent"
    monkeypatch.setattr(across, "race_data", lambda bundle, graph: (None, "no golden answers"))
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(graphs=[None]))
    assert across.across(bundle, "tensorrt", Path("lib.so")).found == "no golden answers"


@pytest.mark.parametrize(
    ("error", "state"),
    [(DeviceError("a kernel failed"), "failed"), (CompileError("refused"), "failed"), (ImportError("torch"), "absent")],
)
def test_what_keeps_a_child_from_an_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, state: str
) -> None:
    def raising(folder: Path) -> Any:
        raise error

    monkeypatch.setattr(engines, "load", lambda flavour: None)
    monkeypatch.setattr(engines, "_bundle", raising)
    assert engines.answer_of(tmp_path, "tensorrt").checks[0].state == state


def test_what_a_child_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    decision = PluginDecision(asked="auto", taken="plugin", reason="faster", race=RACE)
    compiled = SimpleNamespace(graphs=[SimpleNamespace(report=SimpleNamespace(decision=decision))])
    monkeypatch.setattr(engines, "load", lambda flavour: None)
    monkeypatch.setattr(engines, "_bundle", lambda folder: None)
    monkeypatch.setattr(engines, "compile_bundle", lambda *_, **__: compiled)
    monkeypatch.setattr(engines, "library", lambda: None)
    answer = engines.answer_of(tmp_path, "tensorrt")
    assert [check.state for check in answer.checks] == ["passed", "absent"]
    assert answer.decision == decision
