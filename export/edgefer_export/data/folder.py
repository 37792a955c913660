"""Layout `folder`: `DIR/LABEL/NAME.ext`, one image a sample."""

from __future__ import annotations

from pathlib import Path

from edgefer_export.data.file_dataset import Entry, FileDataset, SubjectRule, subject_of
from edgefer_export.data.label_tree import ignored_note, label_order, scan


def open_folder(
    root: Path, source: str, labels: tuple[str, ...] | None, *, role: str = "visible", subjects: SubjectRule = "none"
) -> FileDataset:
    """A data set of single images, ordered by label and then by name. `role` is what camera they come from.

    Raises:
        DataError: the folder does not hold images by label, or its labels are not those given.
    """
    tree = scan(root)
    order = label_order([tree], labels)
    position = {name: index for index, name in enumerate(order)}
    entries = [
        Entry({role: path}, position[label], f"{label}/{stem}", subject_of(stem, subjects, path))
        for (label, stem), path in sorted(tree.images.items(), key=lambda item: (position[item[0][0]], item[0][1]))
    ]
    return FileDataset(source, order, entries, ignored_note([tree]))
