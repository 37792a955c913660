"""Layout `rafd`: the Radboud Faces Database (Langner et al., Cognition and Emotion 2010).

All images lie in one folder or below it, and `Rafd090_28_Caucasian_male_angry_frontal.jpg` says it all: the angle of
the camera (090 is from the front), the number of the model, ancestry, sex, expression and direction of gaze.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.labelled import Labelled, assemble, unknown_expression
from edgefer_export.data.named_files import NameScheme, named_images

EXPRESSIONS = {
    "angry": "angry",
    "contemptuous": "contempt",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprised": "surprise",
}
"""The label of each expression in a file name."""

SCHEME = NameScheme(
    like=re.compile("^rafd", re.IGNORECASE),
    exact=re.compile(r"rafd(\d{3})_(\d+)_([a-z]+)_([a-z]+)_([a-z]+)_(frontal|left|right)", re.IGNORECASE),
    expected="names such as Rafd090_28_Caucasian_male_angry_frontal.jpg",
)


def open_rafd(
    root: Path, source: str, labels: tuple[str, ...] | None, *, camera: str = "any", gaze: str = "any"
) -> FileDataset:
    """RaFD as it is distributed. `camera` and `gaze` are `frontal` or `any`: pictures from the front, and pictures of
    somebody who looks straight ahead.

    Raises:
        DataError: no image is there, a name cannot be read or has an unknown expression, or a class has no image.
    """
    found, notes = named_images(root, source, SCHEME)
    unknown = [f"{path.relative_to(root)}: {match[5]}" for path, match in found if match[5].lower() not in EXPRESSIONS]
    if unknown:
        raise unknown_expression(source, unknown, ", ".join(EXPRESSIONS))
    taken = [
        Labelled({"visible": path}, EXPRESSIONS[match[5].lower()], path.stem, match[2])
        for path, match in found
        if (camera == "any" or match[1] == "090") and (gaze == "any" or match[6].lower() == "frontal")
    ]
    if len(taken) < len(found):
        notes = (*notes, f"Passed over {len(found) - len(taken)} images of another camera or gaze.")
    return assemble(source, LABEL_SETS["rafd"], taken, labels, notes)
