"""The synthetic pairs as a data set: determinism, balance, people, bands, and errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from edgefer.errors import UsageError
from edgefer_export.data.dataset import combined_digest, pixel_digest
from edgefer_export.data.synthetic import BASIC_LABELS, VIRI_LABELS, SyntheticPairs

_DIGEST = """
from edgefer_export.data.dataset import combined_digest, pixel_digest
from edgefer_export.data.synthetic import SyntheticPairs
for band in ("lwir", "nir"):
    pairs = SyntheticPairs(40, 11, band)
    print(combined_digest([pixel_digest(pairs[i]) for i in (39, 0, 7, 20)]))
"""


def test_shapes_and_types() -> None:
    sample = SyntheticPairs(4, 1)[2]
    assert sample.images["visible"].shape == (112, 112, 3)
    assert sample.images["infrared"].shape == (112, 112)
    assert {image.dtype for image in sample.images.values()} == {np.dtype(np.uint8)}
    assert sample.subject is not None
    small = SyntheticPairs(4, 1, size=48)[0].images
    assert small["visible"].shape == (48, 48, 3)


def test_item_follows_from_seed_and_index_alone() -> None:
    short, long = SyntheticPairs(12, 5), SyntheticPairs(500, 5)
    backwards = {i: pixel_digest(long[i]) for i in reversed(range(12))}
    assert [pixel_digest(short[i]) for i in range(12)] == [backwards[i] for i in range(12)]
    assert len(set(backwards.values())) == 12


def test_two_processes_draw_the_same() -> None:
    here = []
    for band in ("lwir", "nir"):
        pairs = SyntheticPairs(40, 11, band)
        here.append(combined_digest([pixel_digest(pairs[i]) for i in (39, 0, 7, 20)]))
    done = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True)
    assert done.stdout.split() == here


def test_pickles_for_workers() -> None:
    pairs = SyntheticPairs(20, 3, "nir", BASIC_LABELS, people=2, size=64)
    again = pickle.loads(pickle.dumps(pairs))
    assert pixel_digest(again[13]) == pixel_digest(pairs[13])


@pytest.mark.parametrize("labels", [VIRI_LABELS, BASIC_LABELS])
def test_labels_are_balanced_in_every_block(labels: tuple[str, ...]) -> None:
    block = 2 * len(labels)
    pairs = SyntheticPairs(10 * block, 4, labels=labels)
    targets = [pairs.label(i) for i in range(len(pairs))]
    for start in range(0, len(pairs), block):
        assert set(Counter(targets[start : start + block]).values()) == {2}
    # The order must not be readable from the index.
    assert len({tuple(targets[start : start + block]) for start in range(0, len(pairs), block)}) == 10


def test_label_and_subject_agree_with_the_sample() -> None:
    pairs = SyntheticPairs(30, 8, people=2)
    for i in (0, 11, 29):
        assert (pairs[i].label, pairs[i].subject) == (pairs.label(i), pairs.subject(i))
    assert {pairs.subject(i) for i in range(30)} == {"8-0", "8-1"}


def test_seeds_share_no_people() -> None:
    one, other = SyntheticPairs(200, 1), SyntheticPairs(200, 2)
    people = [{pairs.subject(i) for i in range(200)} for pairs in (one, other)]
    assert len(people[0]) == 20
    assert not people[0] & people[1]


def test_a_person_keeps_the_looks_and_others_differ() -> None:
    from edgefer_export.data.synthetic.identity import draw_identity

    assert draw_identity(1, 3) == draw_identity(1, 3)
    assert len({draw_identity(1, person).skin for person in range(20)}) == 20
    assert draw_identity(2, 3) != draw_identity(1, 3)


def test_sixteen_bits_hold_temperatures() -> None:
    eight, sixteen = SyntheticPairs(6, 9), SyntheticPairs(6, 9, bits=16)
    for i in range(6):
        kelvin = sixteen[i].images["infrared"]
        assert kelvin.dtype == np.uint16
        celsius = kelvin / 100.0 - 273.15
        assert celsius.min() > 8.0
        assert 30.0 < np.median(celsius[40:70, 40:70]) < 38.0
        assert np.array_equal(sixteen[i].images["visible"], eight[i].images["visible"])
        # A monotonic window lies between the two.
        inside = (eight[i].images["infrared"] > 5) & (eight[i].images["infrared"] < 250)
        assert np.corrcoef(celsius[inside], eight[i].images["infrared"][inside])[0, 1] > 0.99


def test_other_infrared_band_leaves_the_visible_scene() -> None:
    long, near = SyntheticPairs(5, 6), SyntheticPairs(5, 6, "nir")
    for i in range(5):
        assert long.conditions(i) == near.conditions(i)
        assert not np.array_equal(long[i].images["infrared"], near[i].images["infrared"])


def test_source_is_what_the_command_line_takes() -> None:
    assert SyntheticPairs(7, 2, "nir").source == "synthetic:7:2:nir"
    assert SyntheticPairs(7, 2).roles == ("visible", "infrared")


def test_index_beyond_the_end() -> None:
    pairs = SyntheticPairs(3, 1)
    assert pixel_digest(pairs[-1]) == pixel_digest(pairs[2])
    with pytest.raises(IndexError):
        pairs[3]


@pytest.mark.parametrize(
    ("arguments", "options", "word"),
    [
        ((0, 1), {}, "0 pairs"),
        ((5, -1), {}, "negative"),
        ((5, 1, "mwir"), {}, "lwir and nir"),
        ((5, 1, "lwir", ("happy", "bored")), {}, "bored"),
        ((5, 1, "lwir", ("happy",)), {}, "happy"),
        ((5, 1, "lwir", ("happy", "happy")), {}, "happy"),
        ((5, 1), {"people": 0}, "0 people"),
        ((5, 1), {"size": 16}, "32 to 512"),
        ((5, 1, "nir"), {"bits": 16}, "nir"),
        ((5, 1), {"bits": 12}, "12-bit"),
    ],
)
def test_errors(arguments: tuple[Any, ...], options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        SyntheticPairs(*arguments, **options)
    assert caught.value.hint
