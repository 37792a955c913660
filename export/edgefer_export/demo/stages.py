"""Stages of the demonstration: a command, what it reads, what it writes, and whether what it wrote still stands."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefer import atomic
from edgefer.errors import EdgeferError
from edgefer.version import __version__

_ENTRY = {"key", "written", "answer", "seconds"}


@dataclass(frozen=True)
class Stage:
    """One `edgefer` command of the demonstration.

    Attributes:
        name: for the table and for the record.
        arguments: what follows `edgefer` on the command line; `--json` is added.
        reads: files whose content the result depends on.
        writes: files that the command leaves behind.
    """

    name: str
    arguments: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()

    @property
    def line(self) -> str:
        """The command as one would type it."""
        return shlex.join(("edgefer", *self.arguments))


@dataclass(frozen=True)
class Outcome:
    """What a stage said (`answer`, the object from `--json`), how many seconds it took, whether it was reused."""

    answer: dict[str, Any]
    seconds: float
    reused: bool


class Demonstration:
    """Runs stages in a folder and remembers them in `stages.json`, so that a second run reuses what stands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._record = folder / "stages.json"

    def run(self, stage: Stage) -> Outcome:
        """Run the stage, or reuse it where command, version, inputs and outputs are those of the record.

        Raises:
            EdgeferError: the command failed; its own message went to standard error.
        """
        key = _key(stage)
        known = self._known().get(stage.name)
        if known is not None and known["key"] == key and known["written"] == _digests(stage.writes):
            return Outcome(known["answer"], known["seconds"], reused=True)
        print(f"\n$ {stage.line}", flush=True)
        started = time.monotonic()
        command = [sys.executable, "-m", "edgefer", *stage.arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        seconds = time.monotonic() - started
        if done.returncode != 0:
            raise EdgeferError(
                f"The stage '{stage.name}' ended with exit code {done.returncode}.",
                details=done.stdout.decode(errors="replace").strip(),
                hint=f"Run it by hand to see more: {stage.line}",
            )
        answer = json.loads(done.stdout)
        entry = {"key": key, "written": _digests(stage.writes), "answer": answer, "seconds": seconds}
        atomic.write_text(self._record, json.dumps({**self._known(), stage.name: entry}, indent=2) + "\n")
        return Outcome(answer, seconds, reused=False)

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self._record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # no record yet, or one that something else has damaged
            return {}
        entries = known.items() if isinstance(known, dict) else ()
        return {name: entry for name, entry in entries if isinstance(entry, dict) and entry.keys() >= _ENTRY}


def _key(stage: Stage) -> str:
    content = json.dumps([__version__, stage.name, list(stage.arguments), _digests(stage.reads)])
    return hashlib.sha256(content.encode()).hexdigest()


def _digests(paths: tuple[Path, ...]) -> dict[str, str | None]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None for path in paths}
