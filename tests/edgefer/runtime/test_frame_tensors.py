"""Frames through views on the CPU, against exact arithmetic in float64; NV12; and what is refused."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from opencv_rounding import most_levels

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import InputError
from edgefer.runtime import view_pixels
from edgefer.runtime.frame_tensors import Given, frame_tensors
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.preprocess import Preprocessor
from edgefer.runtime.view import View, fitted, over_box, through
from kernels.cases.preprocess_random import random_sides
from kernels.cases.preprocess_reference import Picture, values_of

cv2 = pytest.importorskip("cv2")

NOISE = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
RGB, GREY = ImageSpec(colour="rgb", pad=(114,)), ImageSpec(colour="grey")


def preprocessor(image: ImageSpec = RGB, size: tuple[int, int] = (32, 40), channels: int = 3) -> Preprocessor:
    return Preprocessor(InputSpec(name="visible", role="visible", shape=(1, channels, *size), image=image))


def tensor(frame: Any, view: Any = None, *, colour: Any = "bgr", **how: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = frame_tensors([Given(preprocessor(**how), frame, view)], colour)[0][0]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_any_view_of_any_frame_is_what_exact_arithmetic_gives(seed: int) -> None:
    """Formats, sizes, homographies (turned, in perspective, beside the frame), crops, samples, windows, pad levels."""
    compared = 0
    for side, size, generator in random_sides(seed, 60):
        frame, image, view = side.camera.frame, side.camera.image, side.views[0]
        planes, pairs, given = taken(frame, generator)
        found = tensor(given, view, image=image, size=size, channels=side.camera.channels)
        rounded = View(view.to_source.astype(np.float32).astype(np.float64), view.crop, view.samples)
        expected, near = values_of(
            Picture(frame, planes, pairs, rounded.to_source, view.crop, view.samples), image, side.camera.channels, size
        )
        deviations = np.array(image.std or 1.0).reshape(-1, 1, 1)
        span = image.window16[1] - image.window16[0] if frame.format == "y16" else 255
        apart = (np.abs(found - expected) * deviations * span / (image.range[1] - image.range[0]))[:, ~near]
        assert apart.max(initial=0) <= most_levels(cv2, frame.format == "y16"), (frame, view)
        compared += apart.size
    assert compared > 50_000


def taken(frame: Any, generator: np.random.Generator) -> tuple[Any, Any, Any]:
    """Noise in a format: planes and pairs as the reference takes them, and what a caller gives."""
    shape = (frame.height, frame.width)
    if frame.format == "y16":
        counts = generator.integers(6500, 9500, shape, np.uint16)
        return counts, None, counts
    planes = generator.integers(0, 256, (*shape, 3) if frame.format == "bgr8" else shape, np.uint8)
    if frame.format != "nv12":
        return planes, None, planes
    pairs = generator.integers(0, 256, (-(-frame.height // 2), -(-frame.width // 2), 2), np.uint8)
    return planes, pairs, Nv12(planes, pairs, frame.matrix, frame.full_range, frame.chroma)


VIEWS: dict[str, Any] = {
    "a face box": over_box((20.3, 10.1, 70.2, 61.7), (32, 40), (90, 120)),
    "turned": over_box((20, 10, 70, 60), (32, 40), (90, 120), angle=0.4),
    "partly beside the frame": over_box((-30, -20, 60, 50), (32, 40), (90, 120), angle=-0.2),
    "large": over_box((-5, -5, 130, 100), (8, 8), (90, 120)),
    "a homography": through(np.array([[2.1, 0.2, 5], [-0.3, 1.9, 9], [0.002, 0.001, 1]]), (32, 40), (90, 120)),
    "with the horizon in it": View(np.array([[1.0, 0, 3], [0, 1, 3], [0.06, 0, -1.1]]), (0, 0, 120, 90), (2, 2)),
    "wholly beside the frame": over_box((500, 500, 600, 600), (32, 40), (90, 120)),
    "negative": View(-np.array([[2.0, 0, 3], [0, 2, 5], [0, 0, 1]]), (10, 10, 70, 60), (2, 2)),
    "crop inside out": View(np.eye(3), (9, 9, 3, 3), (1, 1)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_in_bands_are_the_views(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (8, 8) if name == "large" else (32, 40)
    whole = tensor(NOISE, VIEWS[name], size=size)
    monkeypatch.setattr(view_pixels, "_BAND", 300)
    # OpenCV reckons positions in single precision, from another origin in each band.
    np.testing.assert_allclose(tensor(NOISE, VIEWS[name], size=size), whole, atol=1.1 / 255)


def test_beyond_the_frame_is_the_pad_level() -> None:
    found = tensor(NOISE, VIEWS["wholly beside the frame"])
    assert found == pytest.approx(np.full((3, 32, 40), 114 / 255), abs=1e-6)
    found = tensor(NOISE, VIEWS["partly beside the frame"])
    assert found[:, 0, 0] == pytest.approx(114 / 255)
    assert found.std() > 0.05


def test_the_view_of_every_pixel_is_the_frame() -> None:
    whole = through(np.eye(3), (90, 120), (90, 120))
    assert (np.rint(255 * tensor(NOISE, whole, size=(90, 120))) == NOISE[..., ::-1].transpose(2, 0, 1)).all()
    assert (np.rint(255 * tensor(NOISE, np.eye(3), size=(90, 120))) == NOISE[..., ::-1].transpose(2, 0, 1)).all()
    assert (np.rint(255 * tensor(NOISE, whole, size=(90, 120), colour="rgb")) == NOISE.transpose(2, 0, 1)).all()


def test_nothing_of_a_frame_but_what_is_seen_counts() -> None:
    view = over_box((40, 30, 80, 60), (32, 40), (90, 120))
    other = NOISE.copy()
    other[:28], other[62:], other[:, :38], other[:, 82:] = 0, 0, 0, 0
    np.testing.assert_array_equal(tensor(other, view), tensor(NOISE, view))


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "centre-crop"])
@pytest.mark.parametrize("frame", [(90, 120), (33, 71), (200, 90)])
def test_the_view_of_the_manifest_is_near_its_own_path(fit: Any, frame: tuple[int, int]) -> None:
    """That path rounds after each of two steps, and its bilinear weights have 11 bits; this one rounds twice, too."""
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (*frame, 3), np.uint8), (0, 0), 1.5)
    image = ImageSpec(colour="rgb", fit=fit, pad=(114,), crop=(0.1, 0.05, 0.9, 1.0))
    # To 48 columns and 40 rows nothing here shrinks to less than a third.
    seen = tensor(smooth, fitted(image, (70, 48), frame), image=image, size=(70, 48))
    assert np.abs(seen - tensor(smooth, image=image, size=(70, 48))).max() * 255 < 2.1 + most_levels(cv2) / 8


def nv12(image: NDArray[np.uint8], **said: Any) -> Nv12:
    """An image in BGR with even sides, converted by OpenCV, which has BT.601 in the limited range."""
    height, width = image.shape[:2]
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    blue, red = (planar[height:].reshape(2, height // 2, width // 2)[part] for part in (0, 1))
    return Nv12(planar[:height], np.stack([blue, red], -1), **said)


SMOOTH = cv2.GaussianBlur(NOISE, (0, 0), 6)


@pytest.mark.parametrize(
    "image",
    [RGB, ImageSpec(colour="bgr", resize="bicubic"), ImageSpec(colour="rgb", equalise="clahe"), GREY],
    ids=["views", "another rule", "equalised", "grey"],
)
def test_nv12_is_the_image_in_another_format(image: ImageSpec) -> None:
    channels = 1 if image.colour == "grey" else 3
    found = tensor(nv12(SMOOTH), image=image, channels=channels)
    expected = tensor(SMOOTH, image=image, channels=channels)
    apart = np.abs(found - expected) * 255
    assert apart.mean() < (6 if image.equalise == "clahe" else 2)
    # CLAHE makes of a level several.
    assert apart.max() < (40 if image.equalise == "clahe" else 5)


def test_nv12_in_one_array() -> None:
    frame = nv12(SMOOTH)
    rows = np.concatenate([frame.luma, frame.chroma.reshape(45, 120)])
    same = Nv12.from_rows(rows, 90)
    np.testing.assert_array_equal(same.luma, frame.luma)
    np.testing.assert_array_equal(same.chroma, frame.chroma)
    assert Nv12.from_rows(rows, 90, matrix="bt709", full_range=True).full_range
    for wrong in (rows[:-1], rows[:, :-1], rows[..., None]):
        with pytest.raises(InputError, match="an NV12 frame has the shape") as caught:
            Nv12.from_rows(wrong, 90)
        assert "views of the memory" in caught.value.hint


class OnGpu:
    """What any library's array in GPU memory says of itself."""

    __cuda_array_interface__: ClassVar = {
        "shape": (4, 4, 3),
        "typestr": "|u1",
        "data": (4096, False),
        "version": 3,
        "stream": None,
    }


