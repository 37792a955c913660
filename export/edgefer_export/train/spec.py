"""What a training is asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgefer.errors import UsageError
from edgefer_export.data.dataset import Dataset

DEFAULT_EPOCHS = 20

Arithmetic = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class TrainSpec:
    """A training. Nothing but `network`, `data` and `output` must be given.

    With the same specification, machine, number of threads and versions, two trainings give the same weights, as long
    as `minutes` does not cut them short.

    Attributes:
        network: a registered name.
        data: what `open_dataset` takes, or a data set.
        output: the checkpoint to write; its folder must exist.
        options: of the network, as text.
        layout: how a folder is arranged; None looks.
        labels: class names in the order of the logits; None takes those of the network's options, else of the data.
        band: of the infrared camera; None takes the data's, else the network's.
        validation: data to choose the best epoch by; None puts `validation_share` of the data aside, by people.
        validation_share: between 0 and 1.
        epochs: passes over the data; with `steps`, whichever ends first. None and no `steps`: 20.
        steps: batches.
        minutes: wall-clock limit for everything, reading the data included. The learning rate then falls in time for
            the end, so that a slow machine gives a shorter training and not a broken one.
        batch: samples a step.
        learning_rate: the highest one; it rises over the first fifth and falls to nearly 0 along a cosine.
        weight_decay: AdamW's, on weights of two or more dimensions.
        label_smoothing: 0 to below 1.
        dropout: probability of every dropout layer; None keeps the network's. A reduced network learns little under
            the dropout of a full one.
        flip: mirror half of the samples, both modalities alike.
        crop: shift by up to this share of the side, both modalities alike.
        modality_dropout: probability of each of two cameras to be missing, never both: its picture is black, and
            `present` says so where the network has that input. Below 0.5.
        weights: a checkpoint of the same network to start from.
        towers: checkpoints of `viri-visible` and `viri-infrared` to start a `viri-fusion` from.
        seed: of weights, order, augmentation and the split; not negative.
        arithmetic: bf16 in the forward and backward pass, where the processor has matrix units for it (`auto`).
    """

    network: str
    data: str | Dataset
    output: Path
    options: Mapping[str, str] = field(default_factory=dict)
    layout: str | None = None
    labels: tuple[str, ...] | None = None
    band: Literal["nir", "lwir"] | None = None
    validation: str | Dataset | None = None
    validation_share: float = 0.1
    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    dropout: float | None = None
    flip: bool = True
    crop: float = 0.06
    modality_dropout: float = 0.0
    weights: Path | None = None
    towers: tuple[Path, Path] | None = None
    seed: int = 0
    arithmetic: Arithmetic = "auto"

    def __post_init__(self) -> None:
        """Raises UsageError for a value outside what is stated above."""
        for name in ("epochs", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; at least 1 is needed")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise UsageError(f"minutes is {self.minutes:g}; a positive number is needed")
        if self.batch < 2:
            raise UsageError(f"batch is {self.batch}; batch normalisation needs 2 samples or more")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UsageError(f"learning_rate is {self.learning_rate:g}; a positive number is needed")
        if not self.weight_decay >= 0:
            raise UsageError(f"weight_decay is {self.weight_decay:g}; 0 or more is needed")
        shares = {
            "label_smoothing": self.label_smoothing,
            "dropout": self.dropout,
            "crop": self.crop,
            "modality_dropout": self.modality_dropout,
        }
        for name, share in shares.items():
            if share is not None and not 0 <= share < 1:
                raise UsageError(f"{name} is {share:g}; 0 to below 1 is possible")
        if self.modality_dropout >= 0.5:
            raise UsageError(f"modality_dropout is {self.modality_dropout:g}; of two cameras one must stay: below 0.5")
        if not 0 < self.validation_share < 1:
            raise UsageError(f"validation_share is {self.validation_share:g}; it lies between 0 and 1")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; 0 or more is needed")
        if self.weights is not None and self.towers is not None:
            raise UsageError("a training starts from weights or from towers, not from both")
