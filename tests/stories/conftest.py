"""What the stories share: one small network, trained once, and a way to run `edgefer` as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

OPTIONS = {"width": "0.125", "size": "48"}


@dataclass(frozen=True)
class Answer:
    """How a command ended: exit code, the object on standard output (None where there is none), standard error."""

    code: int
    value: Any
    stderr: str


@pytest.fixture(scope="session")
def edgefer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """Run `edgefer ARGUMENTS --json` in a process of its own, with a cache of the tests' own."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: str | Path, cwd: Path | None = None, blocked: tuple[str, ...] = ()) -> Answer:
        command = [sys.executable, "-m", "edgefer"]
        if blocked:
            # An import of a blocked package fails as if it were not installed.
            program = (
                f"import sys; sys.modules.update(dict.fromkeys({list(blocked)!r}));"
                "from edgefer.cli.main import main; raise SystemExit(main())"
            )
            command = [sys.executable, "-c", program]
        done = subprocess.run(
            [*command, *map(str, arguments), "--json"],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "EDGEFER_CACHE": str(cache)},
            timeout=300,
            check=False,
        )
        return Answer(done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr)

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A viri-fusion of an eighth of the width, trained for a few seconds: far from good, far from chance."""
    pytest.importorskip("torch")
    from edgefer_export.train import TrainSpec, train

    path = tmp_path_factory.mktemp("weights") / "fusion.pt"
    train(TrainSpec(network="viri-fusion", options=OPTIONS, data="synthetic:1500:61", output=path, epochs=4, seed=1))
    return path
