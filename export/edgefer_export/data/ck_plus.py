"""Layout `ck+`: the Extended Cohn-Kanade Dataset (Lucey et al., CVPR Workshops 2010).

`cohn-kanade-images/S005/001/` holds the frames of one sequence, from the neutral face to the peak of an expression,
and `Emotion/S005/001/S005_001_00000011_emotion.txt` the number of that expression, 0 to 7, named after the last frame.
Sequences without such a file have no validated label and are passed over. The first frame of a labelled sequence is an
example of neutral, as is usual. Subjects are S005 and so on.

The set numbers neutral, anger, contempt, disgust, fear, happy, sadness, surprise; the order of the labels here is that
of FERAtt's code, in which contempt comes last.
"""

from __future__ import annotations

import math
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.label_tree import count, is_hidden, is_image, listing
from edgefer_export.data.labelled import Labelled, assemble, unknown_expression
from edgefer_export.data.list_file import first_folder, read_text

IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
EMOTIONS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")
"""Where the two archives may have been unpacked."""

NUMBERS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""The expression of each number in the files of the distribution."""

_ENDING = "_emotion.txt"


def open_ck_plus(
    root: Path, source: str, labels: tuple[str, ...] | None, *, neutral: str = "first", peak: int = 1
) -> FileDataset:
    """CK+ as it is distributed.

    Args:
        root: the folder with the two of images and emotions.
        source: as the user wrote it.
        labels: the order asked for; None is that of FERAtt.
        neutral: `first` takes the first frame of each labelled sequence for a neutral face, `none` does not.
        peak: how many frames at the end of a sequence show its expression.

    Raises:
        DataError: a folder is missing, a number cannot be read or is unknown, a labelled sequence is not there, does
            not reach its labelled frame, has two labels, or is shorter than the frames that are taken.
    """
    images, emotions = first_folder(root, IMAGES), first_folder(root, EMOTIONS)
    if images is None or emotions is None:
        raise DataError(
            f"{source} has no folder {(IMAGES if images is None else EMOTIONS)[0]}/; the layout `ck+` is "
            f"{IMAGES[0]}/SUBJECT/SESSION/*.png with {EMOTIONS[0]}/SUBJECT/SESSION/*{_ENDING}.",
            hint="Unpack both archives into one folder and name that.",
        )
    numbered = _numbers(source, emotions)
    found: list[Labelled] = []
    problems: list[str] = []
    for file, number in numbered:
        session = file.parent.relative_to(emotions)
        frames = _frames(images / session)
        last = file.name.removesuffix(_ENDING)
        stems = [frame.stem for frame in frames]
        wanted = peak + (neutral == "first")
        if last not in stems:
            problems.append(f"{session}: no frame {last}" if frames else f"{session}: no images")
            continue
        frames = frames[: stems.index(last) + 1]
        if len(frames) < wanted:
            problems.append(f"{session}: {count(frames, 'frame')} for {wanted} that are taken")
            continue
        subject = session.parts[0]
        found.extend(_labelled(frame, NUMBERS[number], subject) for frame in frames[-peak:])
        if neutral == "first":
            found.append(_labelled(frames[0], "neutral", subject))
    if problems:
        raise DataError(
            f"{source} has {count(problems, 'labelled sequence')} without the frames that the label speaks of.",
            details=listing(problems),
            hint="Unpack the images again; with fewer frames at the peak, shorter sequences do.",
        )
    own = LABEL_SETS["feratt"]
    if not any(each.expression == "neutral" for each in found):
        own = tuple(label for label in own if label != "neutral")
    return assemble(source, own, found, labels, _unlabelled_note(images, len(numbered)))


def _labelled(frame: Path, expression: str, subject: str) -> Labelled:
    return Labelled({"visible": frame}, expression, frame.stem, subject)


def _frames(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image(path)) if folder.is_dir() else []


def _numbers(source: str, emotions: Path) -> list[tuple[Path, int]]:
    """The number in each label file."""
    files = [path for path in sorted(emotions.glob(f"*/*/*{_ENDING}")) if not is_hidden(path)]
    if not files:
        raise DataError(
            f"{source} has no {emotions.name}/SUBJECT/SESSION/*{_ENDING}, so no sequence has a label.",
            hint="Unpack Emotion_labels.zip of the distribution.",
        )
    sessions = [path.parent for path in files]
    twice = sorted({str(folder.relative_to(emotions)) for folder in sessions if sessions.count(folder) > 1})
    if twice:
        raise DataError(
            f"{source} has {count(twice, 'sequence')} with more than one label.",
            details=listing(twice),
            hint="Keep the one of the distribution.",
        )
    numbers: list[tuple[Path, int]] = []
    unknown: list[str] = []
    for path in files:
        text = read_text(path).strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if value in range(len(NUMBERS)):
            numbers.append((path, int(value)))
        else:
            unknown.append(f"{path.relative_to(emotions)}: {text[:40]!r}")
    if unknown:
        raise unknown_expression(source, unknown, f"a number from 0 to 7 for {', '.join(NUMBERS)}")
    return numbers


def _unlabelled_note(images: Path, labelled: int) -> tuple[str, ...]:
    sequences = sum(path.is_dir() for path in images.glob("*/*"))
    if sequences <= labelled:
        return ()
    return (f"Passed over {sequences - labelled} of {sequences} sequences: they have no label.",)
