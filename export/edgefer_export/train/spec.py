"""What a training is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgefer_export.data.dataset import Dataset
from edgefer_export.train.spec_checks import check

DEFAULT_EPOCHS = 20

Arithmetic = Literal["auto", "fp32", "bf16"]
Offline = Literal["none", "naseem2025"]
Composite = Literal["none", "2018", "2019-03", "2019-04"]
Sampler = Literal["shuffled", "class-cyclic"]


@dataclass(frozen=True)
class TrainSpec:
    """A training. Nothing but `network`, `data` and `output` must be given.

    The defaults are for networks with batch norm throughout; `spec_from(None, ...)` takes those of the network, which
    for others are a smaller rate and batch.

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
        learning_rate: the highest one.
        optimiser: `adamw`, `adam`, `sgd:MOMENTUM`, ..., see `optimisers`.
        schedule: of the learning rate, see `rates`; by default it rises over the first fifth and falls to nearly 0
            along a cosine.
        head_rate: factor on the learning rate of the last fully connected layer, for classes that are new.
        weight_decay: of AdamW on weights of two or more dimensions, of the others on every parameter.
        label_smoothing: 0 to below 1; of the cross-entropy, so that it does nothing for a network with an objective of
            its own.
        dropout: probability of every dropout layer; None keeps the network's. A reduced network learns little under
            the dropout of a full one.
        flip: mirror half of the samples, both modalities alike.
        crop: shift by up to this share of the side, both modalities alike.
        rotation: turn by up to this many degrees, both modalities alike.
        padding: pad by this many pixels of black on every side and cut the size out again at random, likewise.
        moved: probability of `rotation` and `padding` together.
        erasing: with probability 1/2, paint over a rectangle of 2 % to this share of each sample.
        offline: copies of every training image that are made once, before the first epoch, see `offline`.
        composite: every face of every batch is put on a background, at a pose and in a light of chance: FERAtt's public
            code of that date, see `composite`.
        backgrounds: a folder of pictures for `composite`; None: textures made by chance.
        apart: the two cameras' images are changed `offline`, which must be asked for, independently of each other, so
            that they no longer fit pixel by pixel.
        modality_dropout: probability of each of two cameras to be missing, never both: its picture is black, and
            `present` says so where the network has that input. Below 0.5.
        saliency: a checkpoint of `ml-net`, which makes the maps that a network such as `saliency-alexnet` takes.
        weights: a checkpoint of the same network to start from.
        towers: checkpoints of `viri-visible` and `viri-infrared` to start a `viri-fusion` from.
        backbones: checkpoints of `backbone` to start a network of two trunks from.
        trunk: a classifier with torchvision's names whose layers every ResNet or VGG trunk starts from; for
            `saliency-alexnet` all of it but its last layer, for `ml-net` the convolutions.
        stage: what of the network is trained, see `stages`; None takes the network's first.
        seed: of weights, order, augmentation and the split; not negative.
        arithmetic: bf16 in the forward and backward pass, where the processor has matrix units for it (`auto`).
        sampler: the order of an epoch: each sample once, or `class-cyclic`, where place k takes a sample of class
            k mod C, so that every batch has all classes.
        epoch_samples: samples an epoch, where not each once; 2 or more.
        patience: stop after this many epochs in a row without a better one; None: never.
        resume: keep a state beside the output after every epoch, and go on from it where it is there.
        log: a CSV file with a row an epoch.
        tensorboard: a folder for TensorBoard.
        recipe: the name of what the settings were taken from, noted in the checkpoint.
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
    optimiser: str = "adamw"
    schedule: str = "one-cycle"
    head_rate: float = 1.0
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    dropout: float | None = None
    flip: bool = True
    crop: float = 0.06
    rotation: float = 0.0
    padding: int = 0
    moved: float = 1.0
    erasing: float = 0.0
    offline: Offline = "none"
    apart: bool = False
    composite: Composite = "none"
    backgrounds: Path | None = None
    modality_dropout: float = 0.0
    saliency: Path | None = None
    weights: Path | None = None
    towers: tuple[Path, Path] | None = None
    backbones: tuple[Path, Path] | None = None
    trunk: Path | None = None
    stage: str | None = None
    seed: int = 0
    arithmetic: Arithmetic = "auto"
    sampler: Sampler = "shuffled"
    epoch_samples: int | None = None
    patience: int | None = None
    resume: bool = False
    log: Path | None = None
    tensorboard: Path | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a value outside what is stated above."""
        check(self)
