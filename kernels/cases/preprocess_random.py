"""Random cases of the pre-processing kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from edgefer.bundle.manifest import ImageSpec
from edgefer.kernels.plan import ORIN, Gpu
from edgefer.kernels.preprocess_frame import Camera, Frame, Output, OutputForm
from edgefer.kernels.preprocess_view import View
from kernels.cases.case import Case
from kernels.cases.preprocess_case import Side, case


def random_cases(seed: int, count: int, gpu: Gpu = ORIN) -> Iterator[Case]:
    """Any formats, sizes, gaps, batches, forms and homographies."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        size = (int(generator.integers(1, 40)), int(generator.integers(1, 80)))
        frames = int(generator.integers(1, 4))
        which = int(generator.integers(0, 4))
        separate = which == 3
        visible = _random_side(generator, ("bgr8", "nv12", "gray8"), size, frames) if which != 1 else None
        infrared = _random_side(generator, ("gray8", "y16"), size, frames) if which != 0 else None
        channels = sum(side.camera.channels for side in (visible, infrared) if side is not None)
        forms: tuple[OutputForm, ...] = ("f32n", "f16n", "f16h8")
        if separate or channels <= 4:
            forms += ("i8c4",)
        form = forms[int(generator.integers(0, len(forms)))]
        output = Output(form, *size, separate=separate, scale=0.01 if form == "i8c4" else 0.0)
        yield case(f"random {seed}.{number}", visible, infrared, output, gpu)


def random_sides(seed: int, count: int) -> Iterator[tuple[Side, tuple[int, int], Generator]]:
    """Single cameras with one frame, the size of their input, and the generator for what the frame shows."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        size = (int(generator.integers(1, 40)), int(generator.integers(1, 80)))
        yield _random_side(generator, ("bgr8", "nv12", "gray8", "y16"), size, 1), size, generator


def _random_side(generator: Generator, formats: tuple[Any, ...], size: tuple[int, int], frames: int) -> Side:
    chosen = formats[int(generator.integers(0, len(formats)))]
    height, width = int(generator.integers(1, 90)), int(generator.integers(1, 90))
    packed_rows = Frame(chosen, height, width)
    frame = replace(
        packed_rows,
        stride=packed_rows.row_bytes + 2 * int(generator.integers(0, 9)),
        chroma_stride=packed_rows.chroma_row_bytes + 2 * int(generator.integers(0, 9)) if chosen == "nv12" else 0,
        matrix=("bt601", "bt709")[int(generator.integers(0, 2))],
        full_range=bool(generator.integers(0, 2)),
        chroma=("centre", "left")[int(generator.integers(0, 2))],
    )
    frame = replace(frame, frame_stride=frame.frame_bytes + 2 * int(generator.integers(0, 50)))
    channels = (1, 3)[int(generator.integers(0, 2))]
    colours: tuple[Literal["rgb", "bgr", "grey"], ...] = ("rgb", "bgr", "grey") if channels == 3 else ("grey",)
    low = float(generator.uniform(-1, 0))
    image = ImageSpec(
        colour=colours[int(generator.integers(0, len(colours)))],
        range=(low, low + 1.0),
        mean=tuple(float(value) for value in generator.uniform(-0.5, 0.5, channels)),
        std=tuple(float(value) for value in generator.uniform(0.5, 2.0, channels)),
        window16=(int(generator.integers(0, 7500)), int(generator.integers(8000, 65_536))),
        pad=tuple(int(value) for value in generator.integers(0, 256, channels)),
        grey=("bt601", "bt709", "average")[int(generator.integers(0, 3))],
    )
    views = tuple(_random_view(generator, size, (height, width)) for _ in range(frames))
    return Side(Camera(frame, image, channels), views, int(generator.integers(0, 1 << 30)))


def _random_view(generator: Generator, size: tuple[int, int], frame: tuple[int, int]) -> View:
    """Turned by any angle, from a third to six times as large, a little in perspective, at times beside the frame."""
    angle, scale = generator.uniform(-np.pi, np.pi), float(np.exp(generator.uniform(-1.1, 1.8)))
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    matrix = np.eye(3)
    matrix[:2, :2] = turned @ np.diag([1.0, generator.uniform(0.5, 2.0)])
    matrix[2, :2] = generator.uniform(-0.4, 0.4, 2) / (size[1], size[0])
    middle = np.array([size[1] / 2, size[0] / 2, 1.0])
    wanted = np.array([frame[1], frame[0]]) * generator.uniform(0.2, 0.8, 2)
    matrix[:2, 2] += wanted * float(matrix[2] @ middle) - (matrix @ middle)[:2]
    matrix *= float(generator.choice([1.0, -1.0, 37.0]))
    left, top = int(generator.integers(-3, frame[1])), int(generator.integers(-3, frame[0]))
    crop = (left, top, left + int(generator.integers(1, 100)), top + int(generator.integers(1, 100)))
    return View(matrix, crop, (int(generator.integers(1, 6)), int(generator.integers(1, 6))))
