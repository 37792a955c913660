"""TensorRT-RTX is installed only where its wheel exists, after its notice, and never against a user's word."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from edgefer_export.demo import rtx_wheel

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The pip commands that were run, on x86-64 Linux without TensorRT-RTX."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        print("<pip runs>")
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(rtx_wheel.subprocess, "run", run)
    monkeypatch.setattr(rtx_wheel.platform, "system", lambda: "Linux")
    monkeypatch.setattr(rtx_wheel.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(rtx_wheel.importlib.util, "find_spec", lambda name: None)
    return commands


def test_the_notice_comes_before_the_installation(pip: list[list[str]], capsys: Capture) -> None:
    assert rtx_wheel.main(["--constraint", "constraints.txt"], {}) == 0
    (command,) = pip
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-3:] == ["--constraint", "constraints.txt", rtx_wheel.REQUIREMENT]
    said = capsys.readouterr().out
    notice = said[: said.index("<pip runs>")]
    for part in ("NVIDIA's proprietary package", "built and not run", "not for a Jetson", "EDGEFER_NO_RTX=1"):
        assert part in " ".join(notice.split())


def test_a_user_may_say_no(pip: list[list[str]], capsys: Capture) -> None:
    assert rtx_wheel.main([], {"EDGEFER_NO_RTX": "1"}) == 0
    assert pip == []
    assert "EDGEFER_NO_RTX is set" in capsys.readouterr().out


@pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64"), ("Darwin", "x86_64")])
def test_other_machines_have_no_wheel(
    system: str, machine: str, pip: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(rtx_wheel.platform, "system", lambda: system)
    monkeypatch.setattr(rtx_wheel.platform, "machine", lambda: machine)
    assert rtx_wheel.main([], {}) == 0
    assert pip == []
    assert f"no wheel for {system} on {machine}" in capsys.readouterr().out


def test_what_is_there_is_not_installed_again(
    pip: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(rtx_wheel.importlib.util, "find_spec", lambda name: object())
    assert rtx_wheel.main([], {}) == 0
    assert pip == []
    assert capsys.readouterr().out == ""


def test_a_failed_installation_is_said_and_stops_nothing(
    pip: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(rtx_wheel.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    assert rtx_wheel.main([], {}) == 0
    assert "could not be installed" in capsys.readouterr().out
