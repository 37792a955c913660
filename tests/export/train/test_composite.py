"""Compositing: what the composed image, the clean face and the mask are to one another, and that chance is held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from edgefer.errors import DataError, InputError, UsageError  # noqa: E402
from edgefer_export.train.composite import PRESETS, Compositor, FolderBackgrounds, textures  # noqa: E402
from edgefer_export.train.composite.compositor import Composite, compose  # noqa: E402
from edgefer_export.train.composite.ranges import CompositeRanges, PhotometricRanges, PoseRanges  # noqa: E402

Pixels = npt.NDArray[np.float32]
STILL = CompositeRanges(PoseRanges(0.0, 0.0, 0.0, scale=0.0, flip=0.0), PhotometricRanges())
POSES = CompositeRanges(PRESETS["2019-04"].pose, PhotometricRanges())


def face(size: int = 64, seed: int = 0, low: float = 0.35, high: float = 0.65) -> Pixels:
    """A smooth picture without black, its colours close to grey so that no change of light leaves the gamut."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(low, high, (4, 4, 1)) + rng.uniform(-0.03, 0.03, (4, 4, 3))
    return np.asarray(cv2.resize(small.astype(np.float32), (size, size)), np.float32)


def flat(level: float) -> object:
    return lambda rng, height, width: np.full((height, width, 3), level, np.float32)


def lightness(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """L of CIE Lab (0..100) of sRGB in 0..1 under D65, from the definition (IEC 61966-2-1, CIE 15)."""
    value = rgb.astype(np.float64)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.212671, 0.715160, 0.072169])
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def composed(seed: int, ranges: CompositeRanges = POSES, **more: object) -> Composite:
    return compose(face(), np.random.default_rng(seed), ranges, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_the_parts_fit_together(seed: int) -> None:
    result = composed(seed, backgrounds=flat(0.8))
    inside = result.mask.astype(bool)
    assert set(np.unique(result.mask)) <= {0, 1}
    assert 0.1 < inside.mean() < 0.9
    assert (result.clean[~inside] == 0).all()
    np.testing.assert_allclose(result.image[~inside], 0.8, atol=1e-6)
    assert result.image.dtype == result.clean.dtype == np.float32
    for image in (result.image, result.clean):
        assert image.min() >= 0.0
        assert image.max() <= 1.0


@pytest.mark.parametrize(("level", "ratio"), [(0.0, 0.5), (0.4, None), (0.55, None), (1.0, 1.5)])
def test_the_image_is_the_clean_face_in_the_light_of_the_background(level: float, ratio: float | None) -> None:
    result = composed(3, backgrounds=flat(level))
    inside = result.mask.astype(bool)
    own, lit = lightness(result.clean[inside]), lightness(result.image[inside])
    if ratio is None:
        ratio = float(lightness(np.full(3, level)) / own.mean())
        assert 0.5 < ratio < 1.5
    # OpenCV's L differs from the definition by up to 0.23, and it goes in twice: by pixel, and by the means.
    np.testing.assert_allclose(lit, np.clip(own * ratio, 10, 90), atol=0.5)


def test_the_lightness_of_a_face_stays_within_its_limits() -> None:
    dark = compose(face(low=0.04, high=0.12), np.random.default_rng(0), STILL, flat(0.0))  # type: ignore[arg-type]
    bright = compose(face(low=0.88, high=0.95), np.random.default_rng(0), STILL, flat(1.0))  # type: ignore[arg-type]
    assert lightness(dark.image[dark.mask.astype(bool)]).min() > 9.7
    assert lightness(bright.image[bright.mask.astype(bool)]).max() < 90.3


def test_the_same_seed_gives_the_same_pixels_and_another_gives_others() -> None:
    once, again, other = composed(5), composed(5), composed(6)
    for name in ("image", "clean", "mask"):
        np.testing.assert_array_equal(getattr(once, name), getattr(again, name))
        assert (getattr(once, name) != getattr(other, name)).any()


def test_a_face_that_stays_still_is_only_made_smaller_by_the_border() -> None:
    picture = face(148)
    result = compose(picture, np.random.default_rng(0), STILL, textures, "non-black")
    expected = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_LINEAR)
    inner = slice(20, -20)
    np.testing.assert_allclose(result.clean[inner, inner], expected[10:-10, 10:-10], atol=0.01)
    # The mask is the 128 pixels less half a square of 7 on every side.
    assert result.mask.sum() == pytest.approx(122**2, rel=0.02)


def test_a_face_that_reaches_out_of_the_picture_keeps_no_edge_there() -> None:
    wide = CompositeRanges(PoseRanges(0.0, 0.0, 0.0, scale=-0.5, flip=0.0), PhotometricRanges())
    for seed in range(20):
        result = compose(face(), np.random.default_rng(seed), wide, textures, "non-black")
        columns, rows = result.mask.any(axis=0), result.mask.any(axis=1)
        # The face is a rectangle around the middle, whatever its size.
        assert result.mask.sum() == columns.sum() * rows.sum()
        assert columns[0] == columns[-1] == rows[0] == rows[-1] == (columns.sum() == 64)


# the batch


def batch(number: int = 5, size: int = 32) -> dict[str, torch.Tensor]:
    faces = np.stack([face(size, seed) for seed in range(number)])
    return {"face": torch.from_numpy(faces).permute(0, 3, 1, 2), "other": torch.arange(float(number))}


