"""A data set of image files: a list of entries made when it is opened, pixels read when an item is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefer.errors import DataError
from edgefer_export.data.dataset import Sample
from edgefer_export.data.images import read_image

SubjectRule = Literal["none", "prefix", "name"]
"""Where the person is told: nowhere; the stem up to its first `_` or `-`; the whole stem."""


@dataclass(frozen=True)
class Entry:
    """One example on disk: its file by role, the index of its label, its name and who it shows, where known."""

    files: Mapping[str, Path]
    label: int
    name: str
    subject: str | None


class FileDataset:
    """Labelled images on disk. Reading an item reads its files again; nothing is kept in memory.

    `targets` and `subjects` are known without reading pixels. `notes` are sentences about what was passed over.
    """

    def __init__(
        self, source: str, labels: tuple[str, ...], entries: Sequence[Entry], notes: tuple[str, ...] = ()
    ) -> None:
        self._source, self._labels, self._entries = source, labels, tuple(entries)
        self.notes = notes

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; `Sample.label` indexes them."""
        return self._labels

    @property
    def source(self) -> str:
        """Where it came from, as the user wrote it."""
        return self._source

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that every sample has."""
        return tuple(self._entries[0].files)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is known of each sample without reading it."""
        return self._entries

    @property
    def targets(self) -> tuple[int, ...]:
        """The label of each sample."""
        return tuple(entry.label for entry in self._entries)

    @property
    def subjects(self) -> tuple[str | None, ...]:
        """The person in each sample, None where the layout does not tell."""
        return tuple(entry.subject for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        """One sample with its pixels.

        Raises:
            DataError: a file cannot be read as an image; the message names it.
        """
        entry = self._entries[index]
        images = {role: read_image(path) for role, path in entry.files.items()}
        return Sample(images=images, label=entry.label, name=entry.name, subject=entry.subject)


def subject_of(stem: str, rule: SubjectRule, path: Path) -> str | None:
    """The person that a file name tells under a rule.

    Raises:
        DataError: the rule is `prefix` and the stem has none.
    """
    if rule == "none":
        return None
    if rule == "name":
        return stem
    prefix = re.match(r"([^_-]+)[_-].", stem)
    if prefix is None:
        raise DataError(
            f"{path} does not name its subject; with subjects=prefix every name is expected as SUBJECT_REST.ext.",
            hint="Rename it, or leave subjects=prefix out.",
        )
    return prefix.group(1)
