"""Compilers from the package index: installed once beside the environment, and their refusals are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgefer.errors import EnvironmentMismatch
from kernels.tools import nvrtc, wheels
from kernels.tools.nvrtc import TARGETS, Nvrtc, Toolkit


class FakePip:
    """Stands for subprocess.run: notes the commands, makes the folder, and answers with `status`."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        Path(command[command.index("--target") + 1]).mkdir()
        return subprocess.CompletedProcess(command, self.status, "", "No matching distribution")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wheels, "BUILD", tmp_path)
    return tmp_path


def test_wheels_are_installed_once_and_outside_the_environment(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = FakePip()
    monkeypatch.setattr(wheels.subprocess, "run", pip)
    first = wheels.side_folder("tools/1", ("some-tool==1",))
    assert (wheels.side_folder("tools/1", ("some-tool==1",)), len(pip.commands)) == (first, 1)
    assert first == build / "tools/1"
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert {"--no-deps", "--only-binary=:all:", "some-tool==1"} <= set(command)
    # Other versions take the place of the former ones.
    (first / "old").touch()
    assert wheels.side_folder("tools/1", ("some-tool==2",)) == first
    assert len(pip.commands) == 2
    assert not (first / "old").exists()


def test_what_pip_cannot_get_is_told_and_tried_again(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = FakePip(1)
    monkeypatch.setattr(wheels.subprocess, "run", pip)
    for _ in range(2):
        with pytest.raises(EnvironmentMismatch, match="some-tool==1") as caught:
            wheels.side_folder("tools", ("some-tool==1",))
        assert caught.value.details == "No matching distribution"
    assert len(pip.commands) == 2


def test_a_folder_without_the_compiler_is_told(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels.subprocess, "run", FakePip())
    with pytest.raises(EnvironmentMismatch, match="no libnvrtc"):
        Nvrtc(Toolkit("1.2.3", ("some-tool==1",), (0, 0)))


def test_every_wheel_is_pinned() -> None:
    for target in TARGETS:
        assert all(requirement.count("==") == 1 for requirement in target.toolkit.wheels)
        assert target.toolkit.version in target.toolkit.wheels[0]


@pytest.mark.network
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_a_refused_source_comes_with_the_compilers_words(target: nvrtc.Target, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "index", "versions", target.toolkit.wheels[0].split("==")[0]]
    if subprocess.run(command, capture_output=True, check=False, timeout=120).returncode:
        pytest.skip("the package index does not answer")
    source = tmp_path / "source.cu"
    source.write_text("this is no C++")
    done = subprocess.run(
        [sys.executable, "-m", "kernels.tools.nvrtc", target.name, str(source), str(tmp_path / "output")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert f"NVRTC {target.toolkit.version} refuses the kernels for {target.name}" in done.stderr
    assert "edgefer.cu(1): error" in done.stderr
    assert not (tmp_path / "output").exists()
