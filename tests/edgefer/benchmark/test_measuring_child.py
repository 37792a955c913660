"""A measurement in a child: its answer, its errors, and that it never outlives the call."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefer.benchmark.child import ask
from edgefer.errors import BundleError, EdgeferError, EnvironmentMismatch

Module = Callable[[str], str]

BEGIN = "import os, sys, time, signal\nfrom edgefer.benchmark.child_answer import answer\n"


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whatever a test does, its temporary folders are gone afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Make a module of this source that a child can run, and return its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def make(source: str) -> str:
        (folder / "measured_here.py").write_text(BEGIN + source)
        return "measured_here"

    return make


def test_an_answer_comes_back_with_its_time(module: Module) -> None:
    before = time.monotonic()
    name = module("print('noise'); sys.exit(answer(lambda: {'told': sys.argv[1:], 'x': os.environ['X']}))")
    found = ask(name, ["a", ""], environment={"X": "set"})
    assert found.value == {"told": ["a", ""], "x": "set"}
    assert before <= found.started <= time.monotonic()
    assert 0 < found.seconds <= time.monotonic() - found.started


def test_an_error_of_the_child_is_raised_as_its_kind(module: Module) -> None:
    source = """
from edgefer.errors import BundleError
def fail():
    raise BundleError("it is damaged", hint="copy it again", details="at byte 7")
sys.exit(answer(fail))
"""
    with pytest.raises(BundleError, match="it is damaged") as caught:
        ask(module(source), [])
    assert (caught.value.hint, caught.value.details) == ("copy it again", "at byte 7")


@pytest.mark.parametrize(
    ("source", "message", "tail"),
    [
        ("raise SystemExit('nothing to say')", "ended with status 1 and no answer", "nothing to say"),
        ("print('done'); sys.exit(0)", "ended with status 0 and no answer", "done"),
        ("print('last', flush=True); os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL", "last"),
    ],
)
def test_a_child_without_an_answer_is_an_error_with_its_last_lines(
    module: Module, source: str, message: str, tail: str
) -> None:
    with pytest.raises(EdgeferError, match=message) as caught:
        ask(module(source), [])
    assert tail in caught.value.details


def test_a_child_that_takes_too_long_is_stopped_with_all_it_started(module: Module, tmp_path: Path) -> None:
    source = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(60)
"""
    with pytest.raises(EdgeferError, match="took longer than 2 s"):
        ask(module(source), [], timeout=2)
    for pid in (tmp_path / "pids").read_text().split():
        _gone(int(pid))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_stops_the_child(module: Module, tmp_path: Path) -> None:
    path = tmp_path / "pid"

    def interrupt() -> None:
        while not (path.exists() and path.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        ask(module(f"open({str(path)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"), [], timeout=20)
    thread.join()
    _gone(int(path.read_text()))


def test_no_room_for_its_files_is_an_environment_error(
    monkeypatch: pytest.MonkeyPatch, own_temporary_folder: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(own_temporary_folder / "missing"))
    with pytest.raises(EnvironmentMismatch, match="no process can be started"):
        ask("edgefer.benchmark.cold_child", [])


def _gone(pid: int) -> None:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")
