"""The phases of a build, from TensorRT's own monitor in the child to the reporter in the parent."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from edgefer.engine import progress as progress_module
from edgefer.engine.compile import CompileRequest, compile_onnx
from edgefer.engine.progress import PARTS, BuildProgress, Phases, Progress, Watch, monitor_of, read_progress
from edgefer.errors import CompileError
from edgefer.progress import Silent, Terminal, show

BUILDING = Path(__file__).parents[1] / "stand_ins" / "building"


class Listener:
    """A reporter that keeps what it hears: per task its name, total, units, and the parts that were shown."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int | None]] = []
        self.units: list[list[int]] = []
        self.parts: list[str] = []
        self.open = 0

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        assert self.open == 0, "one bar at a time"
        self.open += 1
        self.tasks.append((name, total))
        heard: list[int] = []
        self.units.append(heard)

        class Bar:
            def __call__(bar, units: int) -> None:  # noqa: N805
                heard.append(units)

            def show(bar, part: str) -> None:  # noqa: N805
                self.parts.append(part)

        yield Bar()
        self.open -= 1

    def note(self, text: str) -> None:
        raise AssertionError(text)


def test_nested_phases_make_one_share_that_never_goes_back() -> None:
    phases, shares = Phases(), []
    steps: list[tuple[Any, ...]] = [
        ("start", "Building", None, 4),
        ("step", "Building", 0),
        ("start", "Optimising", "Building", 2),
        ("step", "Optimising", 0),
        ("start", "Timing", "Optimising", 10),
        ("step", "Timing", 4),
        ("start", "Odd", "Nobody", 3),
        ("finish", "Odd"),
        ("start", "Timing", "Optimising", 1000),  # again, and larger than it seemed
        ("step", "Timing", 0),
        ("finish", "Timing"),
        ("step", "never started", 3),
        ("finish", "never started"),
        ("finish", "Optimising"),
        ("step", "Building", 3),
        ("finish", "Building"),
    ]
    for name, *arguments in steps:
        getattr(phases, name)(*arguments)
        shares.append(phases.now().share)
    assert shares == sorted(shares)
    assert shares[:4] == [0, 0.25, 0.25, 0.375]
    assert shares[5] == pytest.approx((1 + (1 + 0.5) / 2) / 4)
    assert phases.now() == Progress(share=1.0, phase="")


def test_the_innermost_phase_is_named_with_its_step() -> None:
    phases = Phases()
    phases.start("Building", None, 4)
    phases.start("Timing graph nodes", "Building", 12)
    phases.step("Timing graph nodes", 2)
    assert phases.now().phase == "Timing graph nodes, 4 of 12"
    phases.step("Timing graph nodes", 11)
    assert phases.now().phase == "Timing graph nodes, 12 of 12"
    phases.finish("Timing graph nodes")
    assert phases.now().phase == "Building, 1 of 4"


def test_phases_that_name_each_other_as_parents_do_no_harm() -> None:
    phases = Phases()
    phases.start("Building", None, 2)
    phases.start("a", "b", 2)
    phases.start("b", "a", 2)
    phases.start("Building", "Building", 2)
    assert 0 <= phases.now().share <= 1


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildProgress:
    monkeypatch.setattr(progress_module, "_WRITE_SECONDS", 0.0)
    return BuildProgress(tmp_path / "progress.json")


