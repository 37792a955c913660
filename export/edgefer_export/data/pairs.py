"""Layout `pairs`: `DIR/visible/LABEL/NAME.ext` with `DIR/infrared/LABEL/NAME.ext`, paired by label and name."""

from __future__ import annotations

from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.file_dataset import Entry, FileDataset, SubjectRule, subject_of
from edgefer_export.data.label_tree import (
    LabelTree,
    count,
    ignored_note,
    is_hidden,
    label_order,
    listing,
    scan,
)

ROLES = ("visible", "infrared")


def open_pairs(
    root: Path, source: str, labels: tuple[str, ...] | None, *, subjects: SubjectRule = "none"
) -> FileDataset:
    """A data set of pairs, ordered by label and then by name. The suffixes of the two files may differ.

    Raises:
        DataError: a folder is missing, an image lacks its partner, or the labels are not those given.
    """
    trees = {}
    for role in ROLES:
        folder = root / role
        if not folder.is_dir():
            raise DataError(
                f"{root} has no folder {role}/; the layout `pairs` is DIR/visible/LABEL/NAME.ext with "
                "DIR/infrared/LABEL/NAME.ext.",
                hint="Images of one camera go with --layout folder.",
            )
        trees[role] = scan(folder)
    others = tuple(sorted(entry for entry in root.iterdir() if is_hidden(entry) or entry.name not in ROLES))
    return join(trees["visible"], trees["infrared"], source, labels, subjects=subjects, others=others)


def join(
    visible: LabelTree,
    infrared: LabelTree,
    source: str,
    labels: tuple[str, ...] | None,
    *,
    subjects: SubjectRule = "none",
    others: tuple[Path, ...] = (),
) -> FileDataset:
    """Pair two trees by label and stem. `others` are entries beside the two that were not looked into.

    Raises:
        DataError: an image has no partner, or one under another label; the first ten are listed.
    """
    refuse_unpaired(visible, infrared)
    order = label_order([visible, infrared], labels)
    position = {name: index for index, name in enumerate(order)}
    entries = [
        Entry(
            {"visible": path, "infrared": infrared.images[label, stem]},
            position[label],
            f"{label}/{stem}",
            subject_of(stem, subjects, path),
        )
        for (label, stem), path in sorted(visible.images.items(), key=lambda item: (position[item[0][0]], item[0][1]))
    ]
    notes = ignored_note([LabelTree(visible.root, ignored=list(others)), visible, infrared])
    return FileDataset(source, order, entries, notes)


def refuse_unpaired(visible: LabelTree, infrared: LabelTree) -> None:
    """Raise a DataError where an image has no partner of the same label and name in the other tree."""
    problems: list[str] = []
    for here, there in ((visible, infrared), (infrared, visible)):
        labels_there: dict[str, list[str]] = {}
        for label, stem in sorted(there.images):
            if (label, stem) not in here.images:
                labels_there.setdefault(stem, []).append(label)
        for (label, stem), path in sorted(here.images.items()):
            if (label, stem) in there.images:
                continue
            shown = path.relative_to(here.root.parent)
            elsewhere = labels_there.get(stem)
            if elsewhere is None:
                problems.append(f"{shown} has no partner in {there.root.name}/{label}/")
            elif here is visible:
                # Reported from one side only: the partner's own entry would say the same again.
                problems.append(f"{shown} has its partner under another label: {there.root.name}/{elsewhere[0]}/")
    if problems:
        raise DataError(
            f"{count(problems, 'image')} in {visible.root.parent} cannot be paired: every visible image needs an "
            "infrared one with the same label and name, and the other way round.",
            details=listing(problems),
            hint="Complete, relabel or remove them; file names pair up to their suffix.",
        )
