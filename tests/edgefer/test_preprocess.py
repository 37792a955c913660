"""From image to tensor: every value as the manifest says, whatever the form of the image; errors for what is none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import InputError
from edgefer.runtime.preprocess import Preprocessor
from edgefer.runtime.resize import area_bilinear

cv2 = pytest.importorskip("cv2")


def spec(channels: int = 3, size: tuple[int, int] = (24, 32), **image: Any) -> InputSpec:
    image = {"colour": "rgb" if channels == 3 else "grey", **image}
    return InputSpec(name="frame", role="visible", shape=(1, channels, *size), image=ImageSpec(**image))


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def expected_values(image: Any, wanted: InputSpec) -> Any:
    """The tensor in float64 for an image that has the right size and channel order, (H, W, C) with C as wanted."""
    how = wanted.image
    assert how is not None
    values = image.astype(np.float64)
    if image.dtype == np.uint16:
        begin, end = how.window16
        values = (np.clip(values, begin, end) - begin) / (end - begin)
    else:
        values = values / 255
    low, high = how.range
    values = values * (high - low) + low
    values = (values - np.array(how.mean or 0.0)) / np.array(how.std or 1.0)
    return values.transpose(2, 0, 1)[None]


IMAGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "minus one to one": {"range": (-1.0, 1.0)},
    "0 to 255": {"range": (0.0, 255.0)},
    "normalised": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "mean only": {"range": (0.0, 255.0), "mean": (104.0, 117.0, 123.0)},
    "alike": {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)},
    "window": {"window16": (7000, 9000)},
    "window, normalised": {"window16": (7000, 7001), "mean": (0.5, 0.2, 0.1), "std": (2.0, 0.1, 1.0)},
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("case", IMAGES)
def test_values_are_those_of_the_manifest(case: str, dtype: Any) -> None:
    wanted = spec(**IMAGES[case])
    image = noise(24, 32, 3, dtype=dtype)
    found = Preprocessor(wanted)(image, colour="rgb")
    assert found.shape == (1, 3, 24, 32)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    reference = expected_values(image, wanted)
    scale = np.abs(reference).max()
    np.testing.assert_allclose(found, reference, rtol=3e-7, atol=3e-7 * scale)


def test_8_bit_values_are_rounded_only_once() -> None:
    wanted = spec(**IMAGES["normalised"])
    image = noise(24, 32, 3)
    np.testing.assert_array_equal(
        Preprocessor(wanted)(image, colour="rgb"), expected_values(image, wanted).astype(np.float32)
    )


def test_16_bit_values_outside_the_window_are_clipped() -> None:
    image = np.array([[0, 6999, 7000, 7500], [8000, 8999, 9000, 65535]], np.uint16)
    found = Preprocessor(spec(1, (2, 4), window16=(7000, 9000)))(image)
    np.testing.assert_allclose(found[0, 0], [[0, 0, 0, 0.25], [0.5, 0.9995, 1, 1]], rtol=1e-6)


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_orders(colour: Any, order: str, dtype: Any) -> None:
    image = noise(24, 32, 3, dtype=dtype)
    found = Preprocessor(spec(colour=colour))(image, colour=order)
    same = Preprocessor(spec(colour=order))(image, colour=order)
    np.testing.assert_array_equal(found, same if colour == order else same[:, ::-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_the_luma_of_bt_601(dtype: Any) -> None:
    image = noise(24, 32, 3, dtype=dtype)
    top = float(np.iinfo(dtype).max)
    for order, weights in (("rgb", (0.299, 0.587, 0.114)), ("bgr", (0.114, 0.587, 0.299))):
        luma = image @ np.array(weights) / top
        for channels in (1, 3):
            found = Preprocessor(spec(channels, colour="grey"))(image, colour=order)
            assert found.shape == (1, channels, 24, 32)
            assert np.abs(found[0] - luma).max() <= 2 / top  # OpenCV has the weights in 14 bits


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("case", ["plain", "normalised"])
def test_a_grey_image_is_repeated_for_a_network_of_three_channels(dtype: Any, case: str) -> None:
    wanted = spec(**IMAGES[case])
    image = noise(24, 32, dtype=dtype)
    reference = expected_values(np.repeat(image[..., None], 3, axis=2), wanted)
    for form in (image, image[..., None]):
        np.testing.assert_allclose(Preprocessor(wanted)(form), reference, rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize("shape", [(720, 1280), (480, 640), (17, 900), (1, 1), (1, 50), (50, 1), (24, 32)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_resizing_comes_first(shape: tuple[int, int], dtype: Any) -> None:
    wanted = spec(**IMAGES["normalised"])
    image = noise(*shape, 3, dtype=dtype)
    reference = expected_values(area_bilinear(image, 24, 32), wanted)
    np.testing.assert_allclose(Preprocessor(wanted)(image, colour="rgb"), reference, rtol=3e-7, atol=1e-6)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "a crop": lambda image: image[10:60, 20:90],
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "every other pixel": lambda image: image[::2, ::2],
    "turned": lambda image: image.swapaxes(0, 1),
    "column order": np.asfortranarray,
    "the other colour order": lambda image: image[..., ::-1] if image.ndim == 3 else image,
    "channels of four": lambda image: np.repeat(image, 2, axis=-1)[..., :3] if image.ndim == 3 else image,
    "one row": lambda image: image[5:6],
    "one column": lambda image: image[:, 5:6],
    "one pixel": lambda image: image[5:6, 5:6],
    "read-only": lambda image: np.frombuffer(image.tobytes(), image.dtype).reshape(image.shape),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(70, 100, 3), (70, 100), (70, 100, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_views_give_what_their_copies_give(view: str, shape: tuple[int, ...], dtype: Any) -> None:
    image = VIEWS[view](noise(*shape, dtype=dtype))
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        image = image[..., :1]
    before = image.copy()
    for channels in (1, 3):
        preprocess = Preprocessor(spec(channels))
        np.testing.assert_array_equal(preprocess(image), preprocess(np.ascontiguousarray(image)))
    np.testing.assert_array_equal(image, before)


REFUSALS: dict[str, tuple[Any, str, str]] = {
    "four channels": (noise(9, 9, 4), "shape (9, 9, 4)", "image[..., :3]"),
    "two channels": (noise(9, 9, 2), "shape (9, 9, 2)", ""),
    "one axis": (noise(9), "shape (9,)", ""),
    "a batch": (noise(1, 9, 9, 3), "shape (1, 9, 9, 3)", ""),
    "no rows": (np.zeros((0, 9), np.uint8), "empty", ""),
    "no columns": (np.zeros((9, 0, 3), np.uint8), "empty", ""),
    "float32": (np.zeros((9, 9), np.float32), "type float32", "Session.infer"),
    "int16": (np.zeros((9, 9), np.int16), "type int16", ""),
    "bool": (np.zeros((9, 9), bool), "type bool", ""),
    "big-endian": (np.zeros((9, 9), ">u2"), "type >u2", ""),
    "an image that could not be read": (None, "NoneType", "cannot be read"),
    "a list": ([[1, 2], [3, 4]], "list", "imread"),
    "a path": ("face.png", "str", "imread"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_no_image(case: str) -> None:
    image, says, hint = REFUSALS[case]
    with pytest.raises(InputError, match="'frame'") as caught:
        Preprocessor(spec())(image)
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_unknown_colour_orders_and_numbers_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="'bgr' or 'rgb'"):
        Preprocessor(spec())(noise(9, 9, 3), colour="hsv")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 means"):
        Preprocessor(spec(mean=(0.5, 0.5)))
    for numbers in ({"std": (1.0, 1e-40, 1.0)}, {"mean": (0.0, 0.0, 1e39)}, {"range": (0.0, 1e300)}):
        wanted = spec(**numbers)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputError, match="float32 cannot hold"):
                Preprocessor(wanted)


def test_the_result_is_new_memory_unless_out_is_given() -> None:
    preprocess = Preprocessor(spec())
    first, second = noise(24, 32, 3, seed=1), noise(24, 32, 3, seed=2)
    one = preprocess(first)
    kept = one.copy()
    assert not np.shares_memory(one, preprocess(second))
    np.testing.assert_array_equal(one, kept)
    for image in (second, noise(50, 70, 3), noise(24, 32), noise(50, 70, 3, dtype=np.uint16)):
        out = np.full((1, 3, 24, 32), np.nan, np.float32)
        assert preprocess(image, out=out) is out
        np.testing.assert_array_equal(out, preprocess(image))


@pytest.mark.parametrize(
    ("out", "says"),
    [
        (np.zeros((3, 24, 32), np.float32), r"float32 \(3, 24, 32\)"),
        (np.zeros((1, 3, 24, 32), np.float64), "float64"),
        ([0.0], "list"),
        (np.zeros((1, 3, 24, 64), np.float32)[..., ::2], "not contiguous"),
        (np.broadcast_to(np.float32(0), (1, 3, 24, 32)), "read-only"),
    ],
)
def test_out_that_does_not_fit(out: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Preprocessor(spec())(noise(9, 9, 3), out=out)


def test_threads_may_share_one() -> None:
    preprocess = Preprocessor(spec(**IMAGES["normalised"], size=(64, 64)))
    images = [noise(200 + 7 * seed, 300, 3, seed=seed) for seed in range(16)]
    serial = [preprocess(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for expected, found in zip(serial, pool.map(preprocess, images), strict=True):
                np.testing.assert_array_equal(found, expected)


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([0, 1, 3]),
    wanted=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 99),
)
def test_any_image_fills_the_whole_tensor_within_the_range(
    height: int, width: int, channels: int, wanted: int, dtype: Any, seed: int
) -> None:
    shape = (height, width, channels) if channels else (height, width)
    out = np.full((1, wanted, 24, 32), np.nan, np.float32)
    found = Preprocessor(spec(wanted, range=(-1.0, 1.0)))(noise(*shape, dtype=dtype, seed=seed), out=out)
    assert found.min() >= -1
    assert found.max() <= 1


@pytest.mark.skipif(not os.environ.get("EDGEFER_TEST_DATA"), reason="EDGEFER_TEST_DATA is not set")
def test_photographs_become_the_tensors_of_the_reference() -> None:
    folder = Path(os.environ["EDGEFER_TEST_DATA"])
    paths = sorted(folder.glob("london_faces/*/*.jpg")) + sorted(folder.glob("tno_pairs/*/*.png"))
    assert paths
    wanted = spec(3, (224, 224), **IMAGES["normalised"])
    preprocess = Preprocessor(wanted)
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        image = image[..., :3] if image.ndim == 3 else image
        resized = area_bilinear(np.ascontiguousarray(image), 224, 224)
        planes = resized[..., ::-1] if resized.ndim == 3 else np.repeat(resized[..., None], 3, axis=2)
        np.testing.assert_array_equal(preprocess(image), expected_values(planes, wanted).astype(np.float32), str(path))
