"""Compiling in a child: what comes back, and how each way of failing looks. Real builds need tensorrt_rtx."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgefer.engine.builder import profile_shapes
from edgefer.engine.compile import CompileRequest, compile_onnx
from edgefer.engine.report import TensorReport
from edgefer.errors import BundleError, CompileError, EnvironmentMismatch, UsageError

onnx = pytest.importorskip("onnx")

needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
RTX = CompileRequest("tensorrt_rtx")


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whatever a test does, its temporary folders are gone afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def worker(code: str) -> tuple[str, ...]:
    """A stand-in for the worker that runs `code` with the request's folder in `folder`."""
    return (sys.executable, "-c", f"import sys, os, signal, time, pathlib\nfolder = pathlib.Path(sys.argv[1])\n{code}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@needs_rtx
@pytest.mark.parametrize(
    ("kind", "precision", "int8_convolutions"), [("fp32", "fp32", 0), ("fp16", "fp16", 0), ("int8", "int8", 1)]
)
def test_each_precision_is_built_as_the_graph_says(
    make_graph: Callable[..., bytes], kind: str, precision: str, int8_convolutions: int
) -> None:
    engine = compile_onnx(make_graph(kind), RTX)
    report = engine.report
    convolutions = [layer for layer in report.layers if layer.is_convolution]
    assert [layer.precision for layer in convolutions] == [precision]
    assert report.counts.int8_convolutions == int8_convolutions
    assert report.counts.total == len(report.layers) > 0
    assert report.unparsed == ()
    assert "conv" in convolutions[0].onnx
    assert report.plan_bytes == len(engine.plan) > 1000
    assert report.plan_sha256 == hashlib.sha256(engine.plan).hexdigest()
    assert [(each.name, each.shape, each.dtype) for each in report.inputs] == [("x", (1, 3, 32, 32), "fp32")]
    assert "not for a Jetson" in report.note
    assert set(report.seconds) == {"portable", "import", "parse", "build", "total"}
    assert report.seconds["total"] >= sum(report.seconds[stage] for stage in ("import", "parse", "build"))


@needs_rtx
def test_a_dynamic_batch_gets_a_profile_for_each_batch_asked_for(make_graph: Callable[..., bytes]) -> None:
    report = compile_onnx(make_graph("fp32", "N"), CompileRequest("tensorrt_rtx", batches=(1, 4))).report
    assert report.dynamic
    assert {layer.inputs[0].shape[0] for layer in report.layers} == {1, 4}
    assert report.counts.convolutions == 2


@needs_rtx
def test_a_fixed_batch_is_not_compiled_for_another(make_graph: Callable[..., bytes]) -> None:
    with pytest.raises(CompileError, match="fixed at 1, asked for 4"):
        compile_onnx(make_graph(), CompileRequest("tensorrt_rtx", batches=(4,)))


@needs_rtx
@pytest.mark.parametrize("inside", [True, False], ids=["q/dq inside", "q/dq outside"])
def test_functions_with_quantisation_compile(make_portable: Callable[..., bytes], inside: bool) -> None:
    engine = compile_onnx(make_portable(inside), RTX)
    assert not onnx.ModelProto.FromString(engine.onnx).functions
    assert engine.report.parsed_sha256 == hashlib.sha256(engine.onnx).hexdigest()


@needs_rtx
def test_an_unknown_operator_is_named(make_graph: Callable[..., bytes]) -> None:
    with pytest.raises(CompileError, match=r"'activation' \(Wibble\)") as caught:
        compile_onnx(make_graph("unknown"), RTX)
    assert "[ERROR]" in caught.value.details


@needs_rtx
def test_an_asymmetric_activation_names_its_node(make_graph: Callable[..., bytes]) -> None:
    with pytest.raises(CompileError, match=r"'x_quantise' \(QuantizeLinear\).*zero point"):
        compile_onnx(make_graph("uint8"), RTX)


@needs_rtx
def test_operators_that_there_is_no_plugin_for_are_written_out(make_portable: Callable[..., bytes]) -> None:
    report = compile_onnx(make_portable(), CompileRequest("tensorrt_rtx", way="plugin")).report
    assert report.plugins == ()
    assert report.decision is not None
    assert (report.decision.asked, report.decision.taken) == ("plugin", "inline")
    assert "nothing for a plugin" in report.decision.reason
    assert report.counts.plugins == 0


@needs_rtx
def test_nothing_is_printed_by_the_caller(make_graph: Callable[..., bytes], capfd: pytest.CaptureFixture[str]) -> None:
    compile_onnx(make_graph(), RTX)
    with pytest.raises(CompileError):
        compile_onnx(make_graph("unknown"), RTX)
    assert capfd.readouterr() == ("", "")


@needs_rtx
def test_neither_torch_nor_onnxsim_is_needed(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'onnxsim'):\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    code = (
        "import sys\n"
        "from edgefer.engine.compile import CompileRequest, compile_onnx\n"
        "try:\n"
        "    import torch\n"
        "except ImportError as error:\n"
        "    assert 'blocked' in str(error)\n"
        "print(len(compile_onnx(sys.stdin.buffer.read(), CompileRequest('tensorrt_rtx')).plan))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=make_graph(),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) > 1000


def test_what_is_not_onnx_keeps_its_error_across_the_process(make_graph: Callable[..., bytes]) -> None:
    with pytest.raises(BundleError, match="not an ONNX model"):
        compile_onnx(b"<html></html>", RTX)


def test_a_flavour_missing_in_the_child_keeps_its_error(
    make_graph: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text("raise ImportError('libcuda is from another century')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EnvironmentMismatch, match="another century"):
        compile_onnx(make_graph(), RTX)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_child_killed_by_a_signal_is_reported_by_its_name(make_graph: Callable[..., bytes], name: str) -> None:
    code = f"print('last words', flush=True); os.kill(os.getpid(), signal.{name})"
    with pytest.raises(CompileError, match=f"killed by {name}") as caught:
        compile_onnx(make_graph(), RTX, command=worker(code))
    assert "last words" in caught.value.details
    assert caught.value.hint


def test_a_child_that_ends_without_a_result_is_an_error(make_graph: Callable[..., bytes]) -> None:
    for code in ("print('nothing done')", "print('nothing done'); sys.exit(7)"):
        with pytest.raises(CompileError, match="no result") as caught:
            compile_onnx(make_graph(), RTX, command=worker(code))
        assert "nothing done" in caught.value.details


def test_the_tail_of_a_long_log_is_kept(make_graph: Callable[..., bytes]) -> None:
    code = "print('x' * 10_000_000); print('the end', flush=True); sys.exit(1)"
    with pytest.raises(CompileError) as caught:
        compile_onnx(make_graph(), RTX, command=worker(code))
    assert caught.value.details.rstrip().endswith("the end")
    assert len(caught.value.details) < 20_000


@needs_rtx
def test_a_plan_damaged_on_the_way_is_not_handed_out(make_graph: Callable[..., bytes]) -> None:
    code = (
        "from edgefer.engine.worker import main\n"
        "code = main([str(folder)])\n"
        "(folder / 'engine.plan').write_bytes(b'half')\n"
        "sys.exit(code)"
    )
    with pytest.raises(CompileError, match="not the one reported"):
        compile_onnx(make_graph(), RTX, command=worker(code))


def test_an_engine_in_whose_making_a_plugin_failed_is_not_handed_out(make_graph: Callable[..., bytes]) -> None:
    # What the bindings print; TensorRT itself goes on, and takes the failure for an answer.
    said = "[ERROR] Exception caught in get_workspace_size(): ZeroDivisionError: division by zero"
    with pytest.raises(CompileError, match=r"a plugin failed.*get_workspace_size\(\): ZeroDivisionError"):
        compile_onnx(make_graph(), RTX, command=worker(f"print({said!r}); (folder / 'report.json').write_text('{{}}')"))
    failure = '{"kind": "CompileError", "message": "the parser refused the graph"}'
    code = f"print({said!r}, flush=True); (folder / 'failure.json').write_text({failure!r}); sys.exit(1)"
    with pytest.raises(CompileError, match=r"refused the graph .*a plugin failed: get_workspace_size"):
        compile_onnx(make_graph(), RTX, command=worker(code))


@pytest.mark.parametrize("callback", ["log", "phase_start", "step_complete", "phase_finish"])
def test_what_fails_in_a_logger_or_a_monitor_is_laid_on_no_plugin(
    make_graph: Callable[..., bytes], callback: str
) -> None:
    said = f"[ERROR] Exception caught in {callback}(): OSError: [Errno 28] No space left on device"
    failure = '{"kind": "CompileError", "message": "no engine"}'
    code = f"print({said!r}, flush=True); (folder / 'failure.json').write_text({failure!r}); sys.exit(1)"
    with pytest.raises(CompileError) as caught:
        compile_onnx(make_graph(), RTX, command=worker(code))
    assert caught.value.message == "no engine"


def test_a_process_that_cannot_be_started_is_an_error_that_says_so(make_graph: Callable[..., bytes]) -> None:
    with pytest.raises(EnvironmentMismatch, match="cannot be started") as caught:
        compile_onnx(make_graph(), RTX, command=("/no/such/python", "-m", "edgefer.engine.worker"))
    assert "sys.executable" in caught.value.hint


GRANDCHILD = (
    "import subprocess\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "pathlib.Path({path!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
    "time.sleep(60)"
)


def test_a_timeout_ends_the_whole_process_group(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    noted = tmp_path / "pids"
    started = time.monotonic()
    with pytest.raises(CompileError, match=r"longer than 3 s"):
        compile_onnx(make_graph(), RTX, timeout=3, command=worker(GRANDCHILD.format(path=str(noted))))
    assert time.monotonic() - started < 20
    pids = [int(pid) for pid in noted.read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_an_interrupt_ends_the_child_and_is_passed_on(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    noted = tmp_path / "pids"

    def interrupt() -> None:
        wait_until(lambda: noted.exists() and len(noted.read_text().split()) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        compile_onnx(make_graph(), RTX, timeout=30, command=worker(GRANDCHILD.format(path=str(noted))))
    thread.join()
    pids = [int(pid) for pid in noted.read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_the_worker_refuses_to_build_for_a_parent_that_is_gone(
    make_graph: Callable[..., bytes], tmp_path: Path, own_temporary_folder: Path
) -> None:
    (tmp_path / "graph.onnx").write_bytes(make_graph())
    (tmp_path / "request.json").write_text(
        '{"flavour":"tensorrt_rtx","batches":[1],"workspace_bytes":1073741824,"parent":1}'
    )
    done = subprocess.run([sys.executable, "-m", "edgefer.engine.worker", str(tmp_path)], capture_output=True)
    assert done.returncode == 1
    assert "has gone" in (tmp_path / "failure.json").read_text()


def test_the_reporter_hears_that_time_passes(make_graph: Callable[..., bytes]) -> None:
    heard: list[int] = []

    class Listener:
        @contextmanager
        def task(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
            assert "tensorrt_rtx" in name
            yield heard.append

        def note(self, text: str) -> None:
            raise AssertionError(text)

    with pytest.raises(CompileError):
        compile_onnx(make_graph(), RTX, reporter=Listener(), command=worker("time.sleep(2.3)"))
    assert sum(heard) == 2


def test_no_room_for_the_files_is_said_with_where(
    make_graph: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(EnvironmentMismatch, match="missing") as caught:
        compile_onnx(make_graph(), RTX)
    assert "TMPDIR" in caught.value.hint


@pytest.mark.parametrize("batches", [(), (0,), (1, 1), (-2,)])
def test_batches_must_be_distinct_and_positive(batches: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        CompileRequest("tensorrt", batches=batches)


@pytest.mark.parametrize("size", [0, -1, 1 << 63])
def test_a_workspace_that_no_builder_takes_is_refused_before_it_is_tried(size: int) -> None:
    with pytest.raises(UsageError, match=f"the workspace is {size} bytes, expected 1 to {2**63 - 1}"):
        CompileRequest("tensorrt", workspace_bytes=size)


def test_profiles_are_of_the_dynamic_inputs_only() -> None:
    image = TensorReport(name="visible", shape=(-1, 3, 8, 8), dtype="fp32")
    mask = TensorReport(name="present", shape=(1, 2), dtype="fp32")
    assert profile_shapes((image, mask), (1, 2)) == [{"visible": (1, 3, 8, 8)}, {"visible": (2, 3, 8, 8)}]
    assert profile_shapes((TensorReport(name="x", shape=(2, 3), dtype="fp32"),), (2,)) == []
    with pytest.raises(CompileError, match="only its batch may be dynamic"):
        profile_shapes((TensorReport(name="x", shape=(1, 3, -1, -1), dtype="fp32"),), (1,))


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
