"""The command line as a whole: what goes to which stream, and with which exit code it ends."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.cli import main as entry
from edgefer.cli.output import Outcome
from edgefer.cli.parser import parse
from edgefer.cli.verbs import VERBS
from edgefer.errors import (
    AccuracyBudgetExceeded,
    BundleError,
    DeviceError,
    EdgeferError,
    EnvironmentMismatch,
    UsageError,
)
from edgefer.version import __version__

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# A verb that does what a test says, in place of `inspect`.
FAKE = """
import types, edgefer.cli
fake = types.ModuleType("edgefer.cli.inspect")
fake.DESCRIPTION = fake.EXAMPLE = "fake"
fake.add_arguments = lambda parser: None
sys.modules["edgefer.cli.inspect"] = fake
def verb(run):
    fake.run = run
"""


def test_version(run_cli: Run) -> None:
    done = run_cli("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"edgefer {__version__}\n", "")


def test_module_and_script_are_one() -> None:
    done = subprocess.run([sys.executable, "-m", "edgefer", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"edgefer {__version__}\n"


def test_help_lists_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb.name in shown and verb.summary in shown for verb in VERBS)
    assert "accuracy budget" in shown


@pytest.mark.parametrize("name", [verb.name for verb in VERBS])
def test_help_of_each_verb_has_an_example(run_cli: Run, name: str) -> None:
    # Help has to come without any extra: it is how a user finds out what a verb needs.
    done = run_cli(name, "--help", blocked=("torch", "onnx", "onnxruntime", "cv2", "matplotlib", "jinja2"))
    assert done.returncode == 0, done.stderr
    assert f"example:\n  edgefer {name}" in done.stdout
    assert "--json" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", [verb.name for verb in VERBS])
def test_the_examples_of_the_help_can_be_typed(name: str) -> None:
    (verb,) = (each for each in VERBS if each.name == name)
    lines = [shlex.split(line) for line in verb.load().EXAMPLE.splitlines()]
    typed = ["edgefer", *name.split()]
    assert [words[: len(typed)] for words in lines] == [typed] * len(lines)
    assert [parse(words[1:]).verb for words in lines] == [name] * len(lines)


def test_help_imports_nothing_heavy(run_cli: Run) -> None:
    heavy = ["numpy", "torch", "onnx", "onnxruntime", "cv2", "matplotlib", "edgefer_export"]
    code = f"import atexit; atexit.register(lambda: print([each for each in {heavy} if each in sys.modules]))"
    for words in (["--help"], ["infer", "--help"], ["build-engine", "--help"]):
        assert run_cli(*words, code=code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bild-engine"],
        ["inspect"],
        ["inspect", "a", "b"],
        ["infer", "x.edgefer", "--visble", "a.png"],
        ["infer", "x.edgefer", "--vis", "a.png"],
        ["evaluate", "x.edgefer"],
        ["infer", "x.edgefer", "--visible", "a.png", "--threads", "many"],
    ],
)
def test_a_wrong_command_line_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "--help" in shown.err


def test_a_wrong_command_line_under_json_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["inspect", "--json"]) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert error["type"] == "UsageError"
    assert "BUNDLE" in error["message"]
    assert error["hint"] == "edgefer inspect --help"
    assert shown.err == ""


NOISE = """
import ctypes, os, subprocess
def run(arguments):
    from edgefer.cli.output import Outcome
    print("python")
    os.write(1, b"descriptor\\n")
    libc = ctypes.CDLL(None)
    libc.printf(b"buffered by C\\n")
    subprocess.run(["echo", "child"], check=True)
    return Outcome(payload={"answer": 42}, text="the answer")
