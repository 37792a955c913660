"""From examples with the names of their expressions to a data set with labels in the order asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.expressions import positions
from edgefer_export.data.file_dataset import Entry, FileDataset
from edgefer_export.data.label_tree import count, listing


@dataclass(frozen=True)
class Labelled:
    """One example on disk: its file by role, its expression as the data set spells it, its name within the data set,
    and who it shows, where known."""

    files: Mapping[str, Path]
    expression: str
    name: str
    subject: str | None = None


def assemble(
    source: str,
    own: tuple[str, ...],
    found: Sequence[Labelled],
    labels: tuple[str, ...] | None,
    notes: tuple[str, ...] = (),
) -> FileDataset:
    """A data set of what was found, ordered by label and then by name.

    Args:
        source: the data set as the user wrote it.
        own: its classes in its own order, which are the labels where `labels` is None.
        found: examples; each expression is one of `own`.
        labels: the order asked for. Labels are matched by what they mean, so that `happy` finds `happiness`; classes
            that are not asked for are left out, and a note says how many images that were.
        notes: sentences about what was passed over before.

    Raises:
        DataError: nothing was found, a name occurs twice, a label is none of the data set's, or one has no image.
    """
    if not found:
        raise DataError(f"{source} has no image of the part that was asked for.", hint="Look at the layout's options.")
    _refuse_doubles(source, found)
    order = own if labels is None else labels
    position = positions(own, order, source)
    entries = [
        Entry(each.files, position[each.expression], each.name, each.subject)
        for each in found
        if each.expression in position
    ]
    counts = Counter(entry.label for entry in entries)
    empty = [label for index, label in enumerate(order) if not counts[index]]
    if empty:
        raise DataError(
            f"{source} has no image of {', '.join(empty)}; every label needs at least one.",
            hint="Complete the data set, or leave the class out of the labels.",
        )
    entries.sort(key=lambda entry: (entry.label, entry.name))
    return FileDataset(source, order, entries, (*notes, *_mapping_notes(own, order, position, found)))


def _refuse_doubles(source: str, found: Sequence[Labelled]) -> None:
    doubles = [name for name, times in Counter(each.name for each in found).items() if times > 1]
    if doubles:
        raise DataError(
            f"{source} names {count(doubles, 'image')} more than once; each belongs to one example.",
            details=listing(doubles),
            hint="Keep one entry of each.",
        )


def _mapping_notes(
    own: tuple[str, ...], order: tuple[str, ...], position: Mapping[str, int], found: Sequence[Labelled]
) -> tuple[str, ...]:
    if order == own:
        return ()
    notes = []
    left_out = Counter(each.expression for each in found if each.expression not in position)
    if left_out:
        total = sum(left_out.values())
        by_class = ", ".join(f"{left_out[label]} of {label}" for label in own if left_out[label])
        notes.append(
            f"Left out {total} image{'' if total == 1 else 's'} whose class is no label here: {by_class}; labels are "
            f"{', '.join(order)}."
        )
    respelled = [f"{label} is {order[place]}" for label, place in position.items() if order[place] != label]
    if respelled:
        notes.append(f"Labels are matched by what they mean: {', '.join(respelled)}.")
    return tuple(notes)


def unknown_expression(source: str, problems: Sequence[str], expected: str) -> DataError:
    """The error for labels that a data set does not have; `problems` says where they stand."""
    return DataError(
        f"{source} has {count(problems, 'label')} that {'is' if len(problems) == 1 else 'are'} none of its classes; "
        f"expected {expected}.",
        details=listing(problems),
        hint="Correct the annotation, or remove the image with its annotation.",
    )
