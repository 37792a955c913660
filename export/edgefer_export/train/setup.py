"""From a specification to what a training works on: data, split, network and the weights it starts from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edgefer.errors import CheckpointError, DataError
from edgefer.progress import Reporter
from edgefer_export.checkpoint import load_weights, read_metadata
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.splits import Subset, holdout, targets_and_subjects
from edgefer_export.networks import registry
from edgefer_export.networks.family import Band
from edgefer_export.networks.registry import LoadedNetwork
from edgefer_export.saliency_maps import with_maps_for
from edgefer_export.train.backbones import load_backbones
from edgefer_export.train.effects import check_effects
from edgefer_export.train.offline import OfflineCopies
from edgefer_export.train.sharing import check_validation
from edgefer_export.train.spec import TrainSpec
from edgefer_export.train.stages import stage_of
from edgefer_export.train.towers import load_towers
from edgefer_export.train.trunks import load_trunks


@dataclass(frozen=True)
class Material:
    """What a training works on."""

    network: LoadedNetwork
    train: Dataset
    validation: Dataset


def prepare(spec: TrainSpec, reporter: Reporter) -> Material:
    """Open the data, make the network and load what it starts from.

    Raises:
        UsageError: unknown network or option, labels that contradict the network's, a setting that is for other
            networks, or a validation with samples that are trained on.
        DataError: data cannot be read, has other labels than asked for, or lacks images of a class.
        CheckpointError: the weights to start from do not fit.
    """
    read = open_data(spec, reporter)
    network = registry.create(spec.network, spec.options, labels=read.labels, band=spec.band or _band(read))
    check_effects(spec, network, reporter)
    data = with_maps_for(network, read, spec.saliency, reporter)
    if spec.validation is None:
        split = holdout(data, share=spec.validation_share, seed=spec.seed, reporter=reporter)
        train: Dataset = Subset(data, split.train)
        validation: Dataset = Subset(data, split.test)
    else:
        other = _open(spec.validation, spec.layout, data.labels, reporter)
        check_validation(read, other, reporter)
        train, validation = data, with_maps_for(network, other, spec.saliency, reporter)
    if network.logits is not None:
        _require_every_class(train)
    if len(train) < 2:
        raise DataError(f"{train.source} leaves {len(train)} samples to train on; 2 or more are needed")
    _start(network, spec, reporter)
    if spec.offline != "none":
        train = OfflineCopies(train, spec.seed, apart=spec.apart)
    return Material(network, train, validation)


def open_data(spec: TrainSpec, reporter: Reporter) -> Dataset:
    """The data of a training, with the labels that it says or that the options of its network name.

    Raises:
        UsageError: unknown network or option.
        DataError: the data cannot be read, or has other labels.
    """
    labels = spec.labels
    if labels is None and spec.options.get("labels", "auto") != "auto":
        labels = registry.create(spec.network, spec.options).labels
    return _open(spec.data, spec.layout, labels, reporter)


def _open(data: str | Dataset, layout: str | None, labels: tuple[str, ...] | None, reporter: Reporter) -> Dataset:
    if isinstance(data, str):
        return open_dataset(data, layout, labels, reporter=reporter)
    if labels is not None and data.labels != labels:
        raise DataError(
            f"{data.source} has the labels {', '.join(data.labels)}; expected {', '.join(labels)}",
            hint="the labels and their order must be those of the logits",
        )
    return data


def _band(data: Dataset) -> Band | None:
    band = getattr(data, "band", None)
    return band if band in ("lwir", "nir") else None


def _require_every_class(data: Dataset) -> None:
    found = Counter(targets_and_subjects(data)[0])
    missing = [label for index, label in enumerate(data.labels) if not found[index]]
    if missing:
        raise DataError(
            f"{data.source} has nothing to train {', '.join(missing)} on; every class needs images",
            hint="add images, leave the class out of the labels, or put a smaller share aside for validation",
        )


def _start(network: LoadedNetwork, spec: TrainSpec, reporter: Reporter) -> None:
    if spec.weights is not None:
        _check_origin(network, spec.weights, reporter)
        for note in load_weights(network.module, spec.weights).notes:
            reporter.note(note)
    if spec.trunk is not None:
        load_trunks(network, spec.trunk)
    if spec.backbones is not None:
        load_backbones(network, spec.backbones)
    if spec.towers is not None:
        for note in load_towers(network, spec.towers):
            reporter.note(note)
    _warn_of_frozen(network, spec, reporter)


def _warn_of_frozen(network: LoadedNetwork, spec: TrainSpec, reporter: Reporter) -> None:
    """A note where a stage keeps parts as they are that have never been trained."""
    started = (spec.weights, spec.trunk, spec.backbones, spec.towers)
    stage = stage_of(network.module, spec.stage, network.name)
    frozen = [name for name, factor in stage.factors.items() if factor == 0]
    if frozen and all(path is None for path in started):
        reporter.note(
            f"The stage {stage.name} of {network.name} leaves {' and '.join(frozen)} as they are, and they begin with "
            "random weights; --backbones gives them trained ones."
        )


def _check_origin(network: LoadedNetwork, path: Path, reporter: Reporter) -> None:
    """Refuse the weights of another network or for another number of classes by name, and not by their shapes."""
    metadata = read_metadata(path)
    if metadata is None:
        return
    if metadata.network != network.name:
        raise CheckpointError(
            f"{path} is a checkpoint of {metadata.network}, expected one of {network.name}",
            hint=f"train {metadata.network}, or give weights of {network.name}",
        )
    if len(metadata.labels) != len(network.labels):
        raise CheckpointError(
            f"{path} has {len(metadata.labels)} classes ({', '.join(metadata.labels)}), expected {len(network.labels)} "
            f"({', '.join(network.labels)})",
            hint="give weights for the classes of the data, or data with the classes of the weights",
        )
    if metadata.labels != network.labels:
        reporter.note(
            f"{path} was trained for {', '.join(metadata.labels)}; its last layer begins with weights for other "
            f"classes than {', '.join(network.labels)}."
        )
