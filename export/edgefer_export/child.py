"""Running a command with a time limit so that nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL = 4000


@dataclass(frozen=True)
class ChildEnd:
    """How a child ended: its exit status (negative: the signal that killed it; None: it ran past the limit) and the
    end of what it printed on either stream."""

    status: int | None
    log_tail: str

    @property
    def explanation(self) -> str:
        """In words; empty where it ended well."""
        if self.status is None:
            return "ran past its time limit"
        if self.status < 0:
            return f"was killed by {_signal_name(-self.status)}"
        last = self.log_tail.strip().splitlines()[-1:] or ["without a word"]
        return f"failed with status {self.status}: {last[0]}" if self.status else ""


def run_child(command: Sequence[str], *, timeout: float, folder: Path, environment: dict[str, str]) -> ChildEnd:
    """Run `command` in `folder` for at most `timeout` seconds.

    The child leads a process group of its own; on the limit, and on any exception here (Ctrl-C among them), the whole
    group is killed and waited for.

    Raises:
        OSError: the command cannot be started.
    """
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = child.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            # Also after a good end: a grandchild may have outlived the child.
            _kill_group(child)
        log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
        return ChildEnd(status, log.read().decode(errors="replace"))


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
