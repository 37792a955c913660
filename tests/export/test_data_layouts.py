"""The layouts on disk: what they hold, in which order, and how they refuse what is not as it should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgefer.errors import DataError, UsageError
from edgefer.progress import Silent
from edgefer_export.data import open_dataset, require_classes, samples
from edgefer_export.data.file_dataset import FileDataset

cv2 = pytest.importorskip("cv2")


def put(root: Path, *names: str, shape: tuple[int, ...] = (8, 9, 3)) -> None:
    """Write a different image under each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, shape, dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)


def put_pairs(root: Path, *names: str, visible: str = "visible", infrared: str = "infrared") -> None:
    put(root, *(f"{visible}/{name}" for name in names))
    put(root, *(f"{infrared}/{name}" for name in names), shape=(6, 7))


def names_of(dataset: object) -> list[str]:
    assert isinstance(dataset, FileDataset)
    return [entry.name for entry in dataset.entries]


def refused(text: Path, layout: str | None = None, labels: tuple[str, ...] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        open_dataset(str(text), layout, labels)
    return caught.value


# folder


def test_a_folder_is_ordered_by_label_and_name(tmp_path: Path) -> None:
    put(tmp_path, "sad/b.png", "happy/2.png", "happy/10.jpg", "sad/a.png")
    data = open_dataset(str(tmp_path))
    assert data.labels == ("happy", "sad")
    assert data.roles == ("visible",)
    assert data.source == str(tmp_path)
    assert names_of(data) == ["happy/10", "happy/2", "sad/a", "sad/b"]
    assert [sample.label for sample in samples(data)] == [0, 0, 1, 1]
    assert data[2].subject is None
    np.testing.assert_array_equal(data[3].images["visible"], cv2.imread(str(tmp_path / "sad/b.png")))


def test_given_labels_set_the_order(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png")
    data = open_dataset(str(tmp_path), labels=("sad", "happy"))
    assert data.labels == ("sad", "happy")
    assert names_of(data) == ["sad/1", "happy/1"]


def test_a_folder_can_be_infrared(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png")
    data = open_dataset(str(tmp_path), "folder:role=infrared")
    assert data.roles == ("infrared",)
    assert set(data[0].images) == {"infrared"}


def test_subjects_are_told_by_prefix_or_name(tmp_path: Path) -> None:
    put(tmp_path, "happy/anna_1.png", "happy/anna_2.png", "sad/ben-7.png")
    by_prefix = open_dataset(str(tmp_path), "folder:subjects=prefix")
    assert [sample.subject for sample in samples(by_prefix)] == ["anna", "anna", "ben"]
    by_name = open_dataset(str(tmp_path), "folder:role=visible,subjects=name")
    assert by_name[0].subject == "anna_1"


def test_a_name_without_prefix_is_refused_where_prefixes_tell_the_subject(tmp_path: Path) -> None:
    put(tmp_path, "happy/anna_1.png", "sad/ben.png")
    error = refused(tmp_path, "folder:subjects=prefix")
    assert "ben.png does not name its subject" in error.message


def test_an_unknown_label_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path, "Happy/1.png", "sad/1.png")
    error = refused(tmp_path, labels=("happy", "sad"))
    assert "Happy" in error.message
    assert "happy, sad" in error.message
    assert "Did you mean happy" in error.hint


def test_a_label_without_images_is_named(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png")
    (tmp_path / "sad").mkdir()
    assert "no image of sad" in refused(tmp_path).message
    put(tmp_path, "sad/1.png")
    assert "no image of fear" in refused(tmp_path, labels=("happy", "sad", "fear")).message


def test_a_label_given_twice_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png")
    assert "given twice" in refused(tmp_path, labels=("happy", "sad", "sad")).message


def test_one_class_is_enough_until_labels_are_needed(tmp_path: Path) -> None:
    put(tmp_path, "any/1.png", "any/2.png")
    data = open_dataset(str(tmp_path))
    assert len(data) == 2
    with pytest.raises(DataError, match=r"1 class \(any\); labels need at least two"):
        require_classes(data)


def test_two_classes_are_enough(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png")
    require_classes(open_dataset(str(tmp_path)))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "happy/1.jpg", "sad/1.png")
    error = refused(tmp_path)
    assert "1 name" in error.message
    assert "1.jpg" in error.details
    assert "1.png" in error.details


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png", "happy/.hidden.png", ".cache/x.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "sad/Thumbs.db").write_text("x")
    (tmp_path / "sad/raw").mkdir()
    reporter = Silent()
    data = open_dataset(str(tmp_path), reporter=reporter)
    assert len(data) == 2
    assert reporter.notes[0].endswith("is read in the layout `folder`.")
    assert reporter.notes[1].startswith("Ignored 5 hidden or non-image entries: ")
    for name in (".hidden.png", ".cache", "notes.txt", "Thumbs.db", "raw"):
        assert name in reporter.notes[1]


def test_a_tidy_folder_has_no_note(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png")
    reporter = Silent()
    open_dataset(str(tmp_path), "folder", reporter=reporter)
    assert reporter.notes == []


@pytest.mark.parametrize("name", ["loose.png", "happy/deep/1.png"])
def test_images_where_no_label_applies_are_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png", name)
    error = refused(tmp_path)
    assert "1 image in" in error.message
    assert name in error.details


def test_a_flat_folder_says_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, *(f"{index:02}.png" for index in range(13)))
    error = refused(tmp_path)
    assert "13 images" in error.message
    assert error.details.count(".png") == 10
    assert "and 3 more" in error.details
    assert "folder of any name" in error.hint


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "holds no image" in refused(tmp_path).message


def test_a_missing_folder_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "london_faces").mkdir()
    error = refused(tmp_path / "london_face")
    assert "There is no folder" in error.message
    assert "london_faces" in error.hint
    assert "synthetic:COUNT:SEED" in refused(tmp_path / "no" / "such").hint


def test_an_empty_text_is_not_the_working_folder() -> None:
    with pytest.raises(UsageError, match="DATA is empty"):
        open_dataset("")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    assert "is a file" in refused(tmp_path / "1.png").message


def test_an_unreadable_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    put(tmp_path, "happy/1.png", "sad/1.png")
    (tmp_path / "sad/1.png").write_bytes(b"not a picture")
    data = open_dataset(str(tmp_path))
    assert data[0].label == 0
    with pytest.raises(DataError, match=r"sad/1\.png"):
        data[1]


# pairs


def test_pairs_are_guessed_and_joined_by_label_and_name(tmp_path: Path) -> None:
    put_pairs(tmp_path, "sad/1.png", "happy/1.png", "happy/2.png")
    reporter = Silent()
    data = open_dataset(str(tmp_path), reporter=reporter)
    assert reporter.notes == [f"{tmp_path} is read in the layout `pairs`."]
    assert data.labels == ("happy", "sad")
    assert data.roles == ("visible", "infrared")
    assert names_of(data) == ["happy/1", "happy/2", "sad/1"]
    assert data[2].images["visible"].shape == (8, 9, 3)
    assert data[2].images["infrared"].shape == (6, 7)
    np.testing.assert_array_equal(
        data[1].images["infrared"], cv2.imread(str(tmp_path / "infrared/happy/2.png"), cv2.IMREAD_GRAYSCALE)
    )


def test_partners_may_differ_in_suffix(tmp_path: Path) -> None:
    put(tmp_path, "visible/happy/1.jpg", "visible/sad/1.jpg", "infrared/happy/1.png", "infrared/sad/1.tif")
    assert len(open_dataset(str(tmp_path), "pairs")) == 2


def test_missing_partners_are_listed(tmp_path: Path) -> None:
    put_pairs(tmp_path, "happy/1.png", "sad/1.png")
    put(tmp_path, *(f"visible/happy/x{index:02}.png" for index in range(9)))
    put(tmp_path, *(f"infrared/sad/y{index:02}.png" for index in range(5)))
    error = refused(tmp_path)
    assert "14 images" in error.message
    assert "visible/happy/x00.png has no partner in infrared/happy/" in error.details
    assert "infrared/sad/y00.png has no partner in visible/sad/" in error.details
    assert error.details.count("has no partner") == 10
    assert "and 4 more" in error.details


def test_a_partner_under_another_label_is_named(tmp_path: Path) -> None:
    put_pairs(tmp_path, "happy/1.png", "sad/1.png")
    put(tmp_path, "visible/happy/7.png", "infrared/sad/7.png")
    error = refused(tmp_path)
    assert "1 image" in error.message
    assert "visible/happy/7.png has its partner under another label: infrared/sad/" in error.details


def test_a_half_missing_is_not_guessed_around(tmp_path: Path) -> None:
    put(tmp_path, "visible/happy/1.png", "visible/sad/1.png")
    error = refused(tmp_path)
    assert "visible/ but no infrared/" in error.message
    assert "no folder infrared/" in refused(tmp_path, "pairs").message


def test_entries_beside_the_two_folders_are_said(tmp_path: Path) -> None:
    put_pairs(tmp_path, "happy/1.png", "sad/1.png")
    put(tmp_path, "depth/happy/1.png")
    (tmp_path / "README").write_text("x")
    data = open_dataset(str(tmp_path))
    assert isinstance(data, FileDataset)
    assert "depth" in data.notes[0]
    assert "README" in data.notes[0]


def test_pairs_take_given_labels_and_subjects(tmp_path: Path) -> None:
    put_pairs(tmp_path, "happy/p1_0.png", "sad/p2_0.png")
    data = open_dataset(str(tmp_path), "pairs:subjects=prefix", ("sad", "happy"))
    assert [(sample.label, sample.subject) for sample in samples(data)] == [(0, "p2"), (1, "p1")]


# viri


VIRI = ("Angry/1.jpg", "Happy/1.jpg", "Neutral/1.jpg", "Sad/1.jpg", "Surprise/1.jpg")


def test_viri_has_the_order_of_its_authors_whatever_the_letter_case(tmp_path: Path) -> None:
    put_pairs(tmp_path, *reversed(VIRI), visible="VIS", infrared="Ir")
    put(tmp_path, "MSX/Happy/1.jpg")
    data = open_dataset(str(tmp_path))
    assert data.labels == ("angry", "happy", "neutral", "sad", "surprise")
    assert data.roles == ("visible", "infrared")
    assert [sample.label for sample in samples(data)] == [0, 1, 2, 3, 4]
    assert all(sample.subject is None for sample in samples(data))
    assert isinstance(data, FileDataset)
    assert "MSX" in data.notes[0]


def test_viri_takes_another_order_and_refuses_another_class(tmp_path: Path) -> None:
    put_pairs(tmp_path, *VIRI, visible="vis", infrared="ir")
    order = ("surprise", "sad", "neutral", "happy", "angry")
    assert open_dataset(str(tmp_path), "viri", order)[0].label == 0
    put_pairs(tmp_path, "Bored/1.jpg", visible="vis", infrared="ir")
    assert "Bored" in refused(tmp_path, "viri").message


def test_viri_needs_all_classes_and_both_folders(tmp_path: Path) -> None:
    put_pairs(tmp_path, *VIRI[:-1], visible="VIS", infrared="IR")
    assert "no image of surprise" in refused(tmp_path, "viri").message
    assert "no folder VIS/" in refused(tmp_path / "VIS", "viri").message


def test_viri_refuses_folders_that_differ_in_letter_case_only(tmp_path: Path) -> None:
    put_pairs(tmp_path, *VIRI, "angry/1.jpg", visible="VIS", infrared="IR")
    if len(list((tmp_path / "VIS").iterdir())) == len(VIRI):
        pytest.skip("the file system does not tell letter case")
    assert "letter case" in refused(tmp_path, "viri").message


# the text


@pytest.mark.parametrize("layout", ["pair", "", "Folder", "coco"])
def test_an_unknown_layout_lists_the_known_ones(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UsageError, match="folder, pairs, viri") as caught:
        open_dataset(str(tmp_path), layout)
    assert caught.value.hint


@pytest.mark.parametrize(
    "layout", ["folder:role=thermal", "pairs:role=visible", "folder:subjects=maybe", "folder:size=3", "folder:role"]
)
def test_an_option_that_a_layout_does_not_have_is_refused(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UsageError, match="does not go with the layout"):
        open_dataset(str(tmp_path), layout)


@pytest.mark.parametrize(
    "text",
    [
        "synthetic",
        "synthetic:",
        "synthetic:10",
        "synthetic:0:1",
        "synthetic:10:-1",
        "synthetic:10:1:swir",
        "synthetic:a:b",
    ],
)
def test_a_synthetic_text_of_another_grammar_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"synthetic:COUNT:SEED\[:lwir\|nir\]"):
        open_dataset(text)


