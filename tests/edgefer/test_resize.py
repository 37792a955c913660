"""The resize rule: what it is exactly, how far it is from the area filter, and that enlarging is bilinear.

References are float64 and written here: each axis is a matrix.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.runtime.resize import HALVE_FROM, THREE_FROM, TWO_FROM, area_bilinear

cv2 = pytest.importorskip("cv2")

# Stated in docs/bundle-format.md, in grey levels of 255, root mean square over an image.
PHOTOGRAPH_BOUND = 3.0
NATURAL_BOUND = 5.0
SWEEP_BOUND = 12.5
# Each of the at most five steps rounds to a whole level, and the means after a step shrink what was rounded before it.
ROUNDING_BOUND = 2.0


def area_matrix(length: int, target: int) -> Any:
    """(target, length): each row the share of every pixel in one target pixel, exactly."""
    scale = length / target
    edges = np.arange(length)
    low, high = np.arange(target)[:, None] * scale, (np.arange(target)[:, None] + 1) * scale
    return np.clip(np.minimum(high, edges + 1) - np.maximum(low, edges), 0, None) / scale


def bilinear_matrix(length: int, target: int) -> Any:
    """(target, length): linear interpolation at half-pixel centres, the border repeated."""
    centres = np.clip((np.arange(target) + 0.5) * length / target - 0.5, 0, length - 1)
    return np.clip(1 - np.abs(centres[:, None] - np.arange(length)), 0, None)


def along(image: Any, down: Any, across: Any) -> Any:
    """Apply one matrix to the rows and one to the columns, in float64."""
    return np.einsum("ij,jk...,lk->il...", down, image.astype(np.float64), across, optimize=True)


def area(image: Any, height: int, width: int) -> Any:
    return along(image, area_matrix(image.shape[0], height), area_matrix(image.shape[1], width))


def rule(image: Any, height: int, width: int) -> Any:
    """The rule of docs/bundle-format.md in float64, without rounding."""
    result = image.astype(np.float64)
    while all(n % 2 == 0 and n >= 3.2 * m for n, m in zip(result.shape[:2], (height, width), strict=True)):
        result = area(result, result.shape[0] // 2, result.shape[1] // 2)
    multiples = []
    for length, target in zip(result.shape[:2], (height, width), strict=True):
        scale = length / target
        multiples.append(1 if scale < 1.25 else 2 if scale < 2.9 else math.floor(scale + 0.5))
    grid = (multiples[0] * height, multiples[1] * width)
    result = along(result, bilinear_matrix(result.shape[0], grid[0]), bilinear_matrix(result.shape[1], grid[1]))
    return area(result, height, width)


def rms(found: Any, expected: Any) -> float:
    return float(np.sqrt(np.mean((found.astype(np.float64) - expected) ** 2)))


def natural(height: int, width: int, seed: int) -> Any:
    """An image whose amplitude falls as 1/f, as photographs' do, with a few hard edges; uint8."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    phase = generator.uniform(0, 2 * np.pi, frequency.shape)
    image = np.fft.irfft2(np.exp(1j * phase) / frequency, (height, width))
    image = 128 + 45 * image / image.std()
    for _ in range(6):
        y, x = generator.integers(0, height), generator.integers(0, width)
        image[y : y + height // 5, x : x + width // 5] += generator.uniform(-60, 60)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def sweep(height: int, width: int) -> Any:
    """A chirp along the diagonal from constant to the finest grating that pixels can hold, at full contrast."""
    y, x = np.mgrid[0:height, 0:width]
    return np.rint(127.5 + 127.5 * np.cos(np.pi * (x**2 / (2 * width) + y**2 / (2 * height)))).astype(np.uint8)


SIZES = [(480, 480), (480, 640), (300, 280), (517, 500), (721, 1279), (720, 1280), (1080, 1920), (233, 231), (640, 90)]
SCALES = [1.04, 1.2, 1.24, 1.26, 1.33, 1.5, 1.71, 2.0, 2.18, 2.5, 2.89, 3.0, 3.19, 3.21, 3.43, 4.0, 4.8, 6.38, 6.42, 12]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [natural, lambda h, w, _: sweep(h, w)], ids=["natural", "sweep"])
def test_it_is_the_rule_up_to_rounding(size: tuple[int, int], kind: Callable[..., Any]) -> None:
    image = kind(*size, 3)
    found = area_bilinear(image, 224, 224)
    assert found.shape == (224, 224)
    assert found.dtype == np.uint8
    assert np.abs(found - rule(image, 224, 224)).max() <= ROUNDING_BOUND
    deep = area_bilinear(image.astype(np.uint16) * 257, 224, 224)
    assert np.abs(deep - rule(image.astype(np.uint16) * 257, 224, 224)).max() <= ROUNDING_BOUND


def test_the_constants_are_those_of_the_document() -> None:
    assert (HALVE_FROM, TWO_FROM, THREE_FROM) == (3.2, 1.25, 2.9)


