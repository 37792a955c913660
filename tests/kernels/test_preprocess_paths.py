"""The CPU's frames against the pre-processing kernel on the host: the same numbers through the same views."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from opencv_rounding import most_levels

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.kernels.plan import ORIN
from edgefer.kernels.preprocess import ENTRIES, PreprocessParams, plan
from edgefer.kernels.preprocess_frame import Camera, Output
from edgefer.kernels.preprocess_view import packed
from edgefer.runtime.frame_tensors import Given, frame_tensors
from edgefer.runtime.gpu.frame_memory import taken
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.preprocess import Preprocessor
from edgefer.runtime.view import View, fitted, over_box, through
from kernels.cases.case import Buffer
from kernels.cases.preprocess_memory import laid_down
from kernels.cases.preprocess_random import random_sides
from kernels.tools.emulator import Emulator
from kernels.tools.toolchain import Toolchain

cv2 = pytest.importorskip("cv2")

Tensors = tuple[NDArray[np.float32], NDArray[np.float32]]
RGB = ImageSpec(colour="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), pad=(104, 117, 123))
GREY, HEAT = ImageSpec(colour="grey", pad=(114,)), ImageSpec(colour="grey", window16=(7000, 9000), pad=(32,))


@pytest.fixture(scope="module")
def emulator(host: Toolchain) -> Emulator:
    return Emulator.build(ENTRIES)


def both(emulator: Emulator, frame: Any, spec: InputSpec, view: View | None, colour: Any = "bgr") -> Tensors:
    """The input (C, H, W) by the kernel and by the CPU."""
    size = (spec.shape[2], spec.shape[3])
    (cpu,) = frame_tensors([Given(Preprocessor(spec), frame, view)], colour)
    assert spec.image is not None
    found = taken(frame, spec.name, colour)
    assert not isinstance(found, str), found
    layout = found.frame
    camera = Camera(layout, spec.image, spec.shape[1])
    shown = view or fitted(spec.image, size, (layout.height, layout.width))
    given = (None, camera) if spec.role == "infrared" else (camera, None)
    pixels = laid_down(found.planes[0][None], layout.row_bytes, layout.frame_bytes)
    inputs = {str(spec.role): pixels, f"{spec.role}_views": packed([shown])}
    if layout.format == "nv12":
        inputs["visible_chroma"] = laid_down(found.planes[1][None], layout.chroma_row_bytes, layout.chroma_frame_bytes)
    launches = plan(*given, Output("f32n", *size), ORIN)
    made = emulator.run(launches, PreprocessParams, inputs, {"y": Buffer((1, camera.channels, *size), np.float32)})
    return made["y"][0], cpu[0]


def levels_apart(tensors: Tensors, image: ImageSpec, sixteen: bool = False) -> NDArray[np.float64]:
    """How far they are apart, in levels of 8 bits or counts of 16."""
    deviations = np.array(image.std or 1.0).reshape(-1, 1, 1)
    span = image.window16[1] - image.window16[0] if sixteen else 255
    by_kernel, by_cpu = (each.astype(np.float64) for each in tensors)
    return np.asarray(np.abs(by_kernel - by_cpu) * deviations * span / (image.range[1] - image.range[0]))


def spec_of(image: ImageSpec, size: tuple[int, int], role: Any = "visible", channels: int = 3) -> InputSpec:
    return InputSpec(name=role, role=role, shape=(1, channels, *size), image=image)


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blurred noise: about as much detail as a photograph has."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (height, width, 3)), (0, 0), 1.5)
    return np.asarray(np.clip(120 + 160 * noise, 0, 255), np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_random_views_of_noise(emulator: Emulator, seed: int) -> None:
    """The tolerance is that of OpenCV's rounding. Pixels on an edge of the picture may be on either side."""
    for side, size, generator in random_sides(100 + seed, 25):
        frame, image, view = side.camera.frame, side.camera.image, side.views[0]
        shape = (frame.height, frame.width)
        given: Any
        if frame.format == "y16":
            given = generator.integers(6500, 9500, shape, np.uint16)
        else:
            given = generator.integers(0, 256, (*shape, 3) if frame.format == "bgr8" else shape, np.uint8)
        if frame.format == "nv12":
            pairs = generator.integers(0, 256, (-(-shape[0] // 2), -(-shape[1] // 2), 2), np.uint8)
            given = Nv12(given, pairs, frame.matrix, frame.full_range, frame.chroma)
        sixteen = frame.format == "y16"
        spec = spec_of(image, size, "infrared" if sixteen else "visible", side.camera.channels)
        apart = levels_apart(both(emulator, given, spec, view), image, sixteen)
        allowed = most_levels(cv2, sixteen)
        assert (apart > allowed).mean() <= 0.002, (frame, view, apart.max())


def faces(size: tuple[int, int], frame: tuple[int, int]) -> dict[str, View]:
    """Views as a cabin has them, in a frame of at least 300x300."""
    box = over_box((80.4, 60.2, 260.9, 270.5), size, frame)
    registration = np.array([[0.98, 0.03, 4.2], [-0.02, 1.01, -3.7], [2e-5, -1e-5, 1.0]])
    return {
        "box": box,
        "turned": over_box((80.4, 60.2, 260.9, 270.5), size, frame, angle=0.35),
        "out of the frame": over_box((-60, -40, 180, 220), size, frame),
        "small": over_box((120, 100, 170, 160), size, frame),
        "other camera": box.behind(registration, size, frame),
        "whole, tilted": through(
            np.array([[frame[1] / size[1], 3, 0], [-2, frame[0] / size[0], 9], [1e-4, 2e-4, 1]]), size, frame
        ),
    }


@pytest.mark.parametrize("name", faces((112, 96), (480, 640)))
def test_views_of_faces(emulator: Emulator, name: str) -> None:
    """In pictures without noise releases of OpenCV before 5 are not far off either."""
    frame, size = (480, 640), (112, 96)
    view, image = faces(size, frame)[name], scene(*frame)
    smooth = 1.6 if most_levels(cv2) < 2 else 3.0
    for order in ("bgr", "rgb"):
        apart = levels_apart(both(emulator, image, spec_of(RGB, size), view, order), RGB)
        assert apart.max() < smooth
        assert apart.mean() < 0.4
    heat = 7000 + 8 * image[..., 0].astype(np.uint16)
    apart = levels_apart(both(emulator, heat, spec_of(HEAT, size, "infrared", 1), view), HEAT, sixteen=True)
    # 2,000 counts are a grey level each 8.
    assert apart.max() < 8 * smooth
    assert apart.mean() < 4
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    chroma = planar[480:].reshape(2, 240, 320).transpose(1, 2, 0)
    apart = levels_apart(both(emulator, Nv12(planar[:480], chroma), spec_of(RGB, size), view), RGB)
    assert apart.max() < smooth
    assert apart.mean() < 0.4


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "centre-crop"])
def test_nv12_by_the_fit_of_the_manifest(emulator: Emulator, fit: Any) -> None:
    planar = cv2.cvtColor(scene(240, 320), cv2.COLOR_BGR2YUV_I420)
    frame = Nv12(planar[:240], planar[240:].reshape(2, 120, 160).transpose(1, 2, 0), site="left")
    image = ImageSpec(colour="bgr", fit=fit, pad=(114,), crop=(0.05, 0.0, 1.0, 0.9))
    assert levels_apart(both(emulator, frame, spec_of(image, (96, 80)), None), image).max() < 2


@pytest.mark.skipif(not os.environ.get("EDGEFER_TEST_DATA"), reason="EDGEFER_TEST_DATA is not set")
def test_photographs_through_views(emulator: Emulator) -> None:
    folder = Path(os.environ["EDGEFER_TEST_DATA"])
    colour = [cv2.imread(str(path)) for path in sorted(folder.glob("london_faces/*/*.jpg"))[:4]]
    thermal = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(folder.glob("tno_pairs/ir/*.png"))[::5]]
    assert colour
    assert thermal
    smooth = 1.6 if most_levels(cv2) < 2 else 4.0
    for image in (*colour, *thermal):
        spec = spec_of(RGB if image.ndim == 3 else GREY, (112, 112), "visible", 3 if image.ndim == 3 else 1)
        assert spec.image is not None
        for name, view in faces((112, 112), image.shape[:2]).items():
            apart = levels_apart(both(emulator, image, spec, view), spec.image)
            assert apart.max() < smooth, name
            assert apart.mean() < 0.4, name
