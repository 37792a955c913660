"""A small copy of each data set in the layout in which it is distributed, made of images of one colour.

The colour tells what a reader must find out: red is the expression (ten levels for each of `EXPRESSIONS`), green the
subject (ten levels each), blue a running number, so that no two images are equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

EXPRESSIONS = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("happily surprised", "happily disgusted", "sadly fearful", "sadly angry", "sadly surprised", "sadly disgusted"),
    *("fearfully angry", "fearfully surprised", "fearfully disgusted", "angrily surprised", "angrily disgusted"),
    *("disgustedly surprised", "appalled", "hatred", "awed"),
)
BASIC = EXPRESSIONS[:7]
RAF_DB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
CK_PLUS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
BU_3DFE = dict(zip(("NE", "HA", "SU", "SA", "AN", "DI", "FE"), BASIC, strict=True))
RAFD = {
    "angry": "anger",
    "contemptuous": "contempt",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}
CFEE = {
    **{1: "neutral", 2: "happiness", 3: "sadness", 4: "sadness", 5: "anger", 6: "surprise", 7: "disgust", 8: "fear"},
    **{9: "happily surprised", 10: "happily disgusted", 11: "sadly angry", 12: "angrily disgusted", 13: "appalled"},
    **{14: "hatred", 15: "angrily surprised", 16: "sadly surprised", 17: "sadly surprised"},
    **dict.fromkeys((18, 19, 20), "disgustedly surprised"),
    **{21: "fearfully surprised", 22: "awed", 23: "sadly fearful", 24: "fearfully disgusted", 25: "fearfully angry"},
    26: "sadly disgusted",
}

Put = Callable[..., None]
Write = Callable[[str], Path]


def shown_by(red: float) -> str:
    """The expression of an image whose red is this level of 0..255."""
    return EXPRESSIONS[round((red - 10) / 10)]


@pytest.fixture
def read_colour() -> Callable[[float], str]:
    return shown_by


@pytest.fixture
def put() -> Put:
    """Writes one image: path, expression and number of the subject."""
    cv2 = pytest.importorskip("cv2")
    running = itertools.count()

    def put_one(path: Path, expression: str = "neutral", subject: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = (next(running) % 250, 10 * subject, 10 + 10 * EXPRESSIONS.index(expression))
        assert cv2.imwrite(str(path), np.full((8, 8, 3), colour, np.uint8))

    return put_one


@pytest.fixture
def write(tmp_path: Path, put: Put) -> Write:
    """Writes a data set by the name of its layout (and `affectnet-csv`), and gives its folder."""

    def write_one(name: str) -> Path:
        root = tmp_path / name
        _WRITERS[name](root, put)
        return root

    return write_one


def _nvie(root: Path, put: Put) -> None:
    folders = {"Disgust": "disgust", "fear": "fear", "Happiness": "happiness", "Anger": "anger"}
    for subject, (folder, expression) in itertools.product(range(4), folders.items()):
        for modality in ("VIS", "IR"):
            put(root / modality / folder / f"{subject:03d}_apex.png", expression, subject)


def _raf_db(root: Path, put: Put) -> None:
    lines = []
    for part, times in (("train", 2), ("test", 1)):
        for index, number in enumerate(list(range(1, 8)) * times, 1):
            put(root / f"Image/aligned/{part}_{index:05d}_aligned.jpg", RAF_DB[number - 1])
            lines.append(f"{part}_{index:05d}.jpg {number}")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")


def _ck_plus(root: Path, put: Put) -> None:
    for subject, number in itertools.product(range(4), range(1, 8)):
        session = f"S{subject + 5:03d}/{number:03d}"
        stem = session.replace("/", "_")
        for frame in range(1, 5):
            expression = "neutral" if frame == 1 else CK_PLUS[number]
            put(root / "cohn-kanade-images" / session / f"{stem}_{frame:08d}.png", expression, subject)
        label = root / "Emotion" / session / f"{stem}_{4:08d}_emotion.txt"
        label.parent.mkdir(parents=True)
        label.write_text(f"   {number}.0000000e+00\n")
    put(root / "cohn-kanade-images/S005/009/S005_009_00000001.png")
    (root / "Emotion/S005/009").mkdir()


def _bu_3dfe(root: Path, put: Put) -> None:
    for subject, name in enumerate(("F0001", "F0002", "M0001")):
        for code, expression in BU_3DFE.items():
            for level in (0,) if code == "NE" else (1, 2, 3, 4):
                put(root / name / f"{name}_{code}{level:02d}WH_F2D.bmp", expression, subject)
        (root / name / f"{name}_AN01WH_F3D.wrl").write_text("#VRML")


def _cfee(root: Path, put: Put) -> None:
    groups = {"01-04": 1, "05-08": 2, "09-12": 3, "13-16": 4, "17-20": 5, "21-26": 6}
    for subject, (number, expression) in itertools.product(range(3), CFEE.items()):
        group = next(name for name in groups if int(name[:2]) <= number <= int(name[3:]))
        name = f"{number:02d}_{subject + 106}_{1000 * subject + number}.jpg"
        put(root / group / f"Images{groups[group]}" / name, expression, subject)


def _rafd(root: Path, put: Put) -> None:
    for subject, (word, expression) in itertools.product(range(3), RAFD.items()):
        for camera, gaze in itertools.product(("045", "090"), ("frontal", "left")):
            name = f"Rafd{camera}_{subject + 1:02d}_Caucasian_female_{word}_{gaze}.jpg"
            put(root / name, expression, subject)


def _affectnet_csv(root: Path, put: Put) -> None:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for name, times in (("training", 2), ("validation", 1)):
        rows = [header]
        for index, number in enumerate([*range(8)] * times + [8, 9, 10, 10]):
            file = f"{index % 3}/{name}{index:04d}.jpg"
            put(root / "Manually_Annotated_Images" / file, AFFECTNET[number] if number < 8 else "neutral")
            rows.append(f"{file},1,1,6,6,1.0;2.0,{number},0.1,-0.2")
        (lists / f"{name}.csv").write_text("\n".join(rows) + "\n")


def _affectnet(root: Path, put: Put) -> None:
    for folder, times in (("train_set", 2), ("val_set", 1)):
        (root / folder / "annotations").mkdir(parents=True)
        for index, number in enumerate([*range(8)] * times):
            put(root / folder / "images" / f"{index}.jpg", AFFECTNET[number])
            # The distribution holds texts; numbers are read as well.
            value = np.array(str(number)) if index % 2 else np.array(number)
            np.save(root / folder / "annotations" / f"{index}_exp.npy", value)
            np.save(root / folder / "annotations" / f"{index}_val.npy", np.array(0.5))


_WRITERS: dict[str, Callable[[Path, Put], None]] = {
    "nvie": _nvie,
    "raf-db": _raf_db,
    "ck+": _ck_plus,
    "bu-3dfe": _bu_3dfe,
    "cfee": _cfee,
    "rafd": _rafd,
    "affectnet": _affectnet,
    "affectnet-csv": _affectnet_csv,
}
