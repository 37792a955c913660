"""Splitting a data set so that nobody is on both sides, with the classes in proportion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edgefer.errors import UsageError
from edgefer.progress import Reporter
from edgefer_export.data.dataset import Dataset, Sample, samples


class Subset:
    """Some samples of a data set, in the order given, as a data set with the same labels."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self._dataset, self.indices = dataset, tuple(indices)

    @property
    def whole(self) -> Dataset:
        """The data set that these are some samples of."""
        return self._dataset

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the whole set."""
        return self._dataset.labels

    @property
    def source(self) -> str:
        """That of the whole set."""
        return self._dataset.source

    @property
    def roles(self) -> tuple[str, ...]:
        """Those of the whole set."""
        return self._dataset.roles

    @property
    def targets(self) -> tuple[int, ...]:
        """The label of each sample."""
        every = targets_and_subjects(self._dataset)[0]
        return tuple(every[index] for index in self.indices)

    @property
    def subjects(self) -> tuple[str | None, ...]:
        """The person in each sample, where known."""
        every = targets_and_subjects(self._dataset)[1]
        return tuple(every[index] for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self.indices[index]]


@dataclass(frozen=True)
class Split:
    """Indices of the two sides, each ascending. `by_subject` is False where people are not known, so that one person
    may be on both sides."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    by_subject: bool


@runtime_checkable
class _Listing(Protocol):
    """A data set that lists labels and people."""

    @property
    def targets(self) -> tuple[int, ...]: ...

    @property
    def subjects(self) -> tuple[str | None, ...]: ...


@runtime_checkable
class _Telling(Protocol):
    """A data set that tells label and person of one sample without making its pixels."""

    def label(self, index: int) -> int: ...

    def subject(self, index: int) -> str | None: ...


def targets_and_subjects(dataset: Dataset) -> tuple[tuple[int, ...], tuple[str | None, ...]]:
    """Label and person of every sample, without reading pixels where the data set can tell; else by reading all."""
    if isinstance(dataset, _Listing):
        return dataset.targets, dataset.subjects
    if isinstance(dataset, _Telling):
        every = range(len(dataset))
        return tuple(map(dataset.label, every)), tuple(map(dataset.subject, every))
    read = [(sample.label, sample.subject) for sample in samples(dataset)]
    return tuple(label for label, _ in read), tuple(subject for _, subject in read)


def known_subjects(dataset: Dataset) -> frozenset[str]:
    """The people that the data set can name without reading pixels; empty where it cannot."""
    whole = dataset
    while isinstance(whole, Subset):
        whole = whole.whole
    if not isinstance(whole, _Listing | _Telling):
        return frozenset()
    return frozenset(subject for subject in targets_and_subjects(dataset)[1] if subject is not None)


def holdout(dataset: Dataset, *, share: float, seed: int, reporter: Reporter | None = None) -> Split:
    """Put about `share` of the samples aside, whole people at a time, classes in proportion.

    Raises:
        UsageError: `share` is not between 0 and 1, or there are too few people (or samples) for two sides.
    """
    if not 0.0 < share < 1.0:
        raise UsageError(f"The share to put aside lies between 0 and 1, not {share:g}.")
    sides, by_subject = _parts(dataset, (1.0 - share, share), seed, reporter)
    return Split(sides[0], sides[1], by_subject)


def k_fold(dataset: Dataset, *, folds: int, seed: int, reporter: Reporter | None = None) -> tuple[Split, ...]:
    """K splits in which every sample is on the test side once; nobody is on both sides of one.

    Raises:
        UsageError: `folds` is below 2 or above the number of people (or samples, where people are not known).
    """
    if folds < 2:
        raise UsageError(f"Cross-validation takes at least 2 folds, not {folds}.")
    parts, by_subject = _parts(dataset, (1.0 / folds,) * folds, seed, reporter)
    return tuple(
        Split(tuple(sorted(i for other, part in enumerate(parts) if other != fold for i in part)), test, by_subject)
        for fold, test in enumerate(parts)
    )


def _parts(
    dataset: Dataset, shares: tuple[float, ...], seed: int, reporter: Reporter | None
) -> tuple[list[tuple[int, ...]], bool]:
    targets, subjects = targets_and_subjects(dataset)
    by_subject = len(subjects) > 0 and all(subject is not None for subject in subjects)
    if not by_subject and reporter is not None:
        unknown = sum(subject is None for subject in subjects)
        reporter.note(
            f"Warning: {dataset.source} does not say who is shown in {unknown} of {len(subjects)} samples; it is split "
            "by sample, one person may be on both sides, and figures on the test side may be too good."
        )
    groups: dict[object, list[int]] = {}
    for index, subject in enumerate(subjects):
        groups.setdefault(subject if by_subject else index, []).append(index)
    if len(groups) < len(shares):
        raise UsageError(
            f"{dataset.source} has {len(groups)} {'people' if by_subject else 'samples'}, too few for {len(shares)} "
            "parts."
        )
    counts = np.zeros((len(groups), len(dataset.labels)))
    members = list(groups.values())
    for row, indices in enumerate(members):
        for index in indices:
            counts[row, targets[index]] += 1
    owner = _assign(counts, np.array(shares), np.random.default_rng(seed))
    parts = [
        tuple(sorted(index for row in np.flatnonzero(owner == part) for index in members[row]))
        for part in range(len(shares))
    ]
    return parts, by_subject


def _assign(
    counts: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The part (G,) of each group, given its class counts (G, C) and the share of each part.

    Greedy, largest group first after a shuffle: each goes where the chi-square distance of the parts' class counts from
    their targets grows least. With equally large groups this is stratified sampling.
    """
    target = np.maximum(np.outer(shares, counts.sum(axis=0)), 1e-9)
    have = np.zeros_like(target)
    size = np.zeros(len(shares), dtype=np.int64)
    owner = np.empty(len(counts), dtype=np.int64)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    for placed, group in enumerate(order):
        # Groups left must at least fill the parts that are still empty.
        must_fill = len(order) - placed <= int((size == 0).sum())
        growth = (((have + counts[group] - target) ** 2 - (have - target) ** 2) / target).sum(axis=1)
        if must_fill:
            growth[size > 0] = np.inf
        part = int(np.argmin(growth))
        have[part] += counts[group]
        size[part] += 1
        owner[group] = part
    return owner
