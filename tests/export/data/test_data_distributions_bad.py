"""Data sets that are not as they were distributed are refused: what was found, what was expected, and a hint."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgefer.errors import DataError
from edgefer_export.data import open_dataset
from edgefer_export.data.list_file import is_inside

pytest.importorskip("cv2")

Write = Callable[[str], Path]
Put = Callable[..., None]
LIST = "EmoLabel/list_patition_label.txt"
TRAINING = "Manually_Annotated_file_lists/training.csv"


def refused(root: Path, layout: str) -> DataError:
    with pytest.raises(DataError) as caught:
        open_dataset(str(root), layout)
    assert caught.value.hint
    return caught.value


def add_line(root: Path, line: str) -> None:
    with (root / LIST).open("a") as file:
        file.write(line + "\n")


@pytest.mark.parametrize("name", ["nvie", "raf-db", "ck+", "bu-3dfe", "cfee", "rafd", "affectnet"])
def test_another_folder_is_refused(tmp_path: Path, put: Put, name: str) -> None:
    put(tmp_path / "happy/1.png")
    error = refused(tmp_path, name)
    assert str(tmp_path) in error.message


# RAF-DB


def test_a_line_of_another_form_is_named_with_its_number(write: Write) -> None:
    root = write("raf-db")
    add_line(root, "train_00015.jpg")
    error = refused(root, "raf-db")
    assert "1 line that cannot be read; expected lines such as `train_00001.jpg 5`" in error.message
    assert "line 22: 'train_00015.jpg'" in error.details
    (root / LIST).write_text("face.jpg 3\n")
    assert "'face.jpg'" in refused(root, "raf-db").details


@pytest.mark.parametrize("label", ["0", "8", "happy", "1.0"])
def test_an_unknown_label_is_named(write: Write, label: str) -> None:
    root = write("raf-db")
    add_line(root, f"train_00015.jpg {label}")
    error = refused(root, "raf-db")
    assert "1 label that is none of its classes; expected 1 to 7 for surprise, fear" in error.message
    assert f"line 22: train_00015.jpg {label}" in error.details


def test_missing_images_are_counted_and_the_first_ten_named(write: Write) -> None:
    root = write("raf-db")
    for path in sorted((root / "Image/aligned").glob("train_*"))[:12]:
        path.unlink()
    error = refused(root, "raf-db")
    assert "names 12 images that are not in" in error.message
    assert error.details.count("_aligned.jpg") == 10
    assert error.details.endswith("… and 2 more")
    assert len(open_dataset(str(root), "raf-db:part=test")) == 7


def test_an_image_that_is_listed_twice_is_named(write: Write) -> None:
    root = write("raf-db")
    add_line(root, "train_00003.jpg 4")
    error = refused(root, "raf-db")
    assert "1 image more than once" in error.message
    assert "train_00003.jpg" in error.details


@pytest.mark.parametrize(
    "name", ["../train_1.jpg", "/etc/train_1.jpg", "train_a/../../../x.jpg", "C:\\train_1.jpg", "..\\train_1.jpg"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(write: Write, name: str) -> None:
    root = write("raf-db")
    add_line(root, f"{name} 4")
    error = refused(root, "raf-db")
    assert "1 name that leads out of the data set's folder" in error.message
    assert repr(name) in error.details


def test_names_that_stay_inside_are_told_from_those_that_do_not() -> None:
    for name in ("a.jpg", "a/b.jpg", "..a/b..jpg", "a..b/c.jpg"):
        assert is_inside(name)
    for name in ("", "..", "a/..", "/a", "\\a", "D:a", "\\\\host\\share\\a", "a\0b"):
        assert not is_inside(name)


def test_images_of_the_other_kind_are_asked_for(write: Write) -> None:
    assert "no folder Image/original/" in refused(write("raf-db"), "raf-db:images=original").message


def test_a_list_that_is_no_text_is_refused(write: Write) -> None:
    root = write("raf-db")
    (root / LIST).write_bytes(b"train_00001.jpg 5\n\xff\xfe\x00")
    assert "is not text in UTF-8" in refused(root, "raf-db").message


# CK+


def test_a_label_beyond_its_sequence_is_named(write: Write) -> None:
    root = write("ck+")
    (root / "cohn-kanade-images/S006/003/S006_003_00000004.png").unlink()
    for path in (root / "cohn-kanade-images/S007/002").iterdir():
        path.unlink()
    error = refused(root, "ck+")
    assert "2 labelled sequences without the frames" in error.message
    assert "S006/003: no frame S006_003_00000004" in error.details
    assert "S007/002: no images" in error.details


def test_a_sequence_that_is_too_short_is_named(write: Write) -> None:
    error = refused(write("ck+"), "ck+:peak=4")
    assert "S005/001: 4 frames for 5 that are taken" in error.details
    assert "28 labelled sequences" in error.message


@pytest.mark.parametrize("text", ["8", "-1", "1.5", "happy", "", "nan", "inf"])
def test_a_number_that_is_no_expression_is_named(write: Write, text: str) -> None:
    root = write("ck+")
    (root / "Emotion/S005/001/S005_001_00000004_emotion.txt").write_text(text)
    error = refused(root, "ck+")
    assert "expected a number from 0 to 7 for neutral, anger, contempt" in error.message
    assert f"S005_001_00000004_emotion.txt: {text!r}" in error.details


def test_a_sequence_with_two_labels_or_none_at_all_is_refused(write: Write) -> None:
    root = write("ck+")
    (root / "Emotion/S005/001/S005_001_00000003_emotion.txt").write_text("1")
    assert "1 sequence with more than one label" in refused(root, "ck+").message
    for path in (root / "Emotion").rglob("*.txt"):
        path.unlink()
    assert "so no sequence has a label" in refused(root, "ck+").message


# names that tell everything


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("bu-3dfe", "F0001/F0001_AN05WH_F2D.bmp"),
        ("bu-3dfe", "F0001/F0001_NE01WH_F2D.bmp"),
        ("bu-3dfe", "F0001/F0001_XX01WH_F2D.bmp"),
        ("cfee", "01-04/Images1/01_126.jpg"),
        ("rafd", "Rafd090_28_Caucasian_male_angry.jpg"),
        ("rafd", "Rafd090_28_Caucasian_male_angry_up.jpg"),
    ],
)
def test_a_name_that_cannot_be_read_is_named(write: Write, put: Put, layout: str, name: str) -> None:
    root = write(layout)
    put(root / name)
    error = refused(root, layout)
    assert "1 image whose name cannot be read; expected names such as" in error.message
    assert name in error.details


@pytest.mark.parametrize(
    ("layout", "name", "shown"),
    [
        ("cfee", "21-26/Images6/27_106_1.jpg", "category 27"),
        ("cfee", "01-04/Images1/00_106_1.jpg", "category 00"),
        ("rafd", "Rafd090_28_Caucasian_male_bored_frontal.jpg", "bored"),
        ("nvie", "VIS/Bored/001_a.png", "folder Bored"),
    ],
)
def test_an_unknown_expression_in_a_name_is_named(write: Write, put: Put, layout: str, name: str, shown: str) -> None:
    root = write(layout)
    put(root / name)
    if layout == "nvie":
        put(root / name.replace("VIS", "IR"))
    error = refused(root, layout)
    assert "1 label that is none of its classes" in error.message
    assert shown in error.details


def test_an_image_that_is_there_twice_is_named(write: Write, put: Put) -> None:
    root = write("rafd")
    put(root / "copy/Rafd090_01_Caucasian_female_angry_frontal.jpg")
    error = refused(root, "rafd")
    assert "2 files that share a name" in error.message
    assert "copy" in error.details


def test_what_an_archive_leaves_behind_is_passed_over(write: Write, put: Put) -> None:
    root = write("rafd")
    put(root / "__MACOSX/Rafd090_01_Caucasian_female_angry_frontal.jpg")
    put(root / ".trash/Rafd090_28_Caucasian_male_angry.jpg")
    assert len(open_dataset(str(root), "rafd")) == 96


def test_nvie_needs_both_halves_and_the_subject_in_the_name(write: Write, put: Put) -> None:
    root = write("nvie")
    put(root / "VIS/fear/009.png", "fear")
    assert "cannot be paired" in refused(root, "nvie").message
    put(root / "IR/fear/009.png", "fear")
    assert "does not name its subject" in refused(root, "nvie").message
    assert len(open_dataset(str(root), "nvie:subjects=none")) == 13
    assert (
        "has no folder IR/" in refused(root / "nowhere" if (root / "nowhere").is_dir() else _half(root), "nvie").message
    )


def _half(root: Path) -> Path:
    (root / "IR").rename(root / "somewhere")
    return root


# AffectNet, lists


def test_a_list_without_its_columns_is_refused(write: Write) -> None:
    root = write("affectnet-csv")
    (root / TRAINING).write_text("file,emotion\na.jpg,1\n")
    error = refused(root, "affectnet")
    assert (
        "has no column subDirectory_filePath and no column expression; its first line is file,emotion" in error.message
    )
    (root / TRAINING).write_text("")
    assert "its first line is empty" in refused(root, "affectnet").message


@pytest.mark.parametrize(
    ("row", "message", "details"),
    [
        ("0/a.jpg,1,1,1,1,1,11,0,0", "expected 0 to 7 for neutral, happy", "line 22: 0/a.jpg '11'"),
        ("0/a.jpg,1,1,1,1,1,happy,0,0", "expected 0 to 7", "'happy'"),
        ("0/a.jpg,1,1", "1 line that cannot be read", "line 22"),
        ("0/a.jpg,1,1,1,1,1,1,0,0", "names 1 image that is not in", "0/a.jpg"),
        ("../../a.jpg,1,1,1,1,1,1,0,0", "1 name that leads out", "../../a.jpg"),
        ("0/training0000.jpg,1,1,1,1,1,1,0,0", "1 image more than once", "0/training0000.jpg"),
    ],
)
def test_a_row_that_is_wrong_is_named(write: Write, row: str, message: str, details: str) -> None:
    root = write("affectnet-csv")
    with (root / TRAINING).open("a") as file:
        file.write(row + "\n")
    error = refused(root, "affectnet")
    assert message in error.message
    assert details in error.details


def test_a_list_that_is_missing_is_named(write: Write) -> None:
    root = write("affectnet-csv")
    (root / TRAINING).unlink()
    assert "no training.csv, the list of part=train" in refused(root, "affectnet:part=train").message
    assert len(open_dataset(str(root), "affectnet")) == 8
    (root / "Manually_Annotated_Images").rename(root / "elsewhere")
    assert "no folder Manually_Annotated_Images/" in refused(root, "affectnet").message


# AffectNet, arrays


class _Trap:
    """Unpickling it fails the test."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("an annotation was unpickled",)


