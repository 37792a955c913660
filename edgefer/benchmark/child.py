"""A measurement in a process of its own: one line of answer on its standard output, or a typed error.

What is measured from a process's start, or must not be counted together with what the caller has loaded, runs there.
The child leads its own process group and does not outlive the call; what it said beside the answer goes into errors.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import edgefer
from edgefer import errors
from edgefer.benchmark.child_answer import PREFIX
from edgefer.errors import EdgeferError, EnvironmentMismatch

TIMEOUT = 300.0
"""Seconds, unless told otherwise: deriving a CPU form of a large network takes tens of them on a small board."""

_TAIL_BYTES = 4096
_KINDS: dict[str, type[EdgeferError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgeferError)
}


@dataclass(frozen=True)
class Answer:
    """What a child measured, when it was started (`time.monotonic`), and seconds until its answer arrived."""

    value: dict[str, Any]
    started: float
    seconds: float


def ask(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Answer:
    """Run `python -m MODULE ARGUMENTS` and wait for its answer and its end.

    Args:
        module: one that answers through `edgefer.benchmark.child_answer`.
        arguments: paths among them absolute, since the child runs in a folder of its own.
        environment: variables to set in addition to this process's.
        timeout: in seconds.

    Raises:
        EdgeferError: of the kind that the child raised; or the child died, answered nothing, or took too long, and
            `details` has its last lines.
        EnvironmentMismatch: no process can be started, or there is no room for its files.
    """
    try:
        # Its own folder: with `-m` the working folder is on the module path, where any file could shadow a package.
        with (
            tempfile.TemporaryDirectory(prefix="edgefer-benchmark-", ignore_cleanup_errors=True) as folder,
            (Path(folder) / "said").open("w+b") as said,
        ):
            return _ask(module, arguments, _environment(environment or {}), timeout, Path(folder), said)
    except OSError as error:
        raise EnvironmentMismatch(
            f"no process can be started to measure in: {error}",
            hint=f"free some memory, or some space in {tempfile.gettempdir()}",
        ) from error


def _ask(
    module: str,
    arguments: Sequence[str],
    environment: dict[str, str],
    timeout: float,
    folder: Path,
    said: IO[bytes],
) -> Answer:
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        start_new_session=True,
    )
    assert child.stdout is not None
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(child)

    timer = threading.Timer(timeout, stop)
    timer.daemon = True
    timer.start()
    line, seconds = b"", 0.0
    try:
        for text in child.stdout:
            if text.startswith(PREFIX) and not line:
                line, seconds = text, time.monotonic() - started
            elif not text.startswith(PREFIX):
                said.write(text)
        child.wait()
    finally:
        timer.cancel()
        _kill(child)
        child.wait()
        child.stdout.close()
    if late.is_set():
        raise EdgeferError(
            f"{module} took longer than {timeout:g} s and was stopped",
            hint="the machine is overloaded or swapping; leave this part of the benchmark out",
            details=_tail(said),
        )
    return Answer(_value(module, line, child.returncode, said), started, seconds)


def _value(module: str, line: bytes, code: int, said: IO[bytes]) -> dict[str, Any]:
    if code < 0:
        raise EdgeferError(
            f"{module} was killed by {_signal(-code)}",
            hint="most often the system ran out of memory" if -code == signal.SIGKILL else "",
            details=_tail(said),
        )
    try:
        answer: dict[str, Any] = json.loads(line.removeprefix(PREFIX))
    except ValueError as error:
        raise EdgeferError(
            f"{module} ended with status {code} and no answer", hint="its last lines are below", details=_tail(said)
        ) from error
    if "kind" in answer:
        kind = _KINDS.get(answer["kind"], EdgeferError)
        raise kind(answer["message"], hint=answer["hint"], details=answer["details"])
    return answer


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The child leads its own group and is not reaped yet, so the number cannot belong to anyone else.
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """This process's variables, with edgefer itself importable wherever the child's working folder is."""
    own = str(Path(edgefer.__file__).parent.parent)
    given = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([own, *given]), **added}


def _tail(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _TAIL_BYTES))
    return said.read().decode(errors="replace").strip()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