def test_synthetic_pairs_have_no_layout_and_say_so() -> None:
    reporter = Silent()
    assert len(open_dataset("synthetic:10:1", "pairs", reporter=reporter)) == 10
    assert reporter.notes == ["synthetic:10:1 has no layout; pairs is not used for it."]
    with pytest.raises(UsageError, match="folder, pairs, viri"):
        open_dataset("synthetic:10:1", "pear")


def test_synthetic_pairs_are_opened_with_count_seed_band_and_labels() -> None:
    data = open_dataset("synthetic:12:7:nir", labels=("sad", "happy"))
    assert (len(data), data.labels, data.roles) == (12, ("sad", "happy"), ("visible", "infrared"))
    assert data.source == "synthetic:12:7:nir"
    assert open_dataset("synthetic:3:7").source == "synthetic:3:7:lwir"


@pytest.mark.skipif("EDGEFER_TEST_DATA" not in os.environ, reason="EDGEFER_TEST_DATA names no folder of real images")
def test_real_faces_open_as_a_folder() -> None:
    data = open_dataset(str(Path(os.environ["EDGEFER_TEST_DATA"]) / "london_faces"), "folder:subjects=name")
    assert data.labels == ("happy", "neutral")
    assert len(data) == 80
    assert isinstance(data, FileDataset)
    assert len(set(data.subjects)) == 40
    assert data[0].images["visible"].shape == (480, 480, 3)
    assert "LICENSE.md" in data.notes[0]
