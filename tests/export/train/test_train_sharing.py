"""A validation that shows what is trained on is refused, and one with people of the same names is warned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from edgefer.errors import UsageError
from edgefer.progress import Silent
from edgefer_export.data import open_dataset
from edgefer_export.data.splits import Subset
from edgefer_export.data.synthetic import SyntheticPairs
from edgefer_export.train import TrainSpec
from edgefer_export.train.setup import prepare
from edgefer_export.train.sharing import check_validation

Make = Callable[..., TrainSpec]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people in each of two classes."""
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for name in ("anna_1", "anna_2", "bert_1", "bert_2"):
            cv2.imwrite(str(tmp_path / "data" / label / f"{label}{name}.png"), np.zeros((32, 32, 3), np.uint8))
    return tmp_path / "data"


def test_the_training_data_as_its_own_validation(spec: Make, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(folder)
    for other in (folder, tmp_path / "again", tmp_path / "again" / ".." / "data"):
        with pytest.raises(UsageError, match=r"8 of the 8 samples of the validation, .* are trained on") as caught:
            prepare(spec(data=str(folder), validation=str(other), layout="folder"), Silent())
        assert "leave --validation out" in caught.value.hint


def test_the_same_drawn_faces(spec: Make) -> None:
    with pytest.raises(UsageError, match="40 of the 40 samples of the validation, synthetic:40:2:lwir"):
        prepare(spec(data="synthetic:40:2", validation="synthetic:40:2:lwir"), Silent())


def test_parts_of_one_set(squares: type) -> None:
    reporter = Silent()
    for whole in (squares(32), SyntheticPairs(32, 1)):
        with pytest.raises(UsageError, match="4 of the 8 samples"):
            check_validation(Subset(whole, range(20)), Subset(whole, range(16, 24)), reporter)
    check_validation(Subset(squares(8), range(4)), Subset(squares(8, seed=1), range(4, 8)), reporter)
    assert reporter.notes == []


def test_people_of_the_same_names_are_warned_of(spec: Make, folder: Path, squares: type) -> None:
    reporter = Silent()
    check_validation(squares(16), squares(8, seed=3), reporter)
    (note,) = reporter.notes
    assert "2 of the 2 people of the validation, 8 squares, have names of people that are trained on" in note
    assert "such as person 0" in note
    people = open_dataset(str(folder), "folder:subjects=prefix")
    parts = Subset(people, (0, 2)), Subset(people, (1, 3))
    reporter = Silent()
    check_validation(*parts, reporter)
    assert "2 of the 2 people" in reporter.notes[0]


def test_other_people_pass_without_a_word() -> None:
    reporter = Silent()
    check_validation(SyntheticPairs(40, 1), SyntheticPairs(40, 2), reporter)
    assert reporter.notes == []


def test_data_that_does_not_name_people_is_not_read_for_it() -> None:
    class Unread:
        labels, source, roles = ("a", "b"), "unread", ("visible",)

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> None:
            raise AssertionError("read")

    reporter = Silent()
    check_validation(Unread(), Subset(Unread(), (1, 2)), reporter)  # type: ignore[arg-type]
    assert reporter.notes == []
