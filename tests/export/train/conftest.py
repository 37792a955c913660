"""A problem that a small network learns in seconds, and the specification of a training on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer_export.data.dataset import Sample
from edgefer_export.train import TrainSpec

OPTIONS = {"width": "0.125", "size": "32"}


class Squares:
    """A bright square high or low in a noisy picture, four pictures a person."""

    roles: tuple[str, ...] = ("visible", "infrared")

    def __init__(self, count: int, *, labels: tuple[str, ...] = ("a", "b"), seed: int = 0) -> None:
        self.labels, self.source = labels, f"{count} squares"
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        return self._count

    def label(self, index: int) -> int:
        return index % 2

    def subject(self, index: int) -> str:
        return f"person {index // 4}"

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self._seed, index))
        picture = rng.integers(0, 90, (32, 32), dtype=np.uint8)
        top = 4 + 14 * self.label(index)
        picture[top : top + 10, 10:22] += 150
        images = {"visible": np.stack([picture] * 3, -1), "infrared": picture}
        return Sample({role: images[role] for role in self.roles}, self.label(index), str(index), self.subject(index))


@pytest.fixture
def squares() -> type[Squares]:
    return Squares


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., TrainSpec]:
    """A specification of a training in `tmp_path`, with what is given changed."""

    def make(**changes: Any) -> TrainSpec:
        fields: dict[str, Any] = {
            "network": "viri-visible",
            "data": Squares(64),
            "output": tmp_path / "a.pt",
            "options": OPTIONS,
            "epochs": 4,
            "batch": 16,
            "dropout": 0.1,
            "crop": 0.06,
            "validation_share": 0.25,
            "arithmetic": "fp32",
        }
        return TrainSpec(**{**fields, **changes})

    return make
