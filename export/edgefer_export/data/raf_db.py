"""Layout `raf-db`: the basic expressions of the Real-world Affective Faces Database (Li, Deng and Du, CVPR 2017).

`EmoLabel/list_patition_label.txt` (spelled so) has a line `train_00001.jpg 5` for each image; the prefix tells the
published split and the number the expression, 1 to 7 from surprise to neutral. Pictures are
`Image/aligned/train_00001_aligned.jpg`, or `Image/original/train_00001.jpg`. Nobody is told apart.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgefer.errors import DataError
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

LISTS = (
    "EmoLabel/list_patition_label.txt",
    "basic/EmoLabel/list_patition_label.txt",
    "list_patition_label.txt",
)
"""Where the list may be, seen from the folder that was named."""

_LABELS = LABEL_SETS["raf-db"]
_LINE = re.compile(r"(\S+)[ \t]+(\S+)")
_NAME = re.compile(r"(train|test)_\S+\.\w+")
_EXPECTED = "lines such as `train_00001.jpg 5`, the prefix being train_ or test_"


def open_raf_db(
    root: Path, source: str, labels: tuple[str, ...] | None, *, part: str = "all", images: str = "aligned"
) -> FileDataset:
    """RAF-DB as it is distributed. `part` is `train`, `test` or `all`; `images` is `aligned` or `original`.

    Raises:
        DataError: the list or the folder of images is missing, a line cannot be read, leads out of the folder, has an
            unknown number or occurs twice, or an image is missing.
    """
    listed = first_file(root, LISTS)
    if listed is None:
        raise DataError(
            f"{source} has no {LISTS[0]}; the layout `raf-db` is that list beside Image/aligned/.",
            hint="Name the folder that holds EmoLabel/ and Image/.",
        )
    base = listed.parent.parent if listed.parent.name == "EmoLabel" else listed.parent
    folder = first_folder(base, (f"Image/{images}", images))
    if folder is None:
        raise DataError(
            f"{source} has no folder Image/{images}/ beside its list.",
            hint=f"Unpack the {images} images there"
            + (", or take the others by images=original." if images == "aligned" else "."),
        )
    rows = _rows(listed)
    suffix = "_aligned" if images == "aligned" else ""
    found = []
    for name, number in rows:
        if part not in ("all", name.split("_", 1)[0]):
            continue
        file = folder / f"{Path(name).stem}{suffix}{Path(name).suffix}"
        found.append(Labelled({"visible": file}, _LABELS[number - 1], Path(name).stem))
    refuse_missing(listed, base, [each.files["visible"] for each in found])
    return assemble(source, _LABELS, found, labels)


def _rows(listed: Path) -> list[tuple[str, int]]:
    """Name and number of each line."""
    rows: list[tuple[str, str, int]] = []
    malformed: list[str] = []
    for number, line in enumerate(read_text(listed).splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            malformed.append(f"line {number}: {line.strip()[:80]!r}")
        else:
            rows.append((match[1], match[2], number))
    refuse_malformed(listed, malformed, _EXPECTED)
    refuse_outside(listed, (name for name, _, _ in rows))
    strange = [f"line {number}: {name[:80]!r}" for name, _, number in rows if _NAME.fullmatch(name) is None]
    refuse_malformed(listed, strange, _EXPECTED)
    known = {str(number) for number in range(1, len(_LABELS) + 1)}
    unknown = [f"line {number}: {name} {label}" for name, label, number in rows if label not in known]
    if unknown:
        raise unknown_expression(str(listed), unknown, f"1 to 7 for {', '.join(_LABELS)}")
    refuse_doubles(listed, [name for name, _, _ in rows])
    return [(name, int(label)) for name, label, _ in rows]
