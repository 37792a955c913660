"""The parts of compositing against their definitions: the pose, the mask, the changes of colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("cv2")
pytest.importorskip("torch")

from edgefer_export.train.composite.light import recoloured
from edgefer_export.train.composite.masks import cleaned, face_mask, side_of_square
from edgefer_export.train.composite.pose import Pose, draw_pose, matrix_of, posed, posed_mask
from edgefer_export.train.composite.ranges import PRESETS, PhotometricRanges

Points = npt.NDArray[np.float64]


def moved_step_by_step(points: Points, pose: Pose, height: int, width: int) -> Points:
    """Points (N, 2) as x, y through one operation after the other."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    points = (points - centre) * (128 / 148) * pose.scale
    if pose.mirrored:
        points = points * (-1, 1)
    cos, sin = np.cos(np.deg2rad(pose.rotation)), np.sin(np.deg2rad(pose.rotation))
    points = np.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], axis=1)
    points = points + centre + np.array(pose.translation) * (width, height)
    # Barycentric coordinates within the corners at top left, bottom left and top right.
    shares = np.stack(
        [1 - points[:, 0] / width - points[:, 1] / height, points[:, 1] / height, points[:, 0] / width], 1
    )
    corners = np.array([[0.0, 0.0], [0.0, height], [width, 0.0]]) + pose.warp * (width, height)
    return shares @ corners


@pytest.mark.parametrize("name", PRESETS)
def test_the_map_of_a_pose_is_its_operations_in_turn(name: str) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 60, (9, 2))
    for _ in range(20):
        pose = draw_pose(rng, PRESETS[name].pose)
        matrix = matrix_of(pose, 60, 50)
        np.testing.assert_allclose(
            points @ matrix[:, :2].T + matrix[:, 2], moved_step_by_step(points, pose, 60, 50), atol=1e-9
        )


@pytest.mark.parametrize("name", PRESETS)
def test_poses_fill_their_ranges_and_do_not_leave_them(name: str) -> None:
    ranges = PRESETS[name].pose
    rng = np.random.default_rng(0)
    poses = [draw_pose(rng, ranges) for _ in range(2000)]
    drawn = {
        "rotation": np.array([[pose.rotation] for pose in poses]) / ranges.rotation,
        "scale": np.array([[pose.scale - 1] for pose in poses]) / ranges.scale,
        "translation": np.array([pose.translation for pose in poses]) / ranges.translation,
        "warp": np.array([pose.warp.ravel() for pose in poses]) / ranges.warp,
    }
    for values in drawn.values():
        assert values.min() >= -1
        assert values.max() <= 1
        # 2000 even draws miss the outermost 1 % on a side with a probability of 4e-5.
        assert (values.max(axis=0) > 0.98).all()
        assert (values.min(axis=0) < -0.98).all()
        # The mean of 2000 even draws has a deviation of 0.013.
        assert np.abs(values.mean(axis=0)).max() < 0.06
    assert sum(pose.mirrored for pose in poses) / 2000 == pytest.approx(0.5, abs=0.05)


def test_the_presets_are_those_of_the_dates() -> None:
    assert {name: (each.pose.rotation, each.pose.translation, each.pose.warp) for name, each in PRESETS.items()} == {
        "2018": (45, 0.3, 0.2),
        "2019-03": (30, 0.2, 0.1),
        "2019-04": (30, 0.2, 0.1),
        "evaluation": (45, 0.3, 0.2),
    }
    assert all((each.pose.scale, each.pose.flip) == (0.2, 0.5) for each in PRESETS.values())
    assert PRESETS["evaluation"].photometric == PhotometricRanges()


def test_image_and_mask_go_the_same_way() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 12:40] = 1
    image = np.repeat(mask[:, :, None], 3, axis=2).astype(np.float32)
    for seed in range(10):
        matrix = matrix_of(draw_pose(np.random.default_rng(seed), PRESETS["2018"].pose), 64, 64)
        there = posed_mask(mask, matrix)
        differs = np.abs(posed(image, matrix)[:, :, 0] - there) > 0.5 + 1e-3
        # Rounding to the nearest pixel moves an edge by half a pixel at most, and the edge has about 100.
        assert differs.mean() < 0.02


# the mask


