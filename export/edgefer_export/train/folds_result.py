"""What a cross-validation gives back, and the file that it is kept in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgefer import atomic
from edgefer.errors import CheckpointError
from edgefer_export.intervals import CONFIDENCE, Interval, wilson

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


def write_folds(path: Path, told: dict[str, Any], labels: Sequence[str], figures: Sequence[FoldFigure]) -> None:
    """Write the folds so far, with `told`, what makes the cross-validation this one; in one rename."""
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


def read_folds(path: Path, told: dict[str, Any]) -> tuple[FoldFigure, ...]:
    """The folds that are done; none where there is no file.

    Raises:
        CheckpointError: the file is no such, or of another training; what differs is named.
    """
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