LUMA, PAIRS = np.zeros((6, 7), np.uint8), np.zeros((3, 4, 2), np.uint8)
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "in GPU memory": (OnGpu(), None, "is in GPU memory"),
    "luma in GPU memory": (Nv12(OnGpu(), PAIRS), None, "is in GPU memory"),
    "pairs of another size": (Nv12(LUMA, PAIRS[:2]), None, r"luma \(6, 7\) and chroma \(2, 4, 2\)"),
    "no luma": (Nv12(LUMA[:0], PAIRS[:0]), None, "luma"),
    "16-bit luma": (Nv12(LUMA.astype(np.uint16), PAIRS), None, "uint16 elements, expected NumPy arrays of uint8"),
    "a list": (Nv12(LUMA.tolist(), PAIRS), None, "a list, expected"),
    "float frame": (np.zeros((5, 5), np.float32), np.eye(3), "elements of type float32"),
    "no view": (NOISE, "face", "is a str, expected a View or a homography"),
    "no homography": (NOISE, np.ones((3, 3)), "not 3x3, finite and invertible"),
    "a view of nothing": (NOISE, View(np.full((3, 3), np.nan), (0, 0, 9, 9), (1, 1)), "invertible"),
    "a homography of text": (NOISE, np.full((3, 3), "a"), "elements of type <U1, expected real numbers"),
    "a complex homography": (NOISE, np.eye(3) * 1j, "elements of type complex128"),
    "beyond single precision": (NOISE, np.diag([1e200, 1e200, 1.0]), "not 3x3, finite and invertible"),
    "more samples than are taken": (NOISE, View(np.eye(3), (0, 0, 9, 9), (17, 1)), "1 to 16 samples"),
    "half a sample": (NOISE, View(np.eye(3), (0, 0, 9, 9), (1.5, 1)), "the samples"),
    "half a pixel": (NOISE, View(np.eye(3), (0, 0.5, 9, 9), (1, 1)), "whole pixels"),
    "three edges": (NOISE, View(np.eye(3), (0, 0, 9), (1, 1)), "the picture"),
    "no samples": (NOISE, View(np.eye(3), (0, 0, 9, 9), (0, 1)), "the samples"),
    "picture far away": (NOISE, View(np.eye(3), (0, 0, 2**31, 9), (1, 1)), "the picture"),
    "too wide": (np.zeros((1, 40_000), np.uint8), through(np.diag([1e3, 1, 1]), (32, 40), (1, 40_000)), "at most"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    frame, view, says = REFUSED[case]
    with pytest.raises(InputError, match=says):
        tensor(frame, view)


def test_a_view_of_lists_is_one_of_arrays() -> None:
    rows: Any = np.diag([2.0, 2.0, 1.0]).tolist()
    of_lists, of_arrays = (View(each, (0, 0, 120, 90), (1, 1)) for each in (rows, np.array(rows)))
    np.testing.assert_array_equal(tensor(NOISE, of_lists), tensor(NOISE, of_arrays))


@pytest.mark.parametrize(
    ("size", "frame", "says"),
    [
        ((0, 40), (90, 120), r"the input is \(0, 40\)"),
        (32, (90, 120), "the input is 32"),
        ((1, 3, 32, 40), (90, 120), "the input is"),
        ((32, 40), (90,), "the frame is"),
    ],
)
def test_sizes_that_nothing_has(size: Any, frame: Any, says: str) -> None:
    for view in (lambda: over_box((1, 1, 5, 5), size, frame), lambda: through(np.eye(3), size, frame)):
        with pytest.raises(InputError, match=says):
            view()
    assert over_box((1, 1, 5, 5), (32, 40), NOISE.shape).crop == (0, 0, 120, 90)


@pytest.mark.parametrize("said", [{"matrix": "bt2020"}, {"site": "right"}])
def test_what_nv12_cannot_be(said: Any) -> None:
    with pytest.raises(InputError, match="expected one of bt601, bt709") as caught:
        Nv12(LUMA, PAIRS, **said)
    assert caught.value.hint