def reference_cleaned(mask: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Closing, erosion and filling, pixel by pixel, with background around the picture."""

    def window(values: npt.NDArray[np.bool_], least: bool) -> npt.NDArray[np.bool_]:
        views = np.lib.stride_tricks.sliding_window_view(np.pad(values, side // 2), (side, side))
        return views.all(axis=(2, 3)) if least else views.any(axis=(2, 3))

    grown = np.pad(mask.astype(bool), 2 * side)
    result = window(window(window(grown, False), True), True)
    outside = np.zeros_like(result)
    outside[0] = True
    while True:
        spread = outside.copy()
        for axis in (0, 1):
            for step in (1, -1):
                spread |= np.roll(outside, step, axis)
        spread &= ~result
        if (spread == outside).all():
            return (~outside)[2 * side : -2 * side, 2 * side : -2 * side].astype(np.uint8)
        outside = spread


@pytest.mark.parametrize(("size", "side"), [(32, 3), (64, 3), (96, 5), (148, 7), (224, 11)])
def test_the_square_has_seven_pixels_at_148_and_as_many_in_proportion(size: int, side: int) -> None:
    assert side_of_square(size, size + 5) == side


@pytest.mark.parametrize("side", [3, 5, 7])
def test_a_mask_is_closed_made_smaller_and_filled(side: int) -> None:
    size = 80
    rng = np.random.default_rng(side)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    mask = ((x / 0.5) ** 2 + (y / 0.35) ** 2 < 1).astype(np.uint8)
    mask[40:50, 40:50] = 0
    mask[rng.random(mask.shape) < 0.02] = 0
    mask[rng.random(mask.shape) < 0.01] = 1
    result = cleaned(mask, side)
    np.testing.assert_array_equal(result, reference_cleaned(mask, side))
    assert result[45, 45] == 1
    assert result[0, 0] == 0


def test_a_mask_may_be_empty_or_full() -> None:
    assert cleaned(np.zeros((32, 32), np.uint8), 3).sum() == 0
    assert cleaned(np.ones((32, 32), np.uint8), 3).sum() == 30 * 30


def test_a_margin_shows_what_lies_beyond_the_picture() -> None:
    mask = np.ones((20, 30), np.uint8)
    matrix = np.array([[1.0, 0.0, -4.0], [0.0, 1.0, 6.0]])
    wide = posed_mask(mask, matrix, 10)
    assert wide.shape == (40, 50)
    assert wide.sum() == mask.sum()
    np.testing.assert_array_equal(wide[10:30, 10:40], posed_mask(mask, matrix))


def test_what_is_cut_out_is_masked_by_black_and_the_rest_by_an_ellipse() -> None:
    whole = np.full((40, 40, 3), 0.5, np.float32)
    cut = np.zeros_like(whole)
    cut[8:30, 10:28] = 0.4
    assert face_mask(cut).sum() == 22 * 18
    ellipse = face_mask(whole)
    np.testing.assert_array_equal(ellipse, face_mask(cut, "ellipse"))
    assert ellipse.mean() == pytest.approx(np.pi * 0.40 * 0.48, abs=0.02)
    np.testing.assert_array_equal(ellipse, ellipse[::-1, ::-1])
    assert face_mask(whole, "non-black").all()
    # A picture that is dark all over was not cut out, whatever little is lit in it.
    dark = np.zeros_like(whole)
    dark[4:8, 4:30] = 0.4
    np.testing.assert_array_equal(face_mask(dark), ellipse)
    # A face that touches the lower border, with black around it otherwise, is still cut out.
    cut[30:, 12:26] = 0.4
    assert face_mask(cut).sum() == 22 * 18 + 10 * 14


# the colours


def test_no_range_changes_nothing() -> None:
    image = np.random.default_rng(0).random((16, 16, 3), dtype=np.float32)
    np.testing.assert_array_equal(recoloured(image, PhotometricRanges(), np.random.default_rng(1)), image)


@pytest.mark.parametrize(
    "ranges",
    [
        PhotometricRanges(jitter=0.25, jitter_probability=1.0),
        PhotometricRanges(permutation=1.0),
        PhotometricRanges(clahe=1.0),
        PhotometricRanges(blur=1.0),
        PhotometricRanges(reduced=0.75),
    ],
)
def test_each_range_changes_the_image_and_keeps_it_in_range(ranges: PhotometricRanges) -> None:
    image = np.random.default_rng(0).random((32, 32, 3), dtype=np.float32)
    before = image.copy()
    results = [recoloured(image, ranges, np.random.default_rng(seed)) for seed in range(8)]
    np.testing.assert_array_equal(image, before)
    for result in results:
        assert result.shape == image.shape
        assert result.dtype == np.float32
        assert result.min() >= 0.0
        assert result.max() <= 1.0
    assert any((result != image).any() for result in results)


def test_jitter_goes_no_further_than_its_range() -> None:
    image = np.full((8, 8, 3), 0.5, np.float32)
    ranges = PhotometricRanges(jitter=0.25, jitter_probability=1.0)
    levels = [float(recoloured(image, ranges, np.random.default_rng(seed)).mean()) for seed in range(400)]
    # A flat image has no contrast; brightness goes to 0.25 and 0.75, gamma from there.
    assert min(levels) > 0.25**1.25 - 1e-6
    assert max(levels) < 0.75**0.75 + 1e-6
    assert min(levels) < 0.3
    assert max(levels) > 0.7


def test_permutation_keeps_the_values_of_every_pixel() -> None:
    image = np.random.default_rng(0).random((4, 4, 3), dtype=np.float32)
    result = recoloured(image, PhotometricRanges(permutation=1.0), np.random.default_rng(3))
    np.testing.assert_array_equal(np.sort(result, axis=2), np.sort(image, axis=2))
