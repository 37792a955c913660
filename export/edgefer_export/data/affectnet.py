"""Layout `affectnet`: AffectNet (Mollahosseini, Hasani and Mahoor, IEEE Transactions on Affective Computing 2019).

It was distributed in two forms, and both are read. The older one has `training.csv` and `validation.csv` with a row for
each image of `Manually_Annotated_Images/`. The newer one has folders `train_set/` and `val_set/` with `images/ID.jpg`
and `annotations/ID_exp.npy` in each. The expressions are numbered 0 to 7 in both; 8, 9 and 10 of the older one (none,
uncertain, no face) are passed over. Nobody is told apart.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.affectnet_arrays import arrays_folder, read_arrays
from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.labelled import Labelled, assemble, unknown_expression
from edgefer_export.data.list_file import (
    first_file,
    first_folder,
    read_text,
    refuse_doubles,
    refuse_malformed,
    refuse_missing,
    refuse_outside,
)

LIST_FOLDERS = ("Manually_Annotated_file_lists", "Manually_Annotated", ".")
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
"""Where the archives may have been unpacked."""

LISTS = {"train": "training.csv", "test": "validation.csv"}
"""The list of each part; the test part of the authors is not distributed, and their validation part serves as one."""

_FILE, _EXPRESSION = "subDirectory_filePath", "expression"
_WITHOUT_LABEL = {8: "none", 9: "uncertain", 10: "no face"}


def open_affectnet(root: Path, source: str, labels: tuple[str, ...] | None, *, part: str = "all") -> FileDataset:
    """AffectNet in either form. `part` is `train`, `test` (the authors' validation part) or `all`.

    Whole images are given, as they are distributed; the face boxes of the older form are not applied.

    Raises:
        DataError: neither form is there, a list lacks a column or has a row that cannot be read, leads out of the
            folder, has an unknown number or occurs twice, an image or an annotation is missing, or is damaged.
    """
    own = LABEL_SETS["affectnet"]
    parts = tuple(LISTS) if part == "all" else (part,)
    folders = tuple(f"{folder}/{LISTS[each]}" for each in LISTS for folder in LIST_FOLDERS)
    if first_file(root, folders) is not None:
        found, notes = _from_lists(root, source, parts, own)
    elif arrays_folder(root):
        found, notes = read_arrays(root, source, part, own), ()
    else:
        raise DataError(
            f"{source} has neither {LIST_FOLDERS[0]}/{LISTS['train']} nor images/ with annotations/; the layout "
            "`affectnet` is one of the two.",
            hint="Name the folder that was unpacked.",
        )
    return assemble(source, own, found, labels, notes)


def _from_lists(
    root: Path, source: str, parts: tuple[str, ...], own: tuple[str, ...]
) -> tuple[list[Labelled], tuple[str, ...]]:
    images = first_folder(root, IMAGE_FOLDERS)
    if images is None:
        raise DataError(
            f"{source} has no folder {IMAGE_FOLDERS[0]}/ for the images of its lists.",
            hint="Unpack the images there.",
        )
    found: list[Labelled] = []
    without: Counter[int] = Counter()
    for part in parts:
        listed = first_file(root, tuple(f"{folder}/{LISTS[part]}" for folder in LIST_FOLDERS))
        if listed is None:
            if len(parts) == 1:
                raise DataError(f"{source} has no {LISTS[part]}, the list of part={part}.", hint="Add the list.")
            continue
        rows = _rows(listed, own)
        without.update(number for _, number in rows if number in _WITHOUT_LABEL)
        labelled = [(name, number) for name, number in rows if number not in _WITHOUT_LABEL]
        refuse_missing(listed, images, [images / name for name, _ in labelled])
        found.extend(Labelled({"visible": images / name}, own[number], name) for name, number in labelled)
    if not without:
        return found, ()
    kinds = ", ".join(f"{without[number]} {kind}" for number, kind in _WITHOUT_LABEL.items() if without[number])
    return found, (f"Passed over {sum(without.values())} images without an expression: {kinds}.",)


def _rows(listed: Path, own: tuple[str, ...]) -> list[tuple[str, int]]:
    """File and number of each row."""
    reader = csv.DictReader(io.StringIO(read_text(listed), newline=""))
    try:
        columns = reader.fieldnames or ()
        absent = [name for name in (_FILE, _EXPRESSION) if name not in columns]
        if absent:
            raise DataError(
                f"{listed} has no column {' and no column '.join(absent)}; its first line is "
                f"{','.join(columns)[:120] or 'empty'}.",
                hint=f"The lists of the distribution begin with a line that names {_FILE} and {_EXPRESSION}.",
            )
        rows = [(row[_FILE], row[_EXPRESSION], reader.line_num) for row in reader]
    except csv.Error as error:
        raise DataError(f"{listed}, line {reader.line_num}, is no CSV: {error}.", hint="Restore the list.") from error
    malformed = [f"line {line}: {name!r}, {text!r}" for name, text, line in rows if not name or not text]
    refuse_malformed(listed, malformed, f"a file in {_FILE} and a number in {_EXPRESSION}")
    refuse_outside(listed, (name for name, _, _ in rows))
    known = {str(number) for number in (*range(len(own)), *_WITHOUT_LABEL)}
    unknown = [f"line {line}: {name} {text[:40]!r}" for name, text, line in rows if text.strip() not in known]
    if unknown:
        raise unknown_expression(str(listed), unknown, f"0 to 7 for {', '.join(own)}, or 8 to 10")
    refuse_doubles(listed, [name for name, _, _ in rows])
    return [(name, int(text)) for name, text, _ in rows]