def compositor(**more: object) -> Compositor:
    return Compositor("face", generator=torch.Generator().manual_seed(1), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("ranges", PRESETS)
def test_a_batch_has_its_shapes_and_leaves_the_rest_alone(ranges: str) -> None:
    tensors = batch()
    before = tensors["face"].clone()
    changed, targets = compositor(ranges=ranges)(tensors)
    assert set(changed) == {"face", "other"}
    assert changed["other"] is tensors["other"]
    assert torch.equal(tensors["face"], before)
    assert set(targets) == {"clean", "mask"}
    assert changed["face"].shape == targets["clean"].shape == (5, 3, 32, 32)
    assert targets["mask"].shape == (5, 1, 32, 32)
    assert set(targets["mask"].unique().tolist()) == {0.0, 1.0}
    for tensor in (changed["face"], targets["clean"], targets["mask"]):
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        assert float(tensor.min()) >= 0.0
        assert float(tensor.max()) <= 1.0
    assert (targets["clean"] * (1 - targets["mask"]) == 0).all()


def test_a_training_that_is_taken_up_again_goes_on_as_it_would_have() -> None:
    generator = torch.Generator().manual_seed(4)
    run = Compositor("face", generator=generator)
    run(batch())
    state = generator.get_state()
    expected = run.augment(batch(3))
    later = torch.Generator()
    later.set_state(state)
    again = Compositor("face", generator=later).augment(batch(3))
    assert expected.keys() == {"face", "other", "clean", "mask"}
    assert all(torch.equal(expected[name], again[name]) for name in expected)


def test_a_sample_does_not_depend_on_the_others_of_its_batch() -> None:
    whole = compositor().augment(batch(5))
    part = compositor().augment(batch(2))
    for name in ("face", "clean", "mask"):
        assert torch.equal(whole[name][:2], part[name])


def test_grey_has_three_equal_channels_in_image_and_clean_face() -> None:
    changed, targets = compositor(grey=True)(batch())
    coloured, clean = compositor()(batch())
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    for grey, colour in ((changed["face"], coloured["face"]), (targets["clean"], clean["clean"])):
        torch.testing.assert_close(grey, (colour * weights).sum(1, keepdim=True).expand_as(grey))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (None, "not there"),
        (torch.zeros(2, 1, 8, 8), r"of shape \(2, 1, 8, 8\)"),
        (torch.zeros(2, 3), r"of shape \(2, 3\)"),
        (torch.full((2, 3, 8, 8), 255.0), "has 255 to 255"),
        (torch.full((2, 3, 8, 8), -1.0), "has -1 to -1"),
    ],
)
def test_a_batch_without_plain_colour_images_is_refused(tensor: torch.Tensor | None, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        compositor()({} if tensor is None else {"face": tensor})
    assert caught.value.hint


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="'2020' is no form of the compositing; there are 2018, 2019-03"):
        compositor(ranges="2020")
    with pytest.raises(UsageError, match="'round' is no way to find a face"):
        compositor(mask="round")


# backgrounds


def test_a_window_of_a_picture_becomes_the_background(tmp_path: Path) -> None:
    # Blue runs with the column and red with the row, so that a window tells where it is from.
    y, x = np.mgrid[0:128, 0:256]
    picture = np.stack([x // 2, np.full_like(x, 128), 2 * y], axis=2).astype(np.uint8)
    (tmp_path / "deep").mkdir()
    assert cv2.imwrite(str(tmp_path / "deep/a.png"), picture)
    backgrounds = FolderBackgrounds(tmp_path)
    rng = np.random.default_rng(0)
    windows = [backgrounds(rng, 10, 10) for _ in range(50)]
    for window in windows:
        assert window.dtype == np.float32
        assert window[:, :, 1].std() < 1e-6
        # 148/640 of 128 rows are 30, two levels a row.
        assert 255 * np.ptp(window[:, 0, 0]) == pytest.approx(2 * 27, abs=3)
        assert 255 * np.ptp(window[0, :, 2]) == pytest.approx(27 / 2, abs=2)
    assert len({float(window[0, 0, 0]) for window in windows}) > 20


@pytest.mark.parametrize(("dtype", "shape"), [(np.uint8, (9, 40)), (np.uint16, (40, 9, 3)), (np.uint16, (20, 20))])
def test_a_background_may_be_grey_deep_or_small(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.full(shape, np.iinfo(dtype).max // 2, dtype))
    window = FolderBackgrounds(tmp_path)(np.random.default_rng(0), 12, 16)
    assert window.shape == (12, 16, 3)
    np.testing.assert_allclose(window, 0.5, atol=0.01)


def test_a_folder_without_backgrounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder .*nowhere of backgrounds"):
        FolderBackgrounds(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="holds no image for a background") as caught:
        FolderBackgrounds(tmp_path)
    assert caught.value.hint
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(DataError, match="not a readable image"):
        FolderBackgrounds(tmp_path)(np.random.default_rng(0), 8, 8)


def test_textures_are_in_range_and_differ() -> None:
    rng = np.random.default_rng(0)
    made = [textures(rng, 24, 40) for _ in range(20)]
    for image in made:
        assert image.shape == (24, 40, 3)
        assert image.dtype == np.float32
        assert image.min() >= 0.0
        assert image.max() <= 1.0
    assert len({float(image.mean()) for image in made}) == 20
    np.testing.assert_array_equal(textures(np.random.default_rng(0), 24, 40), made[0])
