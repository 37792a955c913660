"""The demonstration reuses what stands, runs again what does not, and says what failed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.errors import EdgeferError
from edgefer_export.demo import stages
from edgefer_export.demo.stages import Demonstration, Stage


class Commands:
    """Stands for `subprocess.run`: writes what a stage promises and remembers what it was called with."""

    def __init__(self, writes: Path) -> None:
        self.writes, self.calls = writes, 0
        self.code, self.said = 0, b'{"label": "happy"}'

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        self.calls += 1
        assert command[1:3] == ["-m", "edgefer"]
        assert command[-1] == "--json"
        if "build-engine" in command:
            self.writes.write_text(f"run {self.calls}")
        return subprocess.CompletedProcess(command, self.code, stdout=self.said)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    fake = Commands(tmp_path / "bundle")
    monkeypatch.setattr(stages.subprocess, "run", fake)
    (tmp_path / "weights").write_text("weights")
    return fake


def stage(folder: Path, *more: str) -> Stage:
    return Stage(
        name="build",
        arguments=("build-engine", "viri fusion", *more),
        reads=(folder / "weights",),
        writes=(folder / "bundle",),
    )


def test_what_stands_is_reused(tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    first = Demonstration(tmp_path / "demo").run(stage(tmp_path))
    assert "$ edgefer build-engine 'viri fusion'" in capsys.readouterr().out
    second = Demonstration(tmp_path / "demo").run(stage(tmp_path))
    assert (first.reused, second.reused, commands.calls) == (False, True, 1)
    assert first.answer == second.answer == {"label": "happy"}
    assert second.seconds == first.seconds
    assert capsys.readouterr().out == ""


CHANGES: dict[str, Callable[[Path], object]] = {
    "an output is deleted": lambda folder: (folder / "bundle").unlink(),
    "an output is altered": lambda folder: (folder / "bundle").write_text("something else"),
    "an input is altered": lambda folder: (folder / "weights").write_text("other weights"),
    "the record is no JSON": lambda folder: (folder / "demo" / "stages.json").write_text('{"build": '),
    "the record is no table": lambda folder: (folder / "demo" / "stages.json").write_text("[]"),
    "the record is not text": lambda folder: (folder / "demo" / "stages.json").write_bytes(b"\xff\xfe"),
    "the record is of another kind": lambda folder: (folder / "demo" / "stages.json").write_text('{"build": {}}'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_run_again(change: str, tmp_path: Path, commands: Commands) -> None:
    demonstration = Demonstration(tmp_path / "demo")
    demonstration.run(stage(tmp_path))
    CHANGES[change](tmp_path)
    assert demonstration.run(stage(tmp_path)).reused is False
    assert commands.calls == 2
    assert demonstration.run(stage(tmp_path)).reused is True


def test_other_arguments_and_another_version_are_run_again(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    demonstration = Demonstration(tmp_path / "demo")
    demonstration.run(stage(tmp_path))
    assert demonstration.run(stage(tmp_path, "--precision", "fp16")).reused is False
    monkeypatch.setattr(stages, "__version__", "99")
    assert demonstration.run(stage(tmp_path, "--precision", "fp16")).reused is False


def test_stages_do_not_forget_each_other(tmp_path: Path, commands: Commands) -> None:
    demonstration = Demonstration(tmp_path / "demo")
    other = Stage(name="infer", arguments=("infer",))
    demonstration.run(stage(tmp_path))
    demonstration.run(other)
    assert set(json.loads((tmp_path / "demo" / "stages.json").read_text())) == {"build", "infer"}
    assert demonstration.run(stage(tmp_path)).reused
    assert demonstration.run(other).reused


def test_a_failure_is_told_and_not_remembered(tmp_path: Path, commands: Commands) -> None:
    commands.code, commands.said = 3, b'{"error": {"message": "no torch"}}'
    demonstration = Demonstration(tmp_path / "demo")
    with pytest.raises(EdgeferError, match="stage 'build' ended with exit code 3") as raised:
        demonstration.run(stage(tmp_path))
    assert "no torch" in raised.value.details
    assert "edgefer build-engine 'viri fusion'" in raised.value.hint
    commands.code, commands.said = 0, b"{}"
    assert demonstration.run(stage(tmp_path)).reused is False
