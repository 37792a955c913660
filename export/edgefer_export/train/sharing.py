"""Whether data to choose the best epoch by shows what is trained on, as far as that can be told without pixels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from edgefer.errors import UsageError
from edgefer.progress import Reporter
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.splits import Subset, known_subjects
from edgefer_export.data.synthetic import SyntheticPairs


def check_validation(train: Dataset, validation: Dataset, reporter: Reporter) -> None:
    """Refuse a validation with samples of the training, by file, by generator or by index; warn of people whose names
    are in both. Copies of a file under another name are not recognised.

    Raises:
        UsageError: samples are in both.
    """
    shared = set(_samples(train)) & set(_samples(validation))
    if shared:
        raise UsageError(
            f"{len(shared)} of the {len(validation)} samples of the validation, {validation.source}, are trained on; "
            "the best epoch would be the one that knows them by heart",
            hint="leave --validation out, so that people are held out, or give data of other people",
        )
    people = known_subjects(validation)
    known = people & known_subjects(train)
    if known:
        reporter.note(
            f"Warning: {len(known)} of the {len(people)} people of the validation, {validation.source}, have names of "
            f"people that are trained on, such as {min(known)}; if they are the same, its figures are too good."
        )


def _samples(dataset: Dataset) -> list[str]:
    """What each sample is, equal only for the same one."""
    if isinstance(dataset, Subset):
        whole = _samples(dataset.whole)
        return [whole[index] for index in dataset.indices]
    if isinstance(dataset, FileDataset):
        # Of a pair one file is enough; folders are resolved, since one may be named in several ways.
        real = cache(Path.resolve)
        files = (min(entry.files.items())[1] for entry in dataset.entries)
        return [str(real(file.parent) / file.name) for file in files]
    origin = dataset.source if isinstance(dataset, SyntheticPairs) else f"object {id(dataset)}"
    return [f"{origin} {index}" for index in range(len(dataset))]
