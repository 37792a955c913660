"""Turning, shifting, erasing; copies made before a training; and the order of an epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from edgefer_export.data.dataset import Sample  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402
from edgefer_export.train.moves import Moves  # noqa: E402
from edgefer_export.train.offline import COPIES, FOLD, OfflineCopies  # noqa: E402
from edgefer_export.train.orders import Orders  # noqa: E402


def moves(**changes: object) -> Moves:
    fields = {
        "rotation": 0.0,
        "padding": 0,
        "moved": 1.0,
        "erasing": 0.0,
        "generator": torch.Generator().manual_seed(1),
    }
    return Moves(**{**fields, **changes})  # type: ignore[arg-type]


def test_shifts_are_those_of_a_padded_crop() -> None:
    image = torch.rand(64, 3, 12, 10)
    shifted = moves(padding=2)({"x": image})["x"]
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
    crops = [padded[:, :, top : top + 12, left : left + 10] for top in range(5) for left in range(5)]
    errors = torch.stack([(crop - shifted).abs().amax((1, 2, 3)) for crop in crops])
    # Bilinear sampling on whole pixels, in float32.
    assert float(errors.min(0).values.max()) < 1e-5
    assert len(set(errors.argmin(0).tolist())) > 10


def test_turning_is_about_the_centre_and_the_same_for_both_cameras() -> None:
    image = torch.rand(1, 1, 9, 9)
    batch = {"v": image.expand(50, 3, -1, -1), "i": image.expand(50, -1, -1, -1)}
    turned = moves(rotation=90.0)(batch)
    assert torch.equal(turned["v"][:, :1], turned["i"])
    assert float((turned["i"][:, 0, 4, 4] - image[0, 0, 4, 4]).abs().max()) < 1e-5
    # One of the angles is near enough to a quarter of a turn for the picture to be recognised.
    sharp = moves(rotation=90.0)
    sharp._uniform = lambda *shape: torch.ones(*shape) * 0.999999  # type: ignore[method-assign]
    sharp._moved = 1.1
    quarter = sharp({"i": image})["i"][0, 0]
    assert min(float((quarter - image[0, 0].rot90(k)).abs().max()) for k in (1, 3)) < 1e-3


def test_some_samples_stay_as_they_are() -> None:
    image = torch.rand(400, 1, 8, 8)
    moved = moves(rotation=20.0, padding=2, moved=0.2)({"x": image})["x"]
    kept = float((moved == image).flatten(1).all(1).float().mean())
    assert 0.72 < kept < 0.88


def test_erasing_paints_one_rectangle_on_half_of_them() -> None:
    image = torch.full((600, 3, 40, 40), 2.0)
    erased = moves(erasing=0.25)({"x": image})["x"]
    painted = erased[:, 0] != 2.0
    share = painted.float().mean((1, 2))
    assert 0.42 < float((share > 0).float().mean()) < 0.58
    assert float(share.max()) < 0.29
    touched = painted[share > 0]
    rows, columns = touched.any(2).sum(1), touched.any(1).sum(1)
    assert torch.equal(rows * columns, touched.sum((1, 2)))
    colours = erased.permute(0, 2, 3, 1)[painted]
    assert torch.allclose(colours, torch.tensor([0.485, 0.456, 0.406]).expand_as(colours))
    grey = moves(erasing=0.25)({"x": image[:, :1]})["x"]
    assert sorted(set(grey.flatten().tolist())) == pytest.approx([0.449, 2.0])


class Pictures:
    """Pairs of one picture, of two people."""

    labels, source, roles = ("a", "b"), "pictures", ("visible", "infrared")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        picture = cv2.GaussianBlur(rng.integers(1, 255, (40, 30), dtype=np.uint8), (0, 0), 3)
        return Sample(
            {"visible": np.stack([picture] * 3, -1), "infrared": picture}, index % 2, f"p{index}", f"s{index}"
        )


def test_offline_copies_are_twenty_six_and_repeat_themselves() -> None:
    copies = OfflineCopies(Pictures(), 7, apart=False)
    assert (FOLD, len(copies)) == (26, 78)
    assert copies.targets == (0,) * 26 + (1,) * 26 + (0,) * 26
    assert copies.subjects[25:27] == ("s0", "s1")
    original = Pictures()[1]
    assert np.array_equal(copies[26].images["infrared"], original.images["infrared"])
    assert copies[26].name == "p1"
    for index in range(27, 52):
        one, again = copies[index], copies[index]
        assert (one.label, one.subject) == (1, "s1")
        assert np.array_equal(one.images["visible"], again.images["visible"])
        assert np.array_equal(one.images["visible"][..., 0], one.images["infrared"]), "both cameras alike"
    names = [copies[index].name.split()[1] for index in range(27, 52)]
    assert [names.count(name) for name in dict.fromkeys(names)] == [COPIES] * 5


def test_the_five_changes_are_what_they_say() -> None:
    copies, original = OfflineCopies(Pictures(), 7, apart=False), Pictures()[0].images["infrared"]
    rotated, zoomed, warped, sheared, mirrored = (copies[1 + COPIES * kind].images["infrared"] for kind in range(5))
    assert np.array_equal(mirrored, original[:, ::-1])
    assert zoomed.shape[0] >= 40
    assert zoomed.shape[0] / zoomed.shape[1] == pytest.approx(4 / 3, rel=0.05)
    assert int((zoomed == 123).sum()) >= zoomed.size - original.size
    for changed in (rotated, warped, sheared):
        assert changed.shape == original.shape
        assert not np.array_equal(changed, original)
        assert changed[0, 0] == 0 or changed[-1, -1] == 0 or changed[0, -1] == 0 or changed[-1, 0] == 0


def test_cameras_apart_no_longer_fit() -> None:
    copies = OfflineCopies(Pictures(), 7, apart=True)
    differing = [
        not np.array_equal(copies[index].images["visible"][..., 0], copies[index].images["infrared"])
        if copies[index].images["visible"].shape[:2] == copies[index].images["infrared"].shape
        else True
        for index in range(1, 21)
    ]
    assert all(differing)
    assert np.array_equal(copies[22].images["visible"][..., 0], copies[22].images["infrared"]), "mirrors are equal"


def test_a_training_takes_the_copies(spec: Callable[..., TrainSpec], squares: type) -> None:
    result = train(spec(data=squares(16), offline="naseem2025", epochs=1, steps=1))
    assert (result.samples, result.count) == (12 * 26, 4)


def test_shuffled_orders_are_permutations() -> None:
    orders = Orders(np.zeros(10, np.int64), 4, 5, sampler="shuffled", samples=None)
    first, second = orders.draw(), orders.draw()
    assert [len(batch) for batch in first] == [4, 4]
    assert len(set(np.concatenate(first).tolist())) == 8
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    longer = Orders(np.zeros(10, np.int64), 5, 5, sampler="shuffled", samples=30).draw()
    assert np.bincount(np.concatenate(longer)).tolist() == [3] * 10


def test_class_cyclic_orders_go_round_the_classes() -> None:
    labels = np.array([0] * 20 + [1] * 3 + [2] * 7)
    orders = Orders(labels, 6, 5, sampler="class-cyclic", samples=60)
    assert orders.batches == 10
    places = np.concatenate(orders.draw())
    assert labels[places].tolist() == [0, 1, 2] * 20
    assert np.bincount(places, minlength=30)[:20].tolist() == [1] * 20
    assert set(np.bincount(places, minlength=30)[20:23].tolist()) <= {6, 7}
