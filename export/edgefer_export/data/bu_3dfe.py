"""Layout `bu-3dfe`: the Binghamton University 3D Facial Expression Database (Yin et al., FG 2006), its pictures.

Every subject has a folder of models and pictures, and `F0001/F0001_AN01WH_F2D.bmp` says it all: subject (F or M and a
number), expression (AN, DI, FE, HA, NE, SA, SU), level of intensity (01 to 04, neutral 00), ancestry, and F2D for the
picture from the front. The 3D models and their textures are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.labelled import Labelled, assemble
from edgefer_export.data.named_files import NameScheme, named_images

CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
"""The expression of each code in a file name."""

SCHEME = NameScheme(
    like=re.compile("F2D", re.IGNORECASE),
    exact=re.compile(
        rf"([FM]\d{{4}})_(?:(NE)(00)|({'|'.join(code for code in CODES if code != 'NE')})(0[1-4]))[A-Z]{{2}}_F2D"
    ),
    expected="names such as F0001_AN01WH_F2D.bmp: subject, one of AN DI FE HA SA SU with its level 01 to 04 or NE00, "
    "ancestry, F2D",
)


def open_bu_3dfe(
    root: Path, source: str, labels: tuple[str, ...] | None, *, levels: Collection[str] = ("1", "2", "3", "4")
) -> FileDataset:
    """The pictures of BU-3DFE. `levels` are the intensities that are taken; neutral has none and is always taken.

    Raises:
        DataError: no picture is there, a name cannot be read, or a class has no image.
    """
    found, notes = named_images(root, source, SCHEME)
    taken = []
    for path, match in found:
        subject, neutral, _, code, level = match.groups()
        if neutral or level.removeprefix("0") in levels:
            taken.append(Labelled({"visible": path}, CODES[neutral or code], path.stem, subject))
    if len(taken) < len(found):
        chosen = ", ".join(sorted(levels))
        notes = (*notes, f"Passed over {len(found) - len(taken)} images of other levels than {chosen}.")
    return assemble(source, LABEL_SETS["bu-3dfe"], taken, labels, notes)