def test_many_threads_may_report_at_once(written: BuildProgress, tmp_path: Path) -> None:
    monitor = monitor_of(SimpleNamespace(IProgressMonitor=object), written)
    monitor.phase_start("Building", None, 1)

    def report(index: int) -> None:
        monitor.phase_start(f"part {index}", "Building", 50)
        for step in range(50):
            assert monitor.step_complete(f"part {index}", step) is True
        monitor.phase_finish(f"part {index}")

    threads = [threading.Thread(target=report, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monitor.phase_finish("Building")
    assert read_progress(tmp_path / "progress.json") == Progress(share=1.0, phase="")


def test_it_is_not_written_more_often_than_anybody_looks(tmp_path: Path) -> None:
    progress, path = BuildProgress(tmp_path / "progress.json"), tmp_path / "progress.json"
    progress.start("Building", None, 10_000)
    before = path.read_bytes()
    started = time.monotonic()
    for step in range(100):
        progress.step("Building", step)
    assert path.read_bytes() == before or time.monotonic() - started >= 0.1


def test_a_full_disk_ends_the_telling_and_not_the_build(written: BuildProgress, tmp_path: Path) -> None:
    (tmp_path / "progress.new").mkdir()  # nothing can be written there
    written.start("Building", None, 2)
    (tmp_path / "progress.new").rmdir()
    written.step("Building", 0)
    assert read_progress(tmp_path / "progress.json") is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"share": "x", "phase": 5}', b"\xff"])
def test_what_cannot_be_read_is_nothing_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_bytes(content)
    assert read_progress(tmp_path / "progress.json") is None


@pytest.mark.parametrize(
    "module",
    [SimpleNamespace(), SimpleNamespace(IProgressMonitor=object)],
    ids=["no monitors", "a configuration that takes none"],
)
def test_a_release_without_monitors_is_built_with_all_the_same(module: Any, written: BuildProgress) -> None:
    config = SimpleNamespace()
    written.attach(module, config)
    assert not hasattr(config, "progress_monitor")


def test_seconds_until_the_child_says_how_far_it_is_then_shares(tmp_path: Path) -> None:
    told, path = Listener(), tmp_path / "progress.json"
    with Watch(told, "compile with tensorrt", path).opened() as watch:
        watch.tick(0.4)
        watch.tick(2.2)
        path.write_bytes(b'{"share": 0.25, "phase": "Timing, 1 of 4"}')
        watch.tick(2.4)
        watch.tick(2.6)
        path.write_bytes(b'{"share": 0.5, "phase": "Timing, 3 of 4"}')
        watch.tick(9.0)
    assert told.tasks == [("compile with tensorrt", None), ("compile with tensorrt", PARTS)]
    assert told.units == [[2], [PARTS // 4, PARTS // 4]]
    assert told.parts == ["Timing, 1 of 4", "Timing, 1 of 4", "Timing, 3 of 4"]


def test_a_terminal_shows_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Tty()
    monkeypatch.setenv("TERM", "xterm")
    told = Terminal()
    told._console = Console(file=screen, force_terminal=True, width=100)
    with told.task("compile", PARTS) as advance:
        advance(PARTS // 2)
        show(advance, "Timing [graph] nodes, 3 of 4")
    assert "compile: Timing [graph] nodes, 3 of 4" in screen.getvalue()
    with Silent().task("compile") as advance:
        show(advance, "nobody looks")


def test_phases_cross_the_process_border(make_graph: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BUILDING))
    monkeypatch.setenv("STAND_IN_TENSORRT", json.dumps({"seconds": 2.0}))
    told = Listener()
    compile_onnx(make_graph(), CompileRequest("tensorrt"), reporter=told)
    assert told.tasks == [("compile with tensorrt", None), ("compile with tensorrt", PARTS)]
    assert any("Timing graph nodes" in part for part in told.parts)
    assert len(set(told.parts)) > 2
    assert 0 < sum(told.units[1]) <= PARTS


def test_a_real_builder_names_its_phases(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    """Built in a child, and every state kept that is written, which a build this short leaves no time to look at."""
    pytest.importorskip("tensorrt_rtx")
    kept = tmp_path / "kept.jsonl"
    code = (
        "import sys\n"
        "from edgefer.engine import progress, worker\n"
        "import msgspec\n"
        f"kept = open({str(kept)!r}, 'ab')\n"
        "def keep(self):\n"
        "    kept.write(msgspec.json.encode(self._phases.now()) + b'\\n')\n"
        "    kept.flush()\n"
        "progress.BuildProgress._write = keep\n"
        "sys.exit(worker.main(sys.argv[1:]))\n"
    )
    engine = compile_onnx(make_graph(), CompileRequest("tensorrt_rtx"), command=(sys.executable, "-c", code))
    assert engine.plan
    states = [json.loads(line) for line in kept.read_text().splitlines()]
    shares = [state["share"] for state in states]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any(state["phase"].startswith("Building engine") for state in states)
    assert len({state["phase"].split(",")[0] for state in states}) > 5


def test_the_real_worker_writes_its_progress(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    kept = tmp_path / "kept.json"
    code = (
        "import sys, shutil, pathlib\n"
        "from edgefer.engine import worker\n"
        "code = worker.main(sys.argv[1:])\n"
        f"shutil.copy(pathlib.Path(sys.argv[1]) / 'progress.json', {str(kept)!r})\n"
        "sys.exit(code)\n"
    )
    compile_onnx(make_graph(), CompileRequest("tensorrt_rtx"), command=(sys.executable, "-c", code))
    assert read_progress(kept) is not None


def test_stopping_a_build_that_reports_works_as_before(
    make_graph: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BUILDING))
    monkeypatch.setenv("STAND_IN_TENSORRT", json.dumps({"seconds": 60}))
    told = Listener()
    with pytest.raises(CompileError, match="longer than 3 s"):
        compile_onnx(make_graph(), CompileRequest("tensorrt"), reporter=told, timeout=3)
    assert told.parts
