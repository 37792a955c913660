"""Views: the homographies that fit a frame, and what they say to numbers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import InputError
from edgefer.kernels.preprocess_view import MOST_SAMPLES, VIEW, View, fitted, over_box, packed, samples_of, through
from edgefer.runtime.geometry import Geometry
from edgefer.runtime.resize import _multiple


def corners(view: View, size: tuple[int, int]) -> Any:
    """Where the edges of the input lie in the frame: left, top, right, bottom in pixels, pixel i from i to i + 1."""
    ends = np.array([[-0.5, -0.5, 1], [size[1] - 0.5, size[0] - 0.5, 1]]).T
    x, y, w = view.to_source @ ends
    return np.stack([x / w, y / w]).T.reshape(-1) + 0.5


@given(
    frame=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    fit=st.sampled_from(["stretch", "centre-crop"]),
    keep=st.floats(0.1, 1.0),
)
def test_an_input_without_bars_covers_its_box(frame: Any, size: Any, fit: Any, keep: float) -> None:
    image = ImageSpec(colour="rgb", fit=fit, keep=keep, crop=(0.1, 0.0, 1.0, 0.8))
    view = fitted(image, size, frame)
    assert view.crop == Geometry(image, *size).box(*frame)
    assert corners(view, size) == pytest.approx(view.crop, abs=1e-9 * max(frame))


@given(
    frame=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    align=st.sampled_from(["centre", "top-left"]),
)
def test_the_bars_of_a_letterbox_lie_beyond_the_picture(frame: Any, size: Any, align: Any) -> None:
    image = ImageSpec(colour="rgb", fit="letterbox", align=align)
    view, geometry = fitted(image, size, frame), Geometry(image, *size)
    height, width = geometry.size(*frame)
    top, left = geometry.place(height, width)
    x = view.to_source[0, 0] * np.arange(size[1]) + view.to_source[0, 2]
    y = view.to_source[1, 1] * np.arange(size[0]) + view.to_source[1, 2]
    within = (x >= -0.5) & (x < frame[1] - 0.5)
    assert (within == ((np.arange(size[1]) >= left) & (np.arange(size[1]) < left + width))).all()
    within = (y >= -0.5) & (y < frame[0] - 0.5)
    assert (within == ((np.arange(size[0]) >= top) & (np.arange(size[0]) < top + height))).all()


@given(scale=st.floats(0.001, MOST_SAMPLES))
def test_samples_are_those_of_the_resize_rule(scale: float) -> None:
    assert samples_of(scale) == _multiple(scale)


def test_samples_are_bounded() -> None:
    assert [samples_of(scale) for scale in (0.0, 40.0, 1e300, float("inf"), float("nan"))] == [1, 16, 16, 16, 1]
    assert fitted(ImageSpec(colour="rgb", resize="bilinear"), (10, 10), (500, 500)).samples == (1, 1)
    assert fitted(ImageSpec(colour="rgb"), (224, 224), (720, 1280)).samples == (6, 3)


def test_a_box_fills_the_input() -> None:
    view = over_box((10.5, 20.0, 110.5, 70.0), (112, 96), (480, 640))
    assert corners(view, (112, 96)) == pytest.approx((10.5, 20, 110.5, 70))
    assert view.crop == (0, 0, 640, 480)
    assert view.samples == (1, 1)
    assert over_box((-300, 0, 600, 300), (100, 100), (480, 640)).samples == (9, 3)


def test_a_box_turned_by_a_right_angle() -> None:
    view = over_box((0, 0, 100, 100), (10, 10), (100, 100), angle=np.pi / 2)
    first = view.to_source @ (0, 0, 1)
    # The input's first pixel, 5 pixels from its corner, is then at the upper right of the box.
    assert first[:2] == pytest.approx((94.5, 4.5))


def test_another_camera_behind_this_one() -> None:
    view = over_box((100, 100, 200, 200), (50, 50), (480, 640))
    registration = np.array([[0.5, 0, 7], [0, 0.5, -3], [0, 0, 1.0]])
    behind = view.behind(registration, (50, 50), (240, 320))
    at = np.array([12, 34, 1.0])
    assert behind.to_source @ at == pytest.approx(registration @ (view.to_source @ at))
    assert (view.samples, behind.samples, behind.crop) == ((2, 2), (1, 1), (0, 0, 320, 240))


def test_samples_follow_perspective() -> None:
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.008, 0, 1.0]])
    # At the last column w is 0.208: rows there are 1 / 0.208 apart, columns 1 / 0.208 squared.
    assert through(matrix, (100, 100), (1000, 1000)).samples == (16, 5)


@pytest.mark.parametrize(
    "matrix", [np.full((3, 3), np.nan), np.zeros((3, 3)), np.eye(2), np.diag([1, np.inf, 1]), np.ones((3, 3))]
)
def test_what_is_no_homography(matrix: Any) -> None:
    with pytest.raises(InputError, match="invertible") as caught:
        through(matrix, (8, 8), (9, 9))
    assert caught.value.hint
    with pytest.raises(InputError, match="invertible"):
        over_box((0, 0, 5, 5), (8, 8), (9, 9)).behind(matrix, (8, 8), (9, 9))


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 1, 5), (0, 0, np.nan, 5), (0, 0, 5), (0, 0, np.inf, 5)])
def test_what_is_no_box(box: Any) -> None:
    with pytest.raises(InputError, match="left < right"):
        over_box(box, (8, 8), (9, 9))


def test_views_are_64_bytes_each() -> None:
    view = View(np.arange(9.0).reshape(3, 3), (1, 2, 3, 2**31 - 1), (4, 5))
    memory = packed([view, view])
    assert (memory.shape, memory.dtype, memory.nbytes) == ((2, 16), np.float32, 128)
    assert memory[1, :9].tolist() == list(range(9))
    assert memory.view(VIEW)[1, 0]["crop"].tolist() == [1, 2, 3, 2**31 - 1]
    assert memory.view(np.int32)[0, 9:15].tolist() == [1, 2, 3, 2**31 - 1, 4, 5]
