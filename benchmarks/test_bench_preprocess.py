"""From a camera's images to tensors, beside what one would write with OpenCV and NumPy.

    python -m pytest benchmarks/test_bench_preprocess.py -s

Twice: against the plain code of the rule's name, which is the area filter where the image shrinks (OpenCV's
INTER_AREA), then colour order, float, scale, transposition; and against the very steps of edgefer's rule for these
sizes, written out, and the same plain rest. In the second, both resize by the same calls, which take two thirds of the
plain code's time: little is left to gain. Results are compared before they are timed.

And through views: a face box, turned or not, and a homography, beside cv2.warpPerspective to the same samples, their
mean by INTER_AREA, and the same plain conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.interleaved import interleaved
from benchmarks.note import note
from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.runtime.frame_tensors import Given, frame_tensors
from edgefer.runtime.preprocess import Preprocessor, tensors_of
from edgefer.runtime.view import View, over_box, through

cv2 = pytest.importorskip("cv2")

SIZE = 224
MOST_TIMES = 0.7
ROUNDS = 300

VISIBLE = InputSpec(name="visible", role="visible", shape=(1, 3, SIZE, SIZE), image=ImageSpec(colour="rgb"))
INFRARED = {
    channels: InputSpec(
        name="infrared", role="infrared", shape=(1, channels, SIZE, SIZE), image=ImageSpec(colour="grey")
    )
    for channels in (1, 3)
}

Resize = Callable[[Any], Any]


def inter_area(image: Any) -> Any:
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def same_steps(image: Any) -> Any:
    """Of 1280x720 the halves first; then bilinear to twice the target, and the mean of 2x2."""
    if image.shape[0] == 720:
        image = cv2.resize(image, (640, 360), interpolation=cv2.INTER_AREA)
    image = cv2.resize(image, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def plain_visible(frame: Any, resize: Resize) -> Any:
    image = cv2.cvtColor(resize(frame), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray((image.astype(np.float32) / 255.0).transpose(2, 0, 1))[None]


def plain_infrared(frame: Any, resize: Resize, channels: int) -> Any:
    image = resize(frame)
    image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if channels == 3 else image[..., None]
    top = 255.0 if frame.dtype == np.uint8 else 65535.0
    return np.ascontiguousarray((image.astype(np.float32) / top).transpose(2, 0, 1))[None]


def frames(dtype: Any) -> tuple[Any, Any]:
    """Smooth pictures with noise, (720, 1280, 3) and (480, 640)."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:720, 0:1280]
    scene = 120 + 60 * np.sin(x / 37) * np.cos(y / 23)
    visible = scene[..., None] + generator.normal(0, 6, (720, 1280, 3))
    infrared = (scene[:480, :640] + generator.normal(0, 4, (480, 640))) * (257 if dtype == np.uint16 else 1)
    return np.clip(visible, 0, 255).astype(np.uint8), np.clip(infrared, 0, np.iinfo(dtype).max).astype(dtype)


CASES = {
    "visible": (True, 0, np.uint8),
    "infrared-8": (False, 3, np.uint8),
    "infrared-16": (False, 3, np.uint16),
    "infrared-8-grey": (False, 1, np.uint8),
    "pair": (True, 3, np.uint8),
    "pair-16": (True, 3, np.uint16),
}


@pytest.mark.parametrize("resize", ["inter-area", "same-steps"])
@pytest.mark.parametrize("case", CASES)
def test_tensors(benchmark: Any, case: str, resize: str) -> None:
    takes_visible, channels, dtype = CASES[case]
    visible, infrared = frames(dtype)
    images = [(Preprocessor(VISIBLE), visible)] if takes_visible else []
    images += [(Preprocessor(INFRARED[channels]), infrared)] if channels else []
    steps = inter_area if resize == "inter-area" else same_steps

    def ours() -> list[Any]:
        return tensors_of(images)

    def plain() -> list[Any]:
        tensors = [plain_visible(visible, steps)] if takes_visible else []
        return [*tensors, *([plain_infrared(infrared, steps, channels)] if channels else [])]

    for found, expected in zip(ours(), plain(), strict=True):
        # The pictures' noise is what the two resizings treat differently; with the same steps only rounding is left.
        assert np.sqrt(np.mean((found - expected) ** 2)) <= (1.5 / 255 if resize == "inter-area" else 1e-6)
    pair = interleaved(ours, plain, ROUNDS, warm_up=10)
    benchmark.pedantic(ours, rounds=20, warmup_rounds=2)
    # The goal is of what a camera's pair takes, both images, against the plain code of the rule's name.
    is_goal = case.startswith("pair") and resize == "inter-area"
    note(
        benchmark,
        pair,
        "INTER_AREA and plain conversion" if resize == "inter-area" else "the same resizing, plain conversion",
        goal=f"at most {MOST_TIMES:g} x" if is_goal else "",
        met=pair.ratio <= MOST_TIMES if is_goal else None,
    )


FACE = (480.3, 190.8, 780.9, 520.4)
VIEWS: dict[str, View] = {
    "box": over_box(FACE, (SIZE, SIZE), (720, 1280)),
    "turned-box": over_box(FACE, (SIZE, SIZE), (720, 1280), angle=0.2),
    "small-box": over_box((500.2, 200.4, 700.9, 410.5), (SIZE, SIZE), (720, 1280)),
    "box-beside-the-frame": over_box((-90.5, 190.8, 210.1, 520.4), (SIZE, SIZE), (720, 1280)),
    "homography": through(np.array([[1.4, 0.1, 420], [-0.05, 1.5, 180], [1e-4, 5e-5, 1]]), (SIZE, SIZE), (720, 1280)),
}


def plain_view(frame: Any, view: View) -> Any:
    """Black beyond the frame, which OpenCV mixes in along its edge."""
    across, down = view.samples
    fine = np.array([[1 / across, 0, 0.5 / across - 0.5], [0, 1 / down, 0.5 / down - 0.5], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpPerspective(frame, view.to_source @ fine, (SIZE * across, SIZE * down), flags=flags)
    return plain_visible(image, inter_area)


@pytest.mark.parametrize("name", VIEWS)
def test_views(benchmark: Any, name: str) -> None:
    frame, view = frames(np.uint8)[0], VIEWS[name]
    given = [Given(Preprocessor(VISIBLE), frame, view)]

    def ours() -> list[Any]:
        return frame_tensors(given)

    def plain() -> list[Any]:
        return [plain_view(frame, view)]

    apart = np.abs(ours()[0] - plain()[0])
    # On the edge of the frame the two differ on purpose.
    assert np.quantile(apart, 0.98) <= 1.6 / 255
    pair = interleaved(ours, plain, ROUNDS, warm_up=10)
    benchmark.pedantic(ours, rounds=20, warmup_rounds=2)
    note(benchmark, pair, "cv2.warpPerspective to the same samples, plain conversion", samples=view.samples)
