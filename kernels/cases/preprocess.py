"""Cases of the pre-processing kernel: every format, form of output and kind of view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from edgefer.bundle.manifest import ImageSpec
from edgefer.kernels.plan import ORIN, Gpu
from edgefer.kernels.preprocess_frame import Camera, Frame, Output
from edgefer.kernels.preprocess_view import View
from kernels.cases.case import Case
from kernels.cases.preprocess_case import Side, case, fit
from kernels.cases.preprocess_random import random_cases

__all__ = ["base_cases", "random_cases"]

IMAGENET = ImageSpec(colour="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), pad=(104, 117, 123))
PLAIN = ImageSpec(colour="bgr", pad=(114,))
THERMAL = ImageSpec(colour="grey", window16=(7000, 9000), pad=(32,))


def base_cases(gpu: Gpu = ORIN) -> list[Case]:
    """Every format with every form, the sizes of real cameras, corner shapes, and views that hold anything."""
    return [*_formats(gpu), *_sizes(gpu), *_corners(gpu), *_broken(gpu)]


def _formats(gpu: Gpu) -> Iterator[Case]:
    size = (19, 35)
    outputs = [Output("f32n", *size), Output("f16n", *size), Output("f16h8", *size), Output("i8c4", *size, scale=0.02)]
    grey_image = ImageSpec(colour="grey", grey="bt709", range=(-1.0, 1.0))
    for output in outputs:
        light = fit(Camera(Frame("bgr8", 34, 62), grey_image, 1), size, 2, seed=18)
        for channels in (1, 3):
            warmth = fit(Camera(Frame("y16", 25, 33), THERMAL, channels), size, 2, seed=19)
            yield case(f"one channel and {channels}", light, warmth, output, gpu)
        for colour in ("bgr8", "nv12", "gray8"):
            visible = fit(Camera(Frame(colour, 34, 62), IMAGENET, 3), size, 2, seed=1)
            yield case(f"{colour} alone", visible, None, output, gpu)
            for heat in ("gray8", "y16"):
                infrared = fit(Camera(Frame(heat, 25, 33), THERMAL, 1), size, 2, seed=2)
                yield case(f"{colour} and {heat}", visible, infrared, output, gpu)
        yield case("y16 alone", None, fit(Camera(Frame("y16", 25, 33), THERMAL, 1), size, 1, seed=3), output, gpu)
        apart = replace(output, separate=True)
        grey = fit(Camera(Frame("y16", 31, 30), THERMAL, 3), size, 2, seed=4)
        yield case("apart", fit(Camera(Frame("bgr8", 34, 62), PLAIN, 3), size, 2, seed=5), grey, apart, gpu)
    for name, image, channels in (("rgb", IMAGENET, 3), ("bgr", PLAIN, 3), ("grey", grey_image, 1)):
        side = fit(Camera(Frame("rgb8", 34, 62), image, channels), size, seed=20)
        yield case(f"rgb8 to {name}", side, None, outputs[0], gpu)
    for frame in (Frame("nv12", 33, 47, matrix="bt709"), Frame("nv12", 20, 22, full_range=True, chroma="left")):
        name = f"nv12 {frame.matrix} {frame.chroma}"
        yield case(name, fit(Camera(frame, PLAIN, 3), size, seed=6), None, outputs[0], gpu)
        yield case(f"{name} to grey", fit(Camera(frame, grey_image, 1), size, seed=7), None, outputs[0], gpu)


def _sizes(gpu: Gpu) -> Iterator[Case]:
    """Whole frames in the proportions of 1280x720 and 640x480 to 224x224, at half the size: it takes a quarter."""
    visible, infrared = Camera(Frame("bgr8", 360, 640), PLAIN, 3), Camera(Frame("y16", 240, 320), THERMAL, 1)
    whole = (fit(visible, (112, 112), seed=8), fit(infrared, (112, 112), seed=9))
    yield case("whole frames", *whole, Output("f32n", 112, 112), gpu)
    letterbox = _with_image(visible, fit="letterbox")
    yield case("letterbox", fit(letterbox, (64, 48), seed=10), None, Output("f16h8", 64, 48), gpu)
    cropped = _with_image(visible, fit="centre-crop", keep=0.875, crop=(0.1, 0.2, 0.7, 0.95))
    yield case("centre crop", fit(cropped, (64, 48), seed=11), None, Output("i8c4", 64, 48, scale=1 / 127), gpu)
    # Columns far to the right, where a single float no longer has a hundred-thousandth of a pixel.
    wide = Camera(Frame("gray8", 24, 4001), _with_image(visible, colour="grey").image, 1)
    yield case("far to the right", fit(wide, (20, 1200), seed=18), None, Output("f32n", 20, 1200), gpu)


def _corners(gpu: Gpu) -> Iterator[Case]:
    for height, width, size in ((1, 1, (1, 1)), (1, 1, (9, 40)), (1, 50, (7, 5)), (50, 1, (7, 5)), (2, 3, (33, 65))):
        visible = fit(Camera(Frame("nv12", height, width), PLAIN, 3), size, seed=12)
        infrared = fit(Camera(Frame("y16", height, width), THERMAL, 1), size, seed=13)
        yield case(f"{height}x{width}", visible, infrared, Output("f32n", *size), gpu)
    strided = Frame("nv12", 30, 41, stride=64, chroma_stride=96, frame_stride=64 * 32, chroma_frame_stride=96 * 17)
    heat = Frame("y16", 21, 17, stride=50, frame_stride=50 * 25)
    sides = fit(Camera(strided, PLAIN, 3), (16, 16), 3, seed=14), fit(Camera(heat, THERMAL, 1), (16, 16), 3, seed=15)
    yield case("with gaps", *sides, Output("i8c4", 16, 16, scale=1 / 127), gpu)


def _broken(gpu: Gpu) -> Iterator[Case]:
    """Views that no calibration gives: the answer is the pad level wherever the position is not a number."""
    camera, heat = Camera(Frame("nv12", 18, 23), PLAIN, 3), Camera(Frame("y16", 18, 23), THERMAL, 1)
    whole = (0, 0, 23, 18)
    everything = np.eye(3)
    views = {
        "NaN": View(np.full((3, 3), np.nan), whole, (2, 2)),
        "infinite": View(np.full((3, 3), np.inf), whole, (1, 3)),
        "huge": View(np.diag([3e38, 3e38, 1.0]), whole, (1, 1)),
        "zero": View(np.zeros((3, 3)), whole, (1, 1)),
        "w is zero": View(np.diag([1.0, 1.0, 0.0]), whole, (2, 1)),
        "w goes through zero": View(np.array([[1.0, 0, 3], [0, 1, 3], [0.5, 0, -4.3]]), whole, (2, 2)),
        "far away": View(np.array([[1.0, 0, 1e9], [0, 1, -1e9], [0, 0, 1]]), whole, (2, 2)),
        "negative": View(-np.eye(3), whole, (1, 1)),
        "crop beyond the frame": View(everything, (-7, -(2**31), 2**31 - 1, 99), (1, 1)),
        "crop inside out": View(everything, (9, 9, 3, 3), (1, 1)),
        "no samples": View(everything * 1.2, whole, (0, -(2**31))),
        "too many samples": View(np.diag([1.1, 1.1, 1.0]), whole, (17, 2**31 - 1)),
    }
    with np.errstate(all="ignore"):
        for name, view in views.items():
            sides = Side(camera, (view,), 16), Side(heat, (view,), 17)
            yield case(f"view: {name}", *sides, Output("f32n", 21, 34), gpu)


def _with_image(camera: Camera, **fields: Any) -> Camera:
    """The camera with other fields of its image."""
    values = {name: getattr(camera.image, name) for name in camera.image.__struct_fields__}
    return replace(camera, image=ImageSpec(**{**values, **fields}))