def _damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(whole[:60])
    elif how == "cut data":
        path.write_bytes(whole[:-1])
    elif how == "pickle":
        path.write_bytes(pickle.dumps(_Trap()))
    elif how == "object array":
        np.save(path, np.array([_Trap()], dtype=object), allow_pickle=True)
    elif how == "archive":
        with path.open("wb") as file:
            np.savez(file, exp=np.array(1))
    elif how == "damaged archive":
        path.write_bytes(b"PK\x03\x04" + bytes(40))
    elif how == "two numbers":
        np.save(path, np.array([1, 2]))
    elif how == "large":
        np.save(path, np.zeros(5000))
    elif how == "half":
        np.save(path, np.array(1.5))
    else:
        np.save(path, np.array("happy"))


@pytest.mark.parametrize(
    "how",
    [
        *("empty", "cut", "cut data", "pickle", "object array", "archive", "damaged archive", "two numbers", "large"),
        *("half", "a word"),
    ],
)
def test_a_damaged_annotation_is_named_and_never_unpickled(write: Write, how: str) -> None:
    root = write("affectnet")
    _damage(root / "train_set/annotations/3_exp.npy", how)
    error = refused(root, "affectnet")
    assert "1 annotation that cannot be read; each is a NumPy array of one number" in error.message
    assert "train_set/annotations/3_exp.npy: " in error.details


def test_an_unknown_number_in_an_annotation_is_named(write: Write) -> None:
    root = write("affectnet")
    np.save(root / "val_set/annotations/3_exp.npy", np.array("8"))
    error = refused(root, "affectnet")
    assert "expected 0 to 7 for neutral, happy" in error.message
    assert "val_set/annotations/3_exp.npy: 8" in error.details


def test_images_and_annotations_go_together(write: Write, put: Put) -> None:
    root = write("affectnet")
    put(root / "train_set/images/99.jpg")
    (root / "val_set/images/0.jpg").unlink()
    assert "train_set/images/99.jpg has no 99_exp.npy" in refused(root, "affectnet:part=train").details
    assert "val_set/annotations/0_exp.npy has no image" in refused(root, "affectnet:part=test").details


def test_one_part_of_the_arrays_is_enough_and_has_no_other(write: Write) -> None:
    root = write("affectnet")
    assert len(open_dataset(str(root / "val_set"))) == 8
    assert "it is one part" in refused(root / "val_set", "affectnet:part=train").message
    (root / "train_set").rename(root / "elsewhere")
    assert "has no train_set/" in refused(root, "affectnet:part=train").message
