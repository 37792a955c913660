"""The parts of a training one by one: schedule, augmentation, sample cache."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

import torch

from edgefer.progress import Silent
from edgefer.runtime.preprocess import Preprocessor
from edgefer_export.data.synthetic import SyntheticPairs
from edgefer_export.networks import registry
from edgefer_export.train import cache as cache_module
from edgefer_export.train import schedule as schedule_module
from edgefer_export.train.augment import Augmentation
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.schedule import WARM_UP, Schedule, rate


class Clock:
    """Stands in for `time`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedule_module, "time", clock)
    return clock


def test_rate_rises_and_falls() -> None:
    values = [rate(share) for share in np.linspace(0, 1, 101)]
    top = round(100 * WARM_UP)
    assert values[top] == pytest.approx(1.0)
    steps = np.diff(values)
    assert (steps[:top] > 0).all()
    assert (steps[top:] < 0).all()
    assert values[0] == pytest.approx(0.04)
    assert values[-1] == pytest.approx(0.001)


def test_progress_ignores_the_clock_while_the_pace_suffices(clock: Clock) -> None:
    schedule = Schedule(100, deadline=clock.now + 60)
    for done in range(101):
        assert schedule.progress(done) == pytest.approx(done / 100)
        clock.now += 0.5 if done else 3.0


def test_progress_follows_the_clock_when_time_runs_short(clock: Clock) -> None:
    schedule = Schedule(1000, deadline=clock.now + 60)
    shares = []
    for done in range(61):
        shares.append(schedule.progress(done))
        clock.now += 1.0
    assert shares[19] == pytest.approx(0.019), "the first steps are not judged"
    assert shares[30] == pytest.approx(0.5)
    assert shares[60] == 1.0
    assert shares == sorted(shares)


def test_progress_without_a_deadline_does_not_look_at_the_clock(clock: Clock) -> None:
    schedule = Schedule(10)
    clock.now += 1e9
    assert schedule.progress(5) == 0.5


def _augmentation(**changes: object) -> Augmentation:
    fields = {
        "flip": True,
        "crop": 0.1,
        "missing": 0.0,
        "cameras": (),
        "mask": None,
        "generator": torch.Generator().manual_seed(1),
    }
    return Augmentation(**{**fields, **changes})  # type: ignore[arg-type]


def test_modalities_are_moved_alike() -> None:
    picture = torch.rand(16, 1, 20, 20)
    tensors = {"visible": picture.expand(-1, 3, -1, -1), "infrared": picture}
    moved = _augmentation()(tensors)
    assert torch.equal(moved["visible"][:, :1], moved["infrared"])
    assert not torch.equal(moved["infrared"], picture)
    assert moved["visible"].shape == tensors["visible"].shape
    assert moved["visible"].is_contiguous(memory_format=torch.channels_last)


def test_flip_mirrors_about_half() -> None:
    picture = torch.rand(400, 1, 4, 4)
    moved = _augmentation(crop=0.0)({"visible": picture})["visible"]
    mirrored = (moved == picture.flip(3)).flatten(1).all(1)
    kept = (moved == picture).flatten(1).all(1)
    assert bool((mirrored | kept).all())
    assert 140 < int(mirrored.sum()) < 260


def test_missing_cameras_are_black_and_said_to_be_missing() -> None:
    tensors = {"v": torch.ones(1000, 3, 4, 4), "i": torch.ones(1000, 1, 4, 4), "present": torch.ones(1000, 2)}
    changed = _augmentation(flip=False, crop=0.0, missing=0.2, cameras=("v", "i"), mask="present")(tensors)
    mask = changed["present"]
    assert bool((mask.sum(1) >= 1).all()), "never both"
    for column in (0, 1):
        assert 0.15 < 1 - float(mask[:, column].mean()) < 0.25
    assert torch.equal(changed["v"].amax((1, 2, 3)), mask[:, 0])
    assert torch.equal(changed["i"].amax((1, 2, 3)), mask[:, 1])
    assert bool((tensors["present"] == 1).all()), "the given batch stays"


def test_a_network_without_a_mask_sees_black_pictures() -> None:
    tensors = {"v": torch.ones(200, 3, 4, 4), "i": torch.ones(200, 1, 4, 4)}
    changed = _augmentation(flip=False, crop=0.0, missing=0.3, cameras=("v", "i"))(tensors)
    black = torch.stack([changed[name].amax((1, 2, 3)) == 0 for name in "vi"], 1)
    assert 0.5 < float(black.any(1).float().mean()) < 0.7
    assert not bool(black.all(1).any())
    assert changed.keys() == tensors.keys()


def test_cache_gives_what_the_runtime_gives() -> None:
    pairs = SyntheticPairs(5, 3)
    network = registry.create("viri-fusion", {"width": "0.125", "size": "48"})
    cache = SampleCache(pairs, network.inputs, Silent(), "")
    ((tensors, labels),) = cache.batches([np.array([4, 0, 2])])
    assert labels.tolist() == [pairs.label(4), pairs.label(0), pairs.label(2)]
    for spec in network.inputs:
        expected = Preprocessor(spec)(pairs[0].images[spec.role])
        assert np.array_equal(tensors[spec.name][1].numpy(), expected[0])


def test_cache_beyond_its_memory_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = SyntheticPairs(6, 3)
    inputs = registry.create("viri-visible", {"width": "0.125", "size": "32"}).inputs
    whole = SampleCache(pairs, inputs, Silent(), "")
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", 2 * 32 * 32 * 3)
    part = SampleCache(pairs, inputs, Silent(), "")
    order = [np.array([0, 5, 3])]
    (one,), (other,) = (list(cache.batches(order)) for cache in (whole, part))
    assert torch.equal(one[0]["visible"], other[0]["visible"])


def test_cache_stops_when_the_reader_does() -> None:
    pairs = SyntheticPairs(4, 3)
    inputs = registry.create("viri-visible", {"width": "0.125", "size": "32"}).inputs
    cache = SampleCache(pairs, inputs, Silent(), "")
    batches = cache.batches([np.array([0]), np.array([1]), np.array([2])])
    next(batches)
    batches.close()
    assert list(cache.batches([])) == []