verb(run)
"""


@pytest.mark.parametrize("words", [["inspect", "--json"], ["inspect"]])
def test_only_the_answer_goes_to_standard_output(run_cli: Run, words: list[str]) -> None:
    done = run_cli(*words, code=FAKE + NOISE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ('{"answer":42}\n' if "--json" in words else "the answer\n")
    assert sorted(done.stderr.splitlines()) == ["buffered by C", "child", "descriptor", "python"]


def fake_verb(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import edgefer.cli.inspect as verb

    def run(arguments: Any) -> Outcome:
        print("on the way")
        raise error

    monkeypatch.setattr(verb, "run", run)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EdgeferError("a message", hint="a hint", details="a detail"), 1),
        (BundleError("a message", hint="a hint", details="a detail"), 1),
        (UsageError("a message", hint="a hint", details="a detail"), 2),
        (EnvironmentMismatch("a message", hint="a hint", details="a detail"), 3),
        (DeviceError("a message", hint="a hint", details="a detail"), 3),
        (AccuracyBudgetExceeded("a message", hint="a hint", details="a detail"), 4),
    ],
)
def test_each_error_has_its_exit_code(
    error: EdgeferError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, error)
    assert entry.main(["inspect", "x"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "on the way\nerror: a message\na detail\nhint: a hint\n"
    assert entry.main(["inspect", "x", "--json"]) == code
    shown = capsys.readouterr()
    expected = {"type": type(error).__name__, "message": "a message", "hint": "a hint", "details": "a detail"}
    assert json.loads(shown.out) == {"error": expected}
    assert shown.err == "on the way\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out.edgefer"), "Free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "out.edgefer"), "out.edgefer"),
        (OSError("no number"), "no number"),
        (MemoryError(), "ran out of memory"),
        (ZeroDivisionError("division by zero"), "--debug"),
    ],
)
def test_what_the_system_refuses_ends_with_1_and_no_traceback(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, error)
    assert entry.main(["inspect", "x"]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"]])
def test_an_answer_that_cannot_be_written_is_a_failure(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgefer", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_verb(monkeypatch, ZeroDivisionError("division by zero"))
    assert entry.main(["inspect", "x", "--debug"]) == 1
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err.split("Traceback")[1]


def test_a_broken_shared_library_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_verb(monkeypatch, ImportError("libGL.so.1: cannot open shared object file", name="cv2"))
    assert entry.main(["inspect", "x"]) == 3
    shown = capsys.readouterr().err
    assert "`cv2`, which is installed but cannot be loaded" in shown
    assert "libGL.so.1" in shown


def test_an_import_error_of_our_own_is_a_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_verb(monkeypatch, ImportError("cannot import name 'x' from 'edgefer.y'", name="edgefer.y"))
    assert entry.main(["inspect", "x"]) == 1
    assert "defect" in capsys.readouterr().err


SLEEPER = """
import time
from edgefer import atomic
def run(arguments):
    part = open("out.edgefer.part", "w")
    try:
        print("started", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        os.unlink("out.edgefer.part")
import os
verb(run)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [["inspect"], ["inspect", "--json"]])
def test_an_interrupt_leaves_nothing(words: list[str], sent: signal.Signals, code: int, tmp_path: Path) -> None:
    program = f"import sys\n{FAKE}{SLEEPER}\nfrom edgefer.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "started\n"
    began = time.monotonic()
    process.send_signal(sent)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode == code
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    if "--json" in words:
        assert json.loads(out)["error"]["type"] == "Interrupted"
    else:
        assert (out, "Interrupted" in err) == ("", True)


LONG = """
def run(arguments):
    from edgefer.cli.output import Outcome
    return Outcome(payload=list(range(1_000_000)), text="x" * 5_000_000)
verb(run)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_goes_away_causes_no_traceback(unbuffered: str) -> None:
    program = f"import sys\n{FAKE}{LONG}\nfrom edgefer.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "inspect"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=20) == entry.PIPE_CLOSED
    assert err == b""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_gets_all_of_a_long_answer(unbuffered: str) -> None:
    program = f"import sys\n{FAKE}{LONG}\nfrom edgefer.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "inspect"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=True,
    )
    assert len(done.stdout) == 5_000_001


def test_a_closed_standard_output_is_no_error(tmp_path: Path) -> None:
    line = f'"{sys.executable}" -m edgefer networks --help >&-'
    done = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert "Traceback" not in done.stderr


def test_text_is_written_in_the_encoding_of_the_terminal(run_cli: Run) -> None:
    code = (
        FAKE + "def run(arguments):\n from edgefer.cli.output import Outcome\n return Outcome({}, '100 °')\nverb(run)"
    )
    program = f"import sys\n{code}\nfrom edgefer.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program, "inspect"], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, b"100 ?\n")