@pytest.mark.parametrize("scale", SCALES)
def test_its_error_against_the_area_filter_is_bounded(scale: float) -> None:
    target = round(480 / scale)
    plain = []
    for bound, images in (
        (NATURAL_BOUND, [natural(480, 480, seed) for seed in (1, 2)]),
        (SWEEP_BOUND, [sweep(480, 480)]),
    ):
        for image in images:
            expected = area(image, target, target)
            assert rms(area_bilinear(image, target, target), expected) <= bound
            plain.append(rms(cv2.resize(image, (target, target), interpolation=cv2.INTER_LINEAR), expected) / bound)
    # What the rule is for: bilinear interpolation alone is far over the bound once an axis shrinks to less than half.
    if scale > 2.1:
        assert max(plain) > 3


def test_where_the_pixels_lie_on_the_grid_it_is_the_area_filter_itself() -> None:
    image = natural(480, 640, 5)
    for height, width in ((240, 320), (160, 160), (120, 320), (120, 160), (480, 320), (480, 128), (60, 80)):
        assert np.abs(area_bilinear(image, height, width) - area(image, height, width)).max() <= ROUNDING_BOUND


@pytest.mark.parametrize("size", [(300, 224), (224, 300), (225, 777), (480, 640), (1, 1)])
def test_enlarging_is_bilinear_with_half_pixel_centres(size: tuple[int, int]) -> None:
    image = natural(200, 210, 4)[:224, :224]
    height, width = max(size[0], 200), max(size[1], 210)
    found = area_bilinear(image, height, width)
    np.testing.assert_array_equal(found, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    expected = along(image, bilinear_matrix(200, height), bilinear_matrix(210, width))
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    ("size", "target"), [((100, 900), (224, 224)), ((900, 100), (224, 300)), ((30, 4000), (64, 64))]
)
def test_one_axis_may_shrink_while_the_other_grows(size: tuple[int, int], target: tuple[int, int]) -> None:
    image = natural(*size, 8)
    matrices = [
        (area_matrix if length > wanted else bilinear_matrix)(length, wanted)
        for length, wanted in zip(size, target, strict=True)
    ]
    assert rms(area_bilinear(image, *target), along(image, *matrices)) <= PHOTOGRAPH_BOUND


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    target=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    level=st.integers(0, 65535),
    channels=st.sampled_from([1, 3]),
)
def test_a_flat_image_stays_flat_and_no_value_leaves_the_range(
    height: int, width: int, target: tuple[int, int], level: int, channels: int
) -> None:
    shape = (height, width) if channels == 1 else (height, width, 3)
    for dtype, value in ((np.uint8, level % 256), (np.uint16, level)):
        found = area_bilinear(np.full(shape, value, dtype), *target)
        assert found.shape == (*target, *shape[2:])
        # OpenCV adds 16-bit values up in float32, where each of the pixels of a mean may cost half a unit in the last
        # place of the sum: a count or two where thousands become one.
        pixels = max(1, height / target[0]) * max(1, width / target[1])
        slack = 0 if dtype == np.uint8 else 1 + math.ceil(value * pixels * 2**-24)
        assert np.abs(found.astype(int) - value).max() <= slack
        noise = np.random.default_rng(level).integers(100, 120, shape).astype(dtype)
        found = area_bilinear(noise, *target)
        assert found.min() >= 100 - slack
        assert found.max() <= 119 + slack


def test_a_mirrored_image_gives_a_mirrored_result() -> None:
    image = natural(517, 703, 6)
    found, mirrored = area_bilinear(image, 224, 224), area_bilinear(image[::-1, ::-1].copy(), 224, 224)[::-1, ::-1]
    assert np.abs(found.astype(int) - mirrored).max() <= 1


def test_channels_are_resized_alike() -> None:
    image = np.stack([natural(480, 640, seed) for seed in range(3)], axis=-1)
    found = area_bilinear(image, 224, 224)
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], area_bilinear(image[..., channel].copy(), 224, 224))


def test_an_image_of_the_right_size_is_returned_as_it_is() -> None:
    image = natural(64, 48, 1)
    assert area_bilinear(image, 64, 48) is image


def photographs() -> Iterator[Path]:
    folder = os.environ.get("EDGEFER_TEST_DATA")
    if folder:
        for pattern in ("london_faces/*/*.jpg", "tno_pairs/*/*.png"):
            yield from sorted(Path(folder).glob(pattern))


@pytest.mark.skipif(not os.environ.get("EDGEFER_TEST_DATA"), reason="EDGEFER_TEST_DATA is not set")
def test_photographs_are_within_the_bound() -> None:
    paths = list(photographs())
    assert paths
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint8
        image = np.ascontiguousarray(image[..., :3] if image.ndim == 3 else image)
        for side in (224, 96):
            matrices = [(area_matrix if n > side else bilinear_matrix)(n, side) for n in image.shape[:2]]
            assert rms(area_bilinear(image, side, side), along(image, *matrices)) <= PHOTOGRAPH_BOUND, (path, side)
