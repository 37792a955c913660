"""K-fold cross-validation by people: `cross_validate(spec, folds, reporter)`.

Every sample is tested once, by a network that has not seen the person. The best epoch of each fold is chosen on people
held out from what it trains on, never on those it is tested on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgefer.errors import CheckpointError, UsageError
from edgefer.progress import Reporter, Silent
from edgefer_export.checkpoint import load_weights, read_metadata
from edgefer_export.data.dataset import Dataset, combined_digest, pixel_digest, samples
from edgefer_export.data.splits import Subset, k_fold
from edgefer_export.networks import registry
from edgefer_export.saliency_maps import with_maps_for
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.folds_result import FoldFigure, FoldsResult, read_folds, write_folds
from edgefer_export.train.loop import Trainer
from edgefer_export.train.run import train
from edgefer_export.train.setup import open_data
from edgefer_export.train.spec import TrainSpec
from edgefer_export.train.state import identity


def cross_validate(spec: TrainSpec, folds: int, reporter: Reporter | None = None) -> FoldsResult:
    """Train and test `folds` networks. Fold k goes to `NAME-fold-k.SUFFIX` beside `spec.output`, the figures of all to
    `NAME-folds.json`, rewritten after each; with `spec.resume` folds that are in there are not trained again, and the
    fold that was interrupted goes on from its last epoch.

    Raises:
        UsageError: fewer than two folds or more than there are people, data of its own for validation, weights to
            start from that may have seen the people of a test, or a network that does not classify.
        CheckpointError: the figures to go on from are those of another training; what differs is named.
        EdgeferError: as `train`.
    """
    reporter = reporter or Silent()
    if spec.validation is not None:
        raise UsageError(
            "folds take their validation from the data, and --validation names other data",
            hint="leave one of the two out",
        )
    _refuse_seen_people(spec)
    data = open_data(spec, reporter)
    # Without memory for its weights: only what it gives is of interest here.
    with torch.device("meta"):
        network = registry.create(spec.network, spec.options, labels=data.labels)
    if network.logits is None:
        raise UsageError(
            f"{network.name} does not classify, so there is nothing to count", hint="train it without folds"
        )
    splits = k_fold(data, folds=folds, seed=spec.seed, reporter=reporter)
    path = spec.output.with_name(f"{spec.output.stem}-folds.json")
    told = _identity(spec, data, folds, reporter)
    done = list(read_folds(path, told)) if spec.resume else []
    by_subject = all(split.by_subject for split in splits)
    for number, split in enumerate(splits, start=1):
        if any(figure.fold == number for figure in done):
            continue
        reporter.note(f"Fold {number} of {folds}.")
        one = replace(
            spec,
            data=Subset(data, split.train),
            output=_beside(spec.output, f"fold-{number}"),
            log=None if spec.log is None else _beside(spec.log, f"fold-{number}"),
            tensorboard=None if spec.tensorboard is None else spec.tensorboard / f"fold-{number}",
        )
        done.append(_fold(number, one, Subset(data, split.test), reporter))
        write_folds(path, told, data.labels, done)
    done.sort(key=lambda figure: figure.fold)
    return FoldsResult(path, network.name, data.labels, by_subject, tuple(done))


def _refuse_seen_people(spec: TrainSpec) -> None:
    # A classifier of ImageNet (trunk) has seen nobody; a saliency network has not learned anybody's expression.
    for name in ("weights", "towers", "backbones"):
        if getattr(spec, name) is not None:
            raise UsageError(
                f"every fold would start from the same {name}, which may have been trained on the people that it is "
                "tested on",
                hint=f"leave --{name} out, start from --trunk, or train and test once on data that is split beforehand",
            )


def _fold(number: int, spec: TrainSpec, test: Dataset, reporter: Reporter) -> FoldFigure:
    result = train(spec, reporter)
    metadata = read_metadata(result.path)
    if metadata is None:
        raise CheckpointError(f"{result.path} has lost its description", hint="train the fold again")
    # As the training made it: with the band that the data told.
    network = registry.create(
        metadata.network,
        metadata.options,
        labels=metadata.labels,
        band=metadata.band,  # type: ignore[arg-type]
    )
    load_weights(network.module, result.path)
    test = with_maps_for(network, test, spec.saliency, reporter)
    cache = SampleCache(test, network.inputs, reporter, f"reading the test of fold {number}")
    names = tuple(each.name for each in network.inputs)
    logits = Trainer(network.module, spec, "ce_on_logits", "fp32", names).logits(cache)
    right = logits.argmax(1) == cache.labels
    classes = range(len(network.labels))
    return FoldFigure(
        fold=number,
        path=result.path,
        correct=int(right.sum()),
        count=len(cache),
        class_correct=tuple(int((right & (cache.labels == label)).sum()) for label in classes),
        class_count=tuple(int((cache.labels == label).sum()) for label in classes),
        validation_correct=result.correct or 0,
        validation_count=result.count,
        best_epoch=result.best_epoch,
        samples=result.samples,
        seconds=result.seconds,
    )


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.stem}-{what}{path.suffix}")


def _identity(spec: TrainSpec, data: Dataset, folds: int, reporter: Reporter) -> dict[str, Any]:
    described = {
        "network": spec.network,
        "options": json.dumps(dict(spec.options), sort_keys=True),
        "labels": ", ".join(data.labels),
        "data": data.source,
        "pixels": _digest(data, reporter) if spec.resume else "",
        "folds": folds,
    }
    return identity(spec, described)


def _digest(data: Dataset, reporter: Reporter) -> str:
    """SHA-256 (hex) over the pixels of all samples: what folds that are done already were trained on."""
    digests = []
    with reporter.task("reading what the folds are of", len(data)) as advance:
        for sample in samples(data):
            digests.append(pixel_digest(sample))
            advance(1)
    return combined_digest(digests)
