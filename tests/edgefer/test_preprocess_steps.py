"""Crop, fit, resize rules, grey and equalisation, each against plain NumPy in float64."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.bundle.image_faults import image_faults
from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import InputError
from edgefer.runtime.geometry import Geometry
from edgefer.runtime.preprocess import Preprocessor
from edgefer.runtime.resize_rules import resized

cv2 = pytest.importorskip("cv2")

TYPES = [np.uint8, np.uint16]
SHAPES = [(37, 53), (53, 37, 3), (21, 97, 3), (64, 64)]


def spec(channels: int = 3, size: tuple[int, int] = (24, 31), **image: Any) -> InputSpec:
    image = {"colour": "rgb" if channels == 3 else "grey", **image}
    return InputSpec(name="frame", role="visible", shape=(1, channels, *size), image=ImageSpec(**image))


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def smooth(*shape: int, dtype: Any = np.uint8) -> Any:
    """A picture with few levels in most places: what equalisation is for."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    planes = [0.3 + 0.2 * np.sin(y / (5 + k)) * np.cos(x / (7 - k)) for k in range(3 if len(shape) == 3 else 1)]
    return (np.stack(planes, -1).reshape(shape) * np.iinfo(dtype).max).astype(dtype)


def tensor_of(image: Any, channels: int, **fields: Any) -> Any:
    """The tensor (C, H, W) of an RGB image with range 0..1, scaled to levels of its type."""
    height, width = fields.pop("size", (24, 31))
    made = Preprocessor(spec(channels, (height, width), **fields))(image, colour="rgb")
    return made[0] * float(np.iinfo(image.dtype).max)


def channels_first(image: Any, channels: int) -> Any:
    return np.repeat(image[None], channels, 0) if image.ndim == 2 else image.transpose(2, 0, 1)


# --- resize rules, straight from their definitions -----------------------------------------------------------


def interpolated(image: Any, size: tuple[int, int], taps: Any) -> Any:
    """Separable interpolation with half-pixel centres and the border repeated; `taps(t)` weighs neighbours."""
    values = image.astype(np.float64)
    for axis, target in enumerate(size):
        source = image.shape[axis]
        place = (np.arange(target) + 0.5) * source / target - 0.5
        first = np.floor(place).astype(int)
        offsets, weights = taps(place - first)
        parts = [
            np.take(values, np.clip(first + offset, 0, source - 1), axis)
            * np.expand_dims(weight, tuple(k for k in range(values.ndim) if k != axis))
            for offset, weight in zip(offsets, weights, strict=True)
        ]
        values = np.sum(parts, axis=0)
    return values


def linear(t: Any) -> Any:
    return (0, 1), (1 - t, t)


def cubic(t: Any) -> Any:
    a = -0.75

    def kernel(x: Any) -> Any:
        x = np.abs(x)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        return np.where(x <= 1, near, far)

    return (-1, 0, 1, 2), tuple(kernel(t - offset) for offset in (-1, 0, 1, 2))


def area(image: Any, size: tuple[int, int]) -> Any:
    values = image.astype(np.float64)
    for axis, target in enumerate(size):
        source = image.shape[axis]
        edges = np.arange(target + 1) * source / target
        cover = np.clip(
            np.minimum(edges[1:, None], np.arange(1, source + 1)) - np.maximum(edges[:-1, None], np.arange(source)),
            0,
            1,
        )
        values = np.moveaxis(np.tensordot(cover / cover.sum(1, keepdims=True), values, (1, axis)), 0, axis)
    return values


