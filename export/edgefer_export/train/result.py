"""What a training gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgefer_export.intervals import Interval, wilson

Stopped = Literal["finished", "time limit", "no progress"]


@dataclass(frozen=True)
class EpochFigure:
    """One epoch: mean training loss, and `correct` of `count` validation samples after it.

    Attributes:
        correct: None where the network does not classify.
        losses: the mean of each term that was added up.
        validation_loss: the objective on the validation, where the best epoch is chosen by it.
        rate: the learning rate of the last step.
    """

    epoch: int
    steps: int
    loss: float
    correct: int | None
    count: int
    seconds: float
    losses: Mapping[str, float] = field(default_factory=dict)
    validation_loss: float | None = None
    rate: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        path: the checkpoint, with the weights of the best epoch by validation.
        network: its registered name.
        labels: in the order of the logits.
        correct: validation samples that the checkpoint gets right, of `count`; None where it does not classify.
        samples: number of training samples.
        best_epoch: the epoch whose weights were kept; the latest of equally good ones.
        steps: batches trained.
        stopped: whether the training ran its course, its time was up, or it had stopped getting better.
        arithmetic: fp32 or bf16.
        seconds: wall-clock time of everything, reading the data included; of a resumed training also what was before.
        history: one figure per epoch.
        validation_loss: the objective on the validation, where the best epoch was chosen by it.
    """

    path: Path
    network: str
    labels: tuple[str, ...]
    correct: int | None
    count: int
    samples: int
    best_epoch: int
    steps: int
    stopped: Stopped
    arithmetic: Literal["fp32", "bf16"]
    seconds: float
    history: tuple[EpochFigure, ...]
    validation_loss: float | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of validation samples that are right; None where the network does not classify."""
        return None if self.correct is None else self.correct / self.count

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval of the accuracy, as if the samples were independent."""
        return None if self.correct is None else wilson(self.correct, self.count)
