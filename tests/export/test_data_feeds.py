"""Feeds: the tensors of each sample in order, digests without a second decoding, flat memory, named errors."""

from __future__ import annotations

import threading
import time
import weakref

import numpy as np
import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import DataError, InputError
from edgefer.runtime.preprocess import Preprocessor
from edgefer_export.data.dataset import Sample, combined_digest, pixel_digest, samples
from edgefer_export.data.feeds import Feeds
from edgefer_export.data.overlap import check_disjoint

pytest.importorskip("cv2")

VISIBLE = InputSpec(name="rgb", role="visible", shape=(1, 3, 16, 20), image=ImageSpec(colour="rgb"))
INFRARED = InputSpec(name="ir", role="infrared", shape=(1, 1, 16, 20), image=ImageSpec(colour="grey", band="lwir"))
PRESENT = InputSpec(name="mask", role="present", shape=(1, 2))


class Pairs:
    """Random pairs that count how often they are read; `slow` makes early items late."""

    labels = ("happy", "sad")
    roles: tuple[str, ...] = ("visible", "infrared")
    source = "pairs"

    def __init__(self, count: int = 11, seed: int = 0, slow: bool = False) -> None:
        self.count, self.seed, self.slow = count, seed, slow
        self.reads = 0
        self.alive = self.most_alive = 0
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if self.slow:
            time.sleep(0.02 * (index % 3 == 0))
        rng = np.random.default_rng((self.seed, index))
        visible = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        infrared = rng.integers(0, 65536, (24, 32), dtype=np.uint16)
        with self._lock:
            self.reads += 1
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
            weakref.finalize(visible, self._gone)
        return Sample({"visible": visible, "infrared": infrared}, index % 2, f"item{index}")

    def _gone(self) -> None:
        with self._lock:
            self.alive -= 1


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_tensors_come_in_order_and_as_the_preprocessor_makes_them(workers: int) -> None:
    data = Pairs(slow=True)
    given = list(Feeds(data, (VISIBLE, INFRARED, PRESENT), workers=workers))
    assert len(given) == 11
    for index, tensors in enumerate(given):
        sample = data[index]
        assert list(tensors) == ["rgb", "ir", "mask"]
        np.testing.assert_array_equal(tensors["rgb"], Preprocessor(VISIBLE)(sample.images["visible"]))
        np.testing.assert_array_equal(tensors["ir"], Preprocessor(INFRARED)(sample.images["infrared"]))
        np.testing.assert_array_equal(tensors["mask"], np.ones((1, 2), np.float32))
        assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}


def test_they_can_be_iterated_and_called_again() -> None:
    feeds = Feeds(Pairs(), (VISIBLE,))
    first, second, third = list(feeds), list(feeds), list(feeds())
    for a, b, c in zip(first, second, third, strict=True):
        np.testing.assert_array_equal(a["rgb"], b["rgb"])
        np.testing.assert_array_equal(a["rgb"], c["rgb"])


def test_digests_cost_no_second_reading() -> None:
    data = Pairs()
    feeds = Feeds(data, (VISIBLE, INFRARED))
    assert len(list(feeds)) == len(feeds) == 11
    records = feeds.records
    assert data.reads == 11
    expected = [pixel_digest(sample) for sample in samples(data)]
    assert [record.digest for record in records] == expected
    assert [record.name for record in records] == [f"item{index}" for index in range(11)]
    assert [record.label for record in records] == [index % 2 for index in range(11)]
    assert feeds.digest == combined_digest(expected)


def test_records_of_a_pass_cut_short_are_not_kept() -> None:
    data = Pairs()
    feeds = Feeds(data, (VISIBLE,))
    stopped = feeds.examples()
    next(stopped)
    stopped.close()
    assert len(feeds.records) == 11


def test_a_pass_cut_short_ends_its_threads() -> None:
    feeds = Feeds(Pairs(count=200), (VISIBLE,), workers=2)
    stopped = feeds.examples()
    next(stopped)
    stopped.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgefer-feeds")]


def test_few_samples_are_in_memory_at_a_time() -> None:
    data = Pairs(count=120)
    for _ in Feeds(data, (VISIBLE,), workers=2):
        pass
    assert data.most_alive <= 10


def test_a_missing_role_is_named() -> None:
    class VisibleOnly(Pairs):
        roles = ("visible",)

    with pytest.raises(InputError, match="Input `ir` takes infrared images, but pairs has only visible ones") as caught:
        Feeds(VisibleOnly(), (VISIBLE, INFRARED))
    assert caught.value.hint


def test_an_input_without_a_rule_is_named() -> None:
    with pytest.raises(InputError, match="Input `x` does not say how an image becomes it"):
        Feeds(Pairs(), (InputSpec(name="x", role="visible", shape=(1, 3, 16, 20)),))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_used_is_named(workers: int) -> None:
    class Broken(Pairs):
        def __getitem__(self, index: int) -> Sample:
            if index == 4:
                return Sample({"visible": np.zeros((4, 4, 3), np.float32)}, 0, "odd one")  # type: ignore[dict-item]
            return super().__getitem__(index)

    with pytest.raises(InputError, match="odd one of pairs"):
        list(Feeds(Broken(), (VISIBLE,), workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_stops_the_pass(workers: int) -> None:
    class Broken(Pairs):
        def __getitem__(self, index: int) -> Sample:
            if index == 7:
                raise DataError("bad.png is not a readable image")
            return super().__getitem__(index)

    given = []
    with pytest.raises(DataError, match=r"bad\.png"):
        given.extend(Feeds(Broken(), (VISIBLE,), workers=workers))


def test_a_shared_image_is_found_whatever_its_name_or_partner() -> None:
    class Mixed(Pairs):
        def __getitem__(self, index: int) -> Sample:
            own = super().__getitem__(index)
            if index % 2:
                return own
            other = Pairs(seed=5)[index]
            # The visible picture of the other set under another name and with another partner.
            return Sample({"visible": other.images["visible"], "infrared": own.images["infrared"]}, 0, f"copy{index}")

    calibration = Feeds(Pairs(seed=5, count=30), (VISIBLE,)).records
    check_disjoint(calibration, Feeds(Pairs(seed=6, count=30), (VISIBLE,)).records)
    with pytest.raises(DataError, match=r"15 samples of the evaluation data are also .* \(30 samples\)") as caught:
        check_disjoint(calibration, Feeds(Mixed(seed=6, count=30), (VISIBLE,)).records)
    assert "copy0 (calibration: item0)" in caught.value.details
    assert caught.value.details.count("copy") == 10
    assert "and 5 more" in caught.value.details


def test_frames_of_a_covered_camera_are_nobodys() -> None:
    class Covered(Pairs):
        def __getitem__(self, index: int) -> Sample:
            own = super().__getitem__(index)
            return Sample({**own.images, "infrared": np.zeros((24, 32), np.uint16)}, own.label, own.name)

    first, second = (Feeds(Covered(seed=seed), (VISIBLE,)).records for seed in (1, 2))
    check_disjoint(first, second)
    with pytest.raises(DataError, match="11 samples"):
        check_disjoint(first, first)


def test_a_single_shared_sample_reads_as_one() -> None:
    records = Feeds(Pairs(count=1), (VISIBLE,)).records
    with pytest.raises(DataError, match="1 sample of the evaluation data is also"):
        check_disjoint(records, records)
