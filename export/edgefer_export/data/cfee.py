"""Layout `cfee`: the Compound Facial Expressions of Emotion database (Du, Tao and Martinez, PNAS 2014).

`CFEE_Database_230/01-04/Images1/01_126_3963.jpg` is the number of a category, a subject and the number of the picture.
Categories 01 to 03 and 05 to 08 are neutral and the six basic expressions, the others compound ones. Twenty-six
numbers occur for twenty-two published categories: 04, 17, 19 and 20 are further takes of others, which are not among
the published images and are passed over. The names of the compound categories by number are assumed.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.labelled import Labelled, assemble, unknown_expression
from edgefer_export.data.named_files import NameScheme, named_images

BASIC = {1: "neutral", 2: "happy", 3: "sad", 5: "angry", 6: "surprise", 7: "disgust", 8: "fear"}
"""The basic categories by number."""

COMPOUND = {
    9: "happily surprised",
    10: "happily disgusted",
    11: "sadly angry",
    12: "angrily disgusted",
    13: "appalled",
    14: "hatred",
    15: "angrily surprised",
    16: "sadly surprised",
    18: "disgustedly surprised",
    21: "fearfully surprised",
    22: "awed",
    23: "sadly fearful",
    24: "fearfully disgusted",
    25: "fearfully angry",
    26: "sadly disgusted",
}
"""The compound categories by number (assumed)."""

FURTHER_TAKES = frozenset({4, 17, 19, 20})

SCHEME = NameScheme(
    like=re.compile(r"^\d\d_"),
    exact=re.compile(r"(\d\d)_(\d+)_(\d+)"),
    expected="names such as 01_126_3963.jpg: category, subject, number of the picture",
)


def open_cfee(root: Path, source: str, labels: tuple[str, ...] | None, *, categories: str = "basic") -> FileDataset:
    """CFEE as it is distributed. `categories` is `basic` (neutral and six) or `all` (with the fifteen compound ones).

    Raises:
        DataError: no image is there, a name cannot be read or has an unknown category, or a class has no image.
    """
    found, notes = named_images(root, source, SCHEME)
    every = BASIC | COMPOUND
    numbers = {path: int(match[1]) for path, match in found}
    unknown = [
        f"{path.relative_to(root)}: category {number:02d}"
        for path, number in numbers.items()
        if number not in every and number not in FURTHER_TAKES
    ]
    if unknown:
        raise unknown_expression(source, unknown, "categories 01 to 26")
    chosen = BASIC if categories == "basic" else every
    taken = [
        Labelled({"visible": path}, chosen[numbers[path]], path.stem, match[2])
        for path, match in found
        if numbers[path] in chosen
    ]
    takes = sum(number in FURTHER_TAKES for number in numbers.values())
    if takes:
        notes = (*notes, f"Passed over {takes} further takes (categories 04, 17, 19 and 20).")
    if len(taken) + takes < len(found):
        notes = (*notes, f"Passed over {len(found) - len(taken) - takes} images of compound categories.")
    own = LABEL_SETS["basic-7"] if categories == "basic" else LABEL_SETS["cfee"]
    return assemble(source, own, taken, labels, notes)