def reference(image: Any, size: tuple[int, int], rule: str) -> Any:
    top = np.iinfo(image.dtype).max
    if rule == "nearest":
        rows, columns = (np.arange(m) * n // m for n, m in zip(image.shape, size, strict=False))
        return image[rows][:, columns].astype(np.float64)
    if rule == "area" and all(n >= m for n, m in zip(image.shape, size, strict=False)):
        return area(image, size)
    return np.clip(interpolated(image, size, cubic if rule == "bicubic" else linear), 0, top)


@pytest.mark.parametrize("rule", ["bilinear", "area", "nearest", "bicubic"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (11, 13), (13, 97, 3), (1, 1), (1, 9), (48, 62)])
def test_resize_rules_are_what_they_say(rule: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    image = noise(*shape, dtype=dtype)
    found = resized(image, 24, 31, rule)
    assert (found.shape[:2], found.dtype) == ((24, 31), dtype)
    # OpenCV interpolates 8 bits with weights of 11 bits.
    assert np.abs(found - reference(image, (24, 31), rule)).max() <= {"nearest": 0, "bicubic": 2}.get(rule, 1)


@pytest.mark.parametrize("rule", ["area-bilinear", "bilinear", "area", "nearest", "bicubic"])
def test_an_image_of_the_right_size_is_not_touched(rule: Any) -> None:
    image = noise(24, 31, 3)
    assert resized(image, 24, 31, rule) is image


# --- crop and fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_is_a_box_of_the_image(dtype: Any, shape: tuple[int, ...], channels: int) -> None:
    image = noise(*shape, dtype=dtype)
    height, width = shape[:2]
    crop = (0.1, 0.25, 0.62, 0.9)
    left, right = (math.floor(share * width + 0.5) for share in (crop[0], crop[2]))
    top, bottom = (math.floor(share * height + 0.5) for share in (crop[1], crop[3]))
    part = np.ascontiguousarray(image[top:bottom, left:right])
    np.testing.assert_array_equal(tensor_of(image, channels, crop=crop), tensor_of(part, channels))


@pytest.mark.parametrize(
    ("crop", "box"),
    [((0, 0, 1, 1), (0, 0, 7, 5)), ((0.5, 0.5, 0.51, 0.51), (4, 3, 5, 4)), ((0.99, 0.99, 1, 1), (6, 4, 7, 5))],
)
def test_a_crop_holds_a_pixel_at_least(crop: Any, box: Any) -> None:
    geometry = Geometry(ImageSpec(colour="rgb", crop=crop), 8, 8)
    assert geometry.box(5, 7) == box


@pytest.mark.parametrize(
    ("size", "keep", "image", "box"),
    [
        ((224, 224), 1.0, (480, 640), (80, 0, 560, 480)),
        ((224, 224), 0.875, (256, 256), (16, 16, 240, 240)),
        ((224, 224), 0.875, (480, 640), (110, 30, 530, 450)),
        ((240, 320), 1.0, (480, 640), (0, 0, 640, 480)),
        ((240, 320), 1.0, (640, 480), (0, 140, 480, 500)),
        ((8, 8), 0.01, (5, 7), (3, 2, 4, 3)),
    ],
)
def test_a_centred_crop_has_the_aspect_of_the_input(size: Any, keep: float, image: Any, box: Any) -> None:
    geometry = Geometry(ImageSpec(colour="rgb", fit="centre-crop", keep=keep), *size)
    assert geometry.box(*image) == box
    assert geometry.size(*image) == size


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_centred_crop_is_that_box_resized(dtype: Any, shape: tuple[int, ...]) -> None:
    image = noise(*shape, dtype=dtype)
    height, width = shape[:2]
    scale = 0.8 * min(width / 31, height / 24)
    across, down = math.floor(31 * scale + 0.5), math.floor(24 * scale + 0.5)
    left, top = (width - across) // 2, (height - down) // 2
    part = np.ascontiguousarray(image[top : top + down, left : left + across])
    np.testing.assert_array_equal(tensor_of(image, 3, fit="centre-crop", keep=0.8), tensor_of(part, 3))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (10, 300), (300, 10), (300, 1, 3), (48, 62)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("align", ["centre", "top-left"])
def test_a_letterbox_keeps_the_aspect_and_has_bars(
    dtype: Any, shape: tuple[int, ...], channels: int, align: Any
) -> None:
    image = noise(*shape, dtype=dtype)
    pad = (114, 7, 200)[:channels]
    numbers = {"mean": (0.4, 0.5, 0.6)[:channels], "std": (0.2, 0.3, 0.1)[:channels]}
    found = Preprocessor(spec(channels, fit="letterbox", pad=pad, align=align, **numbers))(image, colour="rgb")[0]
    scale = min(24 / shape[0], 31 / shape[1])
    height, width = (max(1, math.floor(length * scale + 0.5)) for length in shape[:2])
    top, left = ((24 - height) // 2, (31 - width) // 2) if align == "centre" else (0, 0)
    bars = (np.array(pad) / 255 - numbers["mean"]) / numbers["std"]
    expected = np.broadcast_to(bars[:, None, None], (channels, 24, 31)).astype(np.float32)
    inner = Preprocessor(spec(channels, (height, width), **numbers))(image, colour="rgb")[0]
    expected[:, top : top + height, left : left + width] = inner
    np.testing.assert_array_equal(found, expected)
    out = np.full((1, channels, 24, 31), np.nan, np.float32)
    again = Preprocessor(spec(channels, fit="letterbox", pad=pad, align=align, **numbers))(image, colour="rgb", out=out)
    assert again is out
    np.testing.assert_array_equal(out[0], expected)


def test_one_pad_is_for_all_channels_and_nothing_is_padded_where_nothing_is_missing() -> None:
    image = noise(10, 31, 3)
    one, three = (tensor_of(image, 3, fit="letterbox", pad=pad) for pad in ((114,), (114, 114, 114)))
    np.testing.assert_array_equal(one, three)
    assert np.allclose(one[:, 0], 114)
    same = noise(48, 62, 3)
    np.testing.assert_array_equal(tensor_of(same, 3, fit="letterbox", pad=(255,)), tensor_of(same, 3))


# --- grey and equalisation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("grey", "weights"),
    [("bt601", (0.299, 0.587, 0.114)), ("bt709", (0.2126, 0.7152, 0.0722)), ("average", (1 / 3, 1 / 3, 1 / 3))],
)
def test_grey_is_the_weighted_sum(dtype: Any, channels: int, grey: Any, weights: Any) -> None:
    image = noise(24, 31, 3, dtype=dtype)
    expected = image @ np.array(weights)
    wanted = spec(channels, colour="grey", grey=grey)
    for order, pixels in (("rgb", image), ("bgr", np.ascontiguousarray(image[..., ::-1]))):
        found = Preprocessor(wanted)(pixels, colour=order)[0] * np.iinfo(dtype).max
        assert np.abs(found - expected).max() <= 2


def spread(plane: Any, levels: int) -> Any:
    """Each level becomes the share of pixels up to it, without those of the lowest."""
    counts = np.bincount(plane.reshape(-1), minlength=levels)
    lowest = counts[plane.min()]
    return (np.cumsum(counts) - lowest)[plane] / (plane.size - lowest) * (levels - 1)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_image_is_spread_by_its_histogram(dtype: Any, channels: int) -> None:
    image = smooth(24, 31, dtype=dtype)
    found = tensor_of(image, channels, equalise="histogram")
    expected = spread(image, np.iinfo(dtype).max + 1)
    assert np.abs(found - expected).max() <= 0.51
    assert (found.min(), found.max()) == (0, pytest.approx(np.iinfo(dtype).max))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_of_a_colour_image_the_luma_is_spread(dtype: Any, order: Any, colour: Any) -> None:
    image = smooth(24, 31, 3, dtype=dtype)
    top = np.iinfo(dtype).max
    luma = image @ np.array([0.299, 0.587, 0.114])
    expected = np.clip(image + (spread(np.rint(luma).astype(int), top + 1) - luma)[..., None], 0, top)
    given_image = image if order == "rgb" else np.ascontiguousarray(image[..., ::-1])
    found = Preprocessor(spec(colour=colour, equalise="histogram"))(given_image, colour=order)[0] * top
    planes = expected.transpose(2, 0, 1)[:: 1 if colour == "rgb" else -1]
    # Y, Cr and Cb are whole levels, and so may the rank of a pixel be another one's.
    assert np.abs(found - planes).mean() <= (2 if dtype == np.uint8 else 200)
    assert np.abs(found.mean(0) - planes.mean(0)).max() <= 0.05 * top


@pytest.mark.parametrize("channels", [1, 3])
def test_one_level_stays_as_it_is(channels: int) -> None:
    for dtype in TYPES:
        image = np.full((24, 31), 77, dtype)
        assert np.allclose(tensor_of(image, channels, equalise="histogram"), 77)


def test_16_bits_are_cut_to_the_window_before_they_are_spread() -> None:
    image = noise(24, 31, dtype=np.uint16)
    window = (20000, 30000)
    clipped = np.clip(image, *window).astype(np.int64) - 20000
    found = tensor_of(image, 1, equalise="histogram", window16=window)[0]
    ranks = (np.round(clipped * 65535 / 10000)).astype(int)
    assert np.abs(found - spread(ranks, 65536)).max() <= 1


def clahe(plane: Any, limit: float, tiles: tuple[int, int]) -> Any:
    """Contrast-limited equalisation of tiles that divide the plane, between whose tables is interpolated."""
    across, down = tiles
    height, width = plane.shape[0] // down, plane.shape[1] // across
    most = max(int(limit * height * width / 256), 1)
    tables = np.empty((down, across, 256))
    for row in range(down):
        for column in range(across):
            part = plane[row * height : (row + 1) * height, column * width : (column + 1) * width]
            counts = np.bincount(part.reshape(-1), minlength=256)
            above = int(np.maximum(counts - most, 0).sum())
            counts = np.minimum(counts, most) + above // 256
            rest = above % 256
            if rest:
                step = max(256 // rest, 1)
                counts[: rest * step : step][:rest] += 1
            tables[row, column] = np.rint(np.cumsum(counts) * 255 / (height * width))
    y = np.arange(plane.shape[0]) / height - 0.5
    x = np.arange(plane.shape[1]) / width - 0.5
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    ty, tx = (y - y0)[:, None], (x - x0)[None]

    def at(rows: Any, columns: Any) -> Any:
        return tables[np.clip(rows, 0, down - 1)[:, None], np.clip(columns, 0, across - 1)[None], plane]

    upper = at(y0, x0) * (1 - tx) + at(y0, x0 + 1) * tx
    lower = at(y0 + 1, x0) * (1 - tx) + at(y0 + 1, x0 + 1) * tx
    return upper * (1 - ty) + lower * ty


@pytest.mark.parametrize("limit", [0.5, 2.0, 4.0, 256.0])
@pytest.mark.parametrize("tiles", [(1, 1), (4, 2), (8, 8)])
def test_clahe_is_what_it_says(limit: float, tiles: Any) -> None:
    for image in (noise(64, 80), smooth(64, 80)):
        found = tensor_of(image, 1, equalise="clahe", clip_limit=limit, tiles=tiles, size=(64, 80))[0]
        assert np.abs(found - clahe(image, limit, tiles)).max() <= 1


def test_clahe_makes_8_bits_of_16_by_the_window() -> None:
    image = noise(64, 80, dtype=np.uint16)
    window = (10000, 40000)
    narrowed = np.floor((np.clip(image, *window) - 10000.0) * 255 / 30000 + 0.5).astype(np.uint8)
    for pixels, codes in ((image, narrowed), (np.repeat(image[..., None], 3, 2), np.repeat(narrowed[..., None], 3, 2))):
        for channels in (1, 3):
            fields = {"equalise": "clahe", "tiles": (4, 4), "size": (64, 80)}
            found = tensor_of(pixels, channels, window16=window, **fields) / 65535
            np.testing.assert_allclose(found, tensor_of(codes, channels, **fields) / 255, atol=1e-6)


def test_bars_do_not_count_in_the_histogram() -> None:
    image = smooth(12, 31)
    found = tensor_of(image, 1, equalise="histogram", fit="letterbox", pad=(255,))[0]
    np.testing.assert_array_equal(found[6:18], tensor_of(image, 1, equalise="histogram", size=(12, 31))[0])
    assert np.allclose(found[[0, 5, 18, 23]], 255)


def test_the_image_given_stays_as_it_is_and_threads_may_share() -> None:
    for equalise in ("histogram", "clahe"):
        for dtype in TYPES:
            preprocess = Preprocessor(spec(equalise=equalise, fit="letterbox"))
            images = [noise(40 + k, 60, 3, dtype=dtype, seed=k) for k in range(8)]
            copies = [image.copy() for image in images]
            serial = [preprocess(image) for image in images]
            with ThreadPoolExecutor(4) as pool:
                for expected, found in zip(serial, pool.map(preprocess, images), strict=True):
                    np.testing.assert_array_equal(found, expected)
            for image, copy in zip(images, copies, strict=True):
                np.testing.assert_array_equal(image, copy)


# --- all together ---------------------------------------------------------------------------------------------


@st.composite
def specs(draw: st.DrawFn) -> InputSpec:
    channels = draw(st.sampled_from([1, 3]))
    left, top = draw(st.floats(0, 0.98)), draw(st.floats(0, 0.98))
    begin = draw(st.integers(0, 65534))
    image = ImageSpec(
        colour=draw(st.sampled_from(["grey"] if channels == 1 else ["rgb", "bgr", "grey"])),
        range=draw(st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])),
        mean=draw(st.sampled_from([(), (0.5,) * channels])),
        std=draw(st.sampled_from([(), (0.25,) * channels])),
        window16=(begin, draw(st.integers(begin + 1, 65535))),
        crop=(left, top, draw(st.floats(left + 0.01, 1)), draw(st.floats(top + 0.01, 1))),
        fit=draw(st.sampled_from(["stretch", "letterbox", "centre-crop"])),
        keep=draw(st.floats(0.01, 1)),
        pad=draw(st.sampled_from([(0,), (114,) * channels])),
        align=draw(st.sampled_from(["centre", "top-left"])),
        resize=draw(st.sampled_from(["area-bilinear", "bilinear", "area", "nearest", "bicubic"])),
        grey=draw(st.sampled_from(["bt601", "bt709", "average"])),
        equalise=draw(st.sampled_from(["none", "histogram", "clahe"])),
        clip_limit=draw(st.floats(0.01, 256)),
        tiles=(draw(st.integers(1, 20)), draw(st.integers(1, 20))),
    )
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    return InputSpec(name="frame", role="visible", shape=(1, channels, *size), image=image)


@settings(max_examples=150, deadline=None)
@given(
    wanted=specs(),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    channels=st.sampled_from([0, 1, 3]),
    dtype=st.sampled_from(TYPES),
)
def test_any_spec_makes_a_whole_tensor_of_any_image(wanted: InputSpec, shape: Any, channels: int, dtype: Any) -> None:
    assert list(image_faults(wanted)) == []
    image = noise(*shape, *([channels] if channels else []), dtype=dtype)
    out = np.full(wanted.shape, np.nan, np.float32)
    found = Preprocessor(wanted)(image, out=out)
    how = wanted.image
    assert how is not None
    low, high = ((end - (how.mean or (0,))[0]) / (how.std or (1,))[0] for end in how.range)
    margin = 1e-5 * max(abs(low), abs(high))
    assert low - margin <= found.min()
    assert found.max() <= high + margin


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({"crop": (0.5, 0.0, 0.4, 1.0)}, "the crop"),
        ({"keep": 2.0}, "keeps 2.0"),
        ({"pad": (1, 2)}, "2 values of pad"),
        ({"pad": (-1,)}, "levels from 0 to 255"),
        ({"clip_limit": -1.0}, "clip limit"),
        ({"tiles": (0, 8)}, "tiles"),
    ],
)
def test_what_contradicts_itself_is_refused(image: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=f"'frame' .*{says}"):
        Preprocessor(spec(**image))
