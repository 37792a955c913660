"""What a training gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class EpochFigure:
    """One epoch: mean training loss, and `correct` of `count` validation samples after it."""

    epoch: int
    steps: int
    loss: float
    correct: int
    count: int
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        path: the checkpoint, with the weights of the best epoch by validation.
        network: its registered name.
        labels: in the order of the logits.
        correct: validation samples that the checkpoint gets right, of `count`.
        samples: number of training samples.
        best_epoch: the epoch whose weights were kept; the latest of equally good ones.
        steps: batches trained.
        stopped: whether the training ran its course or its time was up.
        arithmetic: fp32 or bf16.
        seconds: wall-clock time of everything, reading the data included.
        history: one figure per epoch.
    """

    path: Path
    network: str
    labels: tuple[str, ...]
    correct: int
    count: int
    samples: int
    best_epoch: int
    steps: int
    stopped: Literal["finished", "time limit"]
    arithmetic: Literal["fp32", "bf16"]
    seconds: float
    history: tuple[EpochFigure, ...]

    @property
    def accuracy(self) -> float:
        """Share of validation samples that are right."""
        return self.correct / self.count
