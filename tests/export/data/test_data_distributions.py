"""Each data set in the layout of its distribution: what is found, in which order, who it shows, and how it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import DataError, UsageError
from edgefer.progress import Silent
from edgefer_export.data import open_dataset
from edgefer_export.data.expressions import meaning
from edgefer_export.data.feeds import Feeds
from edgefer_export.data.file_dataset import FileDataset
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.layout_guess import guess_layout
from edgefer_export.data.splits import holdout, k_fold

pytest.importorskip("cv2")

Write = Callable[[str], Path]
VISIBLE = InputSpec(name="rgb", role="visible", shape=(1, 3, 8, 8), image=ImageSpec(colour="rgb"))
INFRARED = InputSpec(name="ir", role="infrared", shape=(1, 3, 8, 8), image=ImageSpec(colour="rgb", band="lwir"))

# Folder, layout, number of samples, labels, people.
CASES = [
    ("nvie", "nvie", 12, "nvie", 4),
    ("nvie", "nvie:expressions=6,labels=nvie", 12, "nvie", 4),
    ("raf-db", "raf-db", 21, "raf-db", 0),
    ("raf-db", "raf-db:part=train", 14, "raf-db", 0),
    ("raf-db", "raf-db:part=test", 7, "raf-db", 0),
    ("ck+", "ck+", 56, "feratt", 4),
    ("ck+", "ck+:peak=3", 112, "feratt", 4),
    ("bu-3dfe", "bu-3dfe", 75, "bu-3dfe", 3),
    ("bu-3dfe", "bu-3dfe:levels=3+4", 39, "bu-3dfe", 3),
    ("cfee", "cfee", 21, "basic-7", 3),
    ("cfee", "cfee:categories=all", 66, "cfee", 3),
    ("rafd", "rafd", 96, "rafd", 3),
    ("rafd", "rafd:camera=frontal,gaze=frontal", 24, "rafd", 3),
    ("rafd", "rafd:labels=basic-7", 84, "basic-7", 3),
    ("affectnet", "affectnet", 24, "affectnet", 0),
    ("affectnet", "affectnet:part=train", 16, "affectnet", 0),
    ("affectnet", "affectnet:part=test,labels=feratt", 8, "feratt", 0),
    ("affectnet-csv", "affectnet", 24, "affectnet", 0),
    ("affectnet-csv", "affectnet:part=test", 8, "affectnet", 0),
]
GUESSED = ("raf-db", "ck+", "bu-3dfe", "cfee", "rafd", "affectnet", "affectnet-csv")
SUBJECTS = ("nvie", "ck+", "bu-3dfe", "cfee", "rafd")


def opened(root: Path, layout: str | None = None, labels: tuple[str, ...] | None = None) -> FileDataset:
    data = open_dataset(str(root), layout, labels)
    assert isinstance(data, FileDataset)
    return data


@pytest.mark.parametrize(("name", "layout", "number", "labels", "people"), CASES)
def test_every_sample_has_the_label_and_the_subject_of_its_picture(
    write: Write, read_colour: Callable[[float], str], name: str, layout: str, number: int, labels: str, people: int
) -> None:
    data = opened(write(name), layout)
    assert len(data) == number
    assert data.labels == LABEL_SETS[labels]
    assert set(data.targets) == set(range(len(data.labels)))
    assert data.roles == (("visible", "infrared") if name == "nvie" else ("visible",))
    people_seen: dict[str, set[int]] = {}
    for example, entry in zip(Feeds(data, (VISIBLE,), workers=0).examples(), data.entries, strict=True):
        red, green, _ = (255 * example.tensors["rgb"][0, channel].mean() for channel in range(3))
        assert meaning(data.labels[example.record.label]) == read_colour(red), entry.name
        if people:
            assert entry.subject is not None
            people_seen.setdefault(entry.subject, set()).add(round(green / 10))
        else:
            assert entry.subject is None
    # One subject is one person in the pictures, and one person one subject.
    assert sorted(people_seen.values(), key=min) == [{person} for person in range(people)]


def test_both_cameras_of_nvie_reach_a_network(write: Write, read_colour: Callable[[float], str]) -> None:
    data = opened(write("nvie"), "nvie")
    for tensors, label in zip(Feeds(data, (VISIBLE, INFRARED), workers=0), data.targets, strict=True):
        for name in ("rgb", "ir"):
            assert read_colour(255 * tensors[name][0, 0].mean()) == meaning(data.labels[label])


@pytest.mark.parametrize("name", GUESSED)
def test_a_layout_is_recognised(write: Write, name: str) -> None:
    root = write(name)
    assert guess_layout(root).name == name.removesuffix("-csv")
    assert opened(root).labels


def test_what_is_assumed_or_looks_like_any_folder_is_not_guessed(write: Write, tmp_path: Path, put: object) -> None:
    # VIS/ and IR/ are those of VIRI as well.
    assert guess_layout(write("nvie")).name == "viri"
    assert callable(put)
    put(tmp_path / "plain/happy/Rafd_not.jpg")
    put(tmp_path / "plain/01-04/x.jpg")
    put(tmp_path / "plain/F0001/x.jpg")
    assert guess_layout(tmp_path / "plain").name == "folder"


@pytest.mark.parametrize("name", SUBJECTS)
def test_nobody_is_on_both_sides_of_a_split(write: Write, name: str) -> None:
    data = opened(write(name), name)
    reporter = Silent()
    splits = [holdout(data, share=0.3, seed=1, reporter=reporter), *k_fold(data, folds=3, seed=1, reporter=reporter)]
    for split in splits:
        assert split.by_subject
        assert split.train
        assert split.test
        assert not {data.subjects[i] for i in split.train} & {data.subjects[i] for i in split.test}
    assert reporter.notes == []


@pytest.mark.parametrize("name", ["raf-db", "affectnet"])
def test_a_split_without_subjects_warns(write: Write, name: str) -> None:
    reporter = Silent()
    assert not holdout(opened(write(name), name), share=0.3, seed=1, reporter=reporter).by_subject
    assert "does not say who is shown" in reporter.notes[0]


# labels


def test_classes_that_are_not_asked_for_are_left_out_and_counted(write: Write) -> None:
    data = opened(write("rafd"), "rafd:labels=basic-7")
    assert data.notes[-1].startswith("Left out 12 images whose class is no label here: 12 of contempt;")


def test_labels_given_go_before_those_of_the_layout_and_are_matched_by_meaning(write: Write) -> None:
    order = ("Happiness", "anger")
    data = opened(write("rafd"), "rafd:labels=basic-7", order)
    assert data.labels == order
    assert Counter(data.targets) == {0: 12, 1: 12}
    assert "happy is Happiness" in data.notes[-1]
    assert "angry is anger" in data.notes[-1]


def test_a_label_that_the_data_set_does_not_have_is_named(write: Write) -> None:
    with pytest.raises(DataError, match="has no class contempt; its classes are surprise, fear") as caught:
        opened(write("raf-db"), "raf-db:labels=feratt")
    assert caught.value.hint


def test_two_labels_of_one_meaning_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match="happy and happiness mean the same"):
        opened(write("raf-db"), "raf-db", ("happy", "happiness", "neutral"))


def test_a_class_without_images_is_named(write: Write) -> None:
    root = write("bu-3dfe")
    for path in root.rglob("*_DI*.bmp"):
        path.unlink()
    with pytest.raises(DataError, match="has no image of disgust; every label needs at least one") as caught:
        opened(root, "bu-3dfe")
    assert caught.value.hint
    labels = ("neutral", "anger")
    assert opened(root, "bu-3dfe", labels).labels == labels


# the text


def test_data_may_say_its_layout_itself(write: Write) -> None:
    root = write("raf-db")
    data = open_dataset(f"raf-db:part=test@{root}", "pairs")
    assert len(data) == 7
    assert data.source == f"raf-db:part=test@{root}"
    with pytest.raises(UsageError, match="names no folder"):
        open_dataset("raf-db@")
    with pytest.raises(DataError, match="There is no folder /nowhere"):
        open_dataset("raf-db@/nowhere")


@pytest.mark.parametrize(
    "layout",
    ["raf-db:part=val", "bu-3dfe:levels=0", "bu-3dfe:levels=3+3", "rafd:frontal", "ck+:peak=0", "cfee:labels=none"],
)
def test_an_option_of_another_grammar_is_refused(write: Write, layout: str) -> None:
    name = layout.partition(":")[0]
    with pytest.raises(UsageError, match="does not go with the layout") as caught:
        opened(write(name), layout)
    assert f"{name}[:" in caught.value.message


def test_an_option_given_twice_is_refused(write: Write) -> None:
    with pytest.raises(UsageError, match="part is given twice"):
        opened(write("raf-db"), "raf-db:part=test,part=train")


# what was passed over


def test_what_is_passed_over_is_counted(write: Write) -> None:
    notes = {name: " ".join(opened(write(name), name.removesuffix("-csv")).notes) for name in (*SUBJECTS, *GUESSED[:1])}
    assert "4 pairs of other expressions than disgust, fear, happy" in notes["nvie"]
    assert "1 of 29 sequences: they have no label" in notes["ck+"]
    assert "F0001_AN01WH_F3D.wrl" in notes["bu-3dfe"]
    assert "12 further takes" in notes["cfee"]
    assert "45 images of compound categories" in notes["cfee"]
    assert notes["rafd"] == notes["raf-db"] == ""


def test_images_of_another_camera_are_counted(write: Write) -> None:
    (note,) = opened(write("rafd"), "rafd:camera=frontal,gaze=frontal").notes
    assert note == "Passed over 72 images of another camera or gaze."


def test_images_without_an_expression_are_counted(write: Write) -> None:
    (note,) = opened(write("affectnet-csv"), "affectnet").notes
    assert note == "Passed over 8 images without an expression: 2 none, 2 uncertain, 4 no face."


def test_ck_plus_without_neutral_faces_has_no_such_label(write: Write) -> None:
    data = opened(write("ck+"), "ck+:neutral=none")
    assert len(data) == 28
    assert data.labels == LABEL_SETS["feratt"][1:]
