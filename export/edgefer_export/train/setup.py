"""From a specification to what a training works on: data, split, network and the weights it starts from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from edgefer.errors import CheckpointError, DataError, UsageError
from edgefer.progress import Reporter
from edgefer_export.checkpoint import load_weights, read_metadata
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.splits import Subset, holdout, targets_and_subjects
from edgefer_export.networks import registry
from edgefer_export.networks.family import Band
from edgefer_export.networks.registry import LoadedNetwork
from edgefer_export.train.spec import TrainSpec

# Parts of a tower in a network of one camera, and where a fusion keeps them.
_TOWER = {"trunk.": "{role}.", "gate.linear.": "fusion.{role}."}


@dataclass(frozen=True)
class Material:
    """What a training works on."""

    network: LoadedNetwork
    train: Dataset
    validation: Dataset


def prepare(spec: TrainSpec, reporter: Reporter) -> Material:
    """Open the data, make the network and load what it starts from.

    Raises:
        UsageError: unknown network or option, or labels that contradict the network's.
        DataError: data cannot be read, has other labels than asked for, or lacks images of a class.
        CheckpointError: the weights to start from do not fit.
    """
    labels = spec.labels
    if labels is None and spec.options.get("labels", "auto") != "auto":
        labels = registry.create(spec.network, spec.options).labels
    data = _open(spec.data, spec.layout, labels, reporter)
    network = registry.create(spec.network, spec.options, labels=data.labels, band=spec.band or _band(data))
    if spec.validation is None:
        split = holdout(data, share=spec.validation_share, seed=spec.seed, reporter=reporter)
        train: Dataset = Subset(data, split.train)
        validation: Dataset = Subset(data, split.test)
    else:
        train, validation = data, _open(spec.validation, spec.layout, data.labels, reporter)
    _require_every_class(train)
    if len(train) < 2:
        raise DataError(f"{train.source} leaves {len(train)} samples to train on; 2 or more are needed")
    _start(network, spec)
    return Material(network, train, validation)


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


def _start(network: LoadedNetwork, spec: TrainSpec) -> None:
    if spec.weights is not None:
        load_weights(network.module, spec.weights)
    if spec.towers is not None:
        if network.name != "viri-fusion":
            raise UsageError(
                f"only viri-fusion starts from two towers, not {network.name}", hint="give weights instead"
            )
        for role, path in zip(("visible", "infrared"), spec.towers, strict=True):
            _load_tower(network, role, path)


def _load_tower(network: LoadedNetwork, role: str, path: Path) -> None:
    metadata = read_metadata(path)
    expected = f"viri-{role}"
    if metadata is None or metadata.network != expected:
        raise CheckpointError(
            f"{path} holds {metadata.network if metadata else 'weights without a description'}; the {role} tower is "
            f"a checkpoint of {expected}",
            hint=f"make one with `edgefer train {expected}`",
        )
    tower = registry.create(expected, metadata.options, labels=metadata.labels)
    load_weights(tower.module, path)
    source, target = tower.module.state_dict(), network.module.state_dict()
    chosen: dict[str, torch.Tensor] = {}
    for name, tensor in source.items():
        for prefix, place in _TOWER.items():
            if name.startswith(prefix):
                chosen[place.format(role=role) + name[len(prefix) :]] = tensor
    wrong = [name for name, tensor in chosen.items() if name not in target or target[name].shape != tensor.shape]
    if wrong:
        raise CheckpointError(
            f"the tower in {path} does not fit the fusion's",
            details="\n".join(wrong[:10]),
            hint="train the towers with the width and the channels of the fusion",
        )
    network.module.load_state_dict(chosen, strict=False)
