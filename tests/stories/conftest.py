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

import numpy as np
import pytest

OPTIONS = {"width": "0.125", "size": "32"}
LABELS = ("angry", "happy", "neutral", "sad", "surprise")
SIDE = 48
PLACES = np.array([(12, 12), (12, 36), (36, 12), (36, 36), (24, 24)])


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


@dataclass(frozen=True)
class Data:
    """Three folders of pairs that share no image."""

    training: Path
    calibration: Path
    evaluation: Path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Pairs on disk that a small network learns in seconds: a blob whose place depends on the class, in noise.

    8-bit colour pictures, 16-bit infrared ones. The infrared picture alone confuses the first two classes.
    """
    cv2 = pytest.importorskip("cv2")
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(7)
    folders = {"training": 80, "calibration": 10, "evaluation": 60}
    for folder, per_class in folders.items():
        for index, label in enumerate(LABELS):
            for role in ("visible", "infrared"):
                (root / folder / role / label).mkdir(parents=True)
            for number in range(per_class):
                visible = rng.integers(0, 90, (SIDE, SIDE, 3)).astype(np.uint8)
                infrared = rng.integers(0, 20000, (SIDE, SIDE)).astype(np.uint16)
                y, x = PLACES[index] + rng.integers(-3, 4, 2)
                visible[y - 5 : y + 5, x - 5 : x + 5] += np.uint8(120)
                y, x = PLACES[max(index, 1)] + rng.integers(-3, 4, 2)
                infrared[y - 5 : y + 5, x - 5 : x + 5] += np.uint16(30000)
                for role, image in (("visible", visible), ("infrared", infrared)):
                    assert cv2.imwrite(str(root / folder / role / label / f"{number:03d}.png"), image)
    return Data(*(root / folder for folder in folders))


@pytest.fixture(scope="session")
def checkpoint(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A viri-fusion of an eighth of the width, trained on those pairs for a few seconds."""
    pytest.importorskip("torch")
    from edgefer_export.train import TrainSpec, train

    path = tmp_path_factory.mktemp("weights") / "fusion.pt"
    train(
        TrainSpec(
            network="viri-fusion",
            options=OPTIONS,
            data=str(data.training),
            labels=LABELS,
            validation=str(data.calibration),
            output=path,
            epochs=6,
            batch=32,
            flip=False,
            dropout=0.0,
            seed=1,
        )
    )
    return path
