"""Splits: nobody on both sides, classes in proportion, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgefer.errors import UsageError
from edgefer.progress import Silent
from edgefer_export.data.dataset import Dataset, Sample
from edgefer_export.data.splits import Split, Subset, holdout, k_fold, targets_and_subjects

IMAGE = np.zeros((2, 2), dtype=np.uint8)


class People:
    """Samples of people with uneven numbers of pictures and uneven classes."""

    labels = ("happy", "neutral", "sad")
    roles = ("visible",)
    source = "people"

    def __init__(self, people: int = 40, known: bool = True, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.items = [
            (int(rng.choice(3, p=[0.6, 0.3, 0.1])), f"p{person}" if known else None)
            for person in range(people)
            for _ in range(int(rng.integers(3, 12)))
        ]
        self.reads = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        label, subject = self.items[index]
        return Sample({"visible": IMAGE}, label, str(index), subject)


class Listed(People):
    @property
    def targets(self) -> tuple[int, ...]:
        return tuple(label for label, _ in self.items)

    @property
    def subjects(self) -> tuple[str | None, ...]:
        return tuple(subject for _, subject in self.items)


class Told(People):
    def label(self, index: int) -> int:
        return self.items[index][0]

    def subject(self, index: int) -> str | None:
        return self.items[index][1]


def people_of(data: People, indices: tuple[int, ...]) -> set[str | None]:
    return {data.items[index][1] for index in indices}


def shares(data: People, indices: tuple[int, ...]) -> np.ndarray:
    counts = Counter(data.items[index][0] for index in indices)
    return np.array([counts[label] for label in range(3)]) / len(indices)


def assert_covers(data: Dataset, split: Split) -> None:
    assert sorted((*split.train, *split.test)) == list(range(len(data)))


@pytest.mark.parametrize("seed", range(5))
def test_holdout_keeps_people_apart_and_classes_in_proportion(seed: int) -> None:
    data = Listed()
    split = holdout(data, share=0.25, seed=seed)
    assert split.by_subject
    assert_covers(data, split)
    assert not people_of(data, split.train) & people_of(data, split.test)
    assert len(split.test) / len(data) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(shares(data, split.test), shares(data, split.train), atol=0.06)


def test_folds_cover_everything_once_and_keep_people_apart() -> None:
    data = Listed()
    splits = k_fold(data, folds=5, seed=3)
    assert sorted(index for split in splits for index in split.test) == list(range(len(data)))
    for split in splits:
        assert_covers(data, split)
        assert not people_of(data, split.train) & people_of(data, split.test)
        assert len(split.test) / len(data) == pytest.approx(0.2, abs=0.03)


def test_the_seed_decides() -> None:
    data = Listed()
    assert holdout(data, share=0.3, seed=1) == holdout(data, share=0.3, seed=1)
    assert holdout(data, share=0.3, seed=1) != holdout(data, share=0.3, seed=2)


def test_unknown_people_fall_back_to_samples_with_a_warning() -> None:
    data = Listed(known=False)
    reporter = Silent()
    split = holdout(data, share=0.2, seed=0, reporter=reporter)
    assert not split.by_subject
    assert_covers(data, split)
    assert "Warning" in reporter.notes[0]
    assert f"{len(data)} of {len(data)} samples" in reporter.notes[0]
    np.testing.assert_allclose(shares(data, split.test), shares(data, split.train), atol=0.01)


def test_one_unknown_person_makes_all_unknown() -> None:
    data = Listed()
    data.items[5] = (0, None)
    reporter = Silent()
    assert not holdout(data, share=0.2, seed=0, reporter=reporter).by_subject
    assert f"1 of {len(data)} samples" in reporter.notes[0]


def test_pixels_are_read_only_where_the_set_cannot_tell() -> None:
    for kind in (Listed, Told):
        data = kind()
        expected = (tuple(label for label, _ in data.items), tuple(subject for _, subject in data.items))
        assert targets_and_subjects(data) == expected
        assert data.reads == 0
    plain = People()
    targets_and_subjects(plain)
    assert plain.reads == len(plain)


def test_every_part_gets_somebody_when_people_are_as_few_as_parts() -> None:
    data = Listed(people=4)
    splits = k_fold(data, folds=4, seed=0)
    assert [len(people_of(data, split.test)) for split in splits] == [1, 1, 1, 1]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        holdout(Listed(), share=share, seed=0)


@pytest.mark.parametrize("folds", [0, 1])
def test_fewer_than_two_folds_are_refused(folds: int) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        k_fold(Listed(), folds=folds, seed=0)


def test_more_folds_than_people_are_refused() -> None:
    with pytest.raises(UsageError, match="3 people, too few for 4 parts"):
        k_fold(Listed(people=3), folds=4, seed=0)


def test_a_subset_is_a_data_set_of_its_samples() -> None:
    data = Listed()
    subset = Subset(data, (7, 3))
    assert [sample.name for sample in (subset[0], subset[1])] == ["7", "3"]
    assert (len(subset), subset.labels, subset.roles, subset.source) == (2, data.labels, data.roles, "people")
    assert targets_and_subjects(subset) == (
        (data.items[7][0], data.items[3][0]),
        (data.items[7][1], data.items[3][1]),
    )
    with pytest.raises(IndexError):
        subset[2]
