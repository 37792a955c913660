"""K-fold cross-validation by people: `cross_validate(spec, folds, reporter)`.

Every sample is tested once, by a network that has not seen the person. The best epoch of each fold is chosen on people
held out from what it trains on, never on those it is tested on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from edgefer import atomic
from edgefer.errors import CheckpointError, UsageError
from edgefer.progress import Reporter, Silent
from edgefer_export.checkpoint import load_weights, read_metadata
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.splits import Subset, k_fold
from edgefer_export.intervals import CONFIDENCE, Interval, wilson
from edgefer_export.networks import registry
from edgefer_export.saliency_maps import with_maps_for
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.loop import Trainer
from edgefer_export.train.run import train
from edgefer_export.train.setup import open_data
from edgefer_export.train.spec import TrainSpec
from edgefer_export.train.state import identity

_FORMAT = "edgefer-folds"
_VERSION = 1


@dataclass(frozen=True)
class FoldFigure:
    """One fold: `correct` of `count` test samples by the network in `path`, class by class in the order of the labels.

    `best_epoch` was chosen by `validation_correct` of `validation_count` samples of other people.
    """

    fold: int
    path: Path
    correct: int
    count: int
    class_correct: tuple[int, ...]
    class_count: tuple[int, ...]
    validation_correct: int
    validation_count: int
    best_epoch: int
    samples: int
    seconds: float

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval, as if the samples were independent."""
        return wilson(self.correct, self.count)


@dataclass(frozen=True)
class FoldsResult:
    """All folds; `by_subject` says that nobody was on both sides of one."""

    path: Path
    network: str
    labels: tuple[str, ...]
    by_subject: bool
    folds: tuple[FoldFigure, ...]

    @property
    def correct(self) -> int:
        """Of all test samples, each tested once."""
        return sum(fold.correct for fold in self.folds)

    @property
    def count(self) -> int:
        """All samples."""
        return sum(fold.count for fold in self.folds)

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the pooled counts, as if all samples were independent. The folds share most of what
        they are trained on, so that it says nothing of another training."""
        return wilson(self.correct, self.count)


def cross_validate(spec: TrainSpec, folds: int, reporter: Reporter | None = None) -> FoldsResult:
    """Train and test `folds` networks. Fold k goes to `NAME-fold-k.SUFFIX` beside `spec.output`, the figures of all to
    `NAME-folds.json`, rewritten after each; with `spec.resume` folds that are in there are not trained again, and the
    fold that was interrupted goes on from its last epoch.

    Raises:
        UsageError: fewer than two folds or more than there are people, data of its own for validation, or a network
            that does not classify.
        CheckpointError: the figures to go on from are those of another training; what differs is named.
        EdgeferError: as `train`.
    """
    reporter = reporter or Silent()
    if spec.validation is not None:
        raise UsageError(
            "folds take their validation from the data, and --validation names other data",
            hint="leave one of the two out",
        )
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
    told = _identity(spec, data, folds)
    done = list(_read(path, told)) if spec.resume else []
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
        _write(path, told, data.labels, done)
    done.sort(key=lambda figure: figure.fold)
    return FoldsResult(path, network.name, data.labels, by_subject, tuple(done))


def as_json(result: FoldsResult) -> dict[str, Any]:
    """The result as JSON can hold it, with counts and intervals per fold and pooled."""
    return {
        "path": str(result.path),
        "network": result.network,
        "labels": list(result.labels),
        "by_subject": result.by_subject,
        "confidence": CONFIDENCE,
        "method": "Wilson",
        "folds": [_plain(fold) for fold in result.folds],
        "pooled": _counted(result.correct, result.count, result.interval),
    }


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


def _identity(spec: TrainSpec, data: Dataset, folds: int) -> dict[str, Any]:
    described = {
        "network": spec.network,
        "options": json.dumps(dict(spec.options), sort_keys=True),
        "labels": ", ".join(data.labels),
        "data": data.source,
        "samples": len(data),
        "folds": folds,
    }
    return identity(spec, described)


def _write(path: Path, told: dict[str, Any], labels: Sequence[str], figures: Sequence[FoldFigure]) -> None:
    correct, count = sum(figure.correct for figure in figures), sum(figure.count for figure in figures)
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "identity": told,
        "labels": list(labels),
        "folds": [_plain(figure) for figure in figures],
        "pooled": _counted(correct, count, wilson(correct, count)),
    }
    atomic.write_text(path, json.dumps(content, indent=1) + "\n")


def _read(path: Path, told: dict[str, Any]) -> tuple[FoldFigure, ...]:
    if not path.exists():
        return ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] != _VERSION:
            raise ValueError(f"{content['format']}, version {content['version']}")
        before, figures = dict(content["identity"]), tuple(_figure(each) for each in content["folds"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not hold the figures of folds", details=str(error), hint="remove it to begin anew"
        ) from error
    for name in (*before, *told):
        if before.get(name) != told.get(name):
            raise CheckpointError(
                f"{path} holds folds of another training: {name} was {before.get(name)}, is {told.get(name)}",
                hint="give what was given then, or name another output",
            )
    return figures


def _plain(figure: FoldFigure) -> dict[str, Any]:
    plain = {each.name: getattr(figure, each.name) for each in fields(figure)}
    return {**plain, "path": str(figure.path), **_counted(figure.correct, figure.count, figure.interval)}


def _counted(correct: int, count: int, interval: Interval) -> dict[str, Any]:
    share = correct / count if count else None
    return {"correct": correct, "count": count, "accuracy": share, "low": interval.low, "high": interval.high}


def _figure(plain: dict[str, Any]) -> FoldFigure:
    known = {each.name: plain[each.name] for each in fields(FoldFigure)}
    counts = {name: tuple(known[name]) for name in ("class_correct", "class_count")}
    return FoldFigure(**{**known, **counts, "path": Path(known["path"])})
