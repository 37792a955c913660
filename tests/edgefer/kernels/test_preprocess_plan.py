"""The pre-processing kernel's parameters, its plan, and what it says it cannot do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import InputError
from edgefer.kernels.forms import CXX
from edgefer.kernels.plan import HOPPER, ORIN, Plan, fill
from edgefer.kernels.preprocess import ENTRIES, PreprocessParams, plan, unsupported
from edgefer.kernels.preprocess_frame import Camera, Frame, Output
from edgefer.kernels.preprocess_levels import levels, rgb_of_yuv

HEADER = Path(__file__).parents[3] / "kernels" / "include" / "edgefer" / "preprocess_params.h"
RGB, GREY = ImageSpec(colour="rgb"), ImageSpec(colour="grey")
F32 = Output("f32n", 224, 224)


def visible(kind: Any = "bgr8", height: int = 720, width: int = 1280, image: ImageSpec = RGB, **frame: Any) -> Camera:
    return Camera(Frame(kind, height, width, **frame), image, 3 if image.colour != "grey" else 1)


def infrared(kind: Any = "y16", image: ImageSpec = GREY, channels: int = 1, **frame: Any) -> Camera:
    return Camera(Frame(kind, 480, 640, **frame), image, channels)


def test_the_structure_has_the_fields_of_the_header() -> None:
    text = HEADER.read_text().split("struct PreprocessParams {")[1].split("};")[0]
    declared = re.findall(r"^\s*(?:const )?(void\*|long long|int|float) (\w+)(?:\[(\d+)\])?;", text, re.MULTILINE)
    kinds = {"void*": "c_void_p", "long long": "c_long", "int": "c_int", "float": "c_float"}
    found = []
    for name, kind, *_ in PreprocessParams._fields_:
        length = str(getattr(kind, "_length_", ""))
        element = getattr(kind, "_type_", kind) if length else kind
        found.append((element.__name__.replace("c_longlong", "c_long"), name, length))
    assert found == [(kinds[kind], name, length) for kind, name, length in declared]


def test_entries_are_one_for_each_form() -> None:
    assert [entry.name.removeprefix("edgefer_preprocess_") for entry in ENTRIES] == ["f32n", "f16n", "f16h8", "i8c4"]
    assert all(entry.threads == 256 and entry.parameters == "PreprocessParams" for entry in ENTRIES)
    assert CXX["i8"] in ENTRIES[3].body


@pytest.mark.parametrize(
    ("size", "frames", "grid"),
    [((224, 224), 1, (7, 28, 1)), ((1, 1), 3, (1, 1, 3)), ((9, 33), 64, (2, 2, 64)), ((112, 96), 8, (3, 14, 8))],
)
def test_blocks_cover_the_input(size: tuple[int, int], frames: int, grid: tuple[int, int, int]) -> None:
    found = plan(visible(), None, Output("f16h8", *size), ORIN, frames=frames)
    assert found == plan(visible(), None, Output("f16h8", *size), HOPPER, frames=frames)
    (launch,) = found.launches
    assert (launch.grid, launch.block, launch.shared_bytes) == (grid, 256, 0)
    assert launch.entry in {entry.name for entry in ENTRIES}
    assert found.workspace_bytes == 0


def filled(found: Plan) -> Any:
    return fill(PreprocessParams, found, {"visible": 16, "y": 32})


def test_strides_are_those_of_the_frames_or_of_rows_without_gaps() -> None:
    packed = filled(plan(visible("nv12", 719, 1279), infrared(), F32, ORIN))
    assert (packed.visible_stride, packed.visible_frame_stride) == (1279, 1279 * 719)
    assert (packed.chroma_stride, packed.chroma_frame_stride) == (1280, 1280 * 360)
    assert (packed.infrared_stride, packed.infrared_frame_stride) == (1280, 1280 * 480)
    assert (packed.visible, packed.visible_chroma, packed.y) == (16, None, 32)
    gaps = visible("nv12", stride=1536, chroma_stride=2048, frame_stride=1 << 21, chroma_frame_stride=1 << 20)
    found = filled(plan(gaps, None, F32, ORIN))
    assert (found.visible_stride, found.chroma_stride) == (1536, 2048)
    assert (found.visible_frame_stride, found.chroma_frame_stride) == (1 << 21, 1 << 20)
    assert found.infrared_format == 0


def test_numbers_of_the_manifest() -> None:
    image = ImageSpec(colour="bgr", mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0), pad=(255, 0, 51))
    found = filled(plan(visible(image=image), None, F32, ORIN))
    assert list(found.visible_mix) == pytest.approx([0, 0, 2 / 255, 0, 4 / 255, 0, 1 / 255, 0, 0])
    assert list(found.visible_add) == pytest.approx([-1, -1, 0])
    assert list(found.visible_pad) == pytest.approx([1, -1, 0.2])
    swapped = filled(plan(visible("rgb8", image=image), None, F32, ORIN))
    assert list(swapped.visible_mix) == pytest.approx([2 / 255, 0, 0, 0, 4 / 255, 0, 0, 0, 1 / 255])
    assert swapped.visible_format == found.visible_format
    heat = ImageSpec(colour="grey", window16=(7000, 9000), range=(-1.0, 1.0), pad=(51,))
    found = filled(plan(None, infrared(image=heat), F32, ORIN))
    assert (found.infrared_low, found.infrared_high) == (7000, 9000)
    assert list(found.infrared_mul) == pytest.approx([2 / 2000, 0, 0])
    assert list(found.infrared_add) == pytest.approx([-1, 0, 0])
    assert list(found.infrared_pad) == pytest.approx([-0.6, 0, 0])
    eight = filled(plan(None, infrared("gray8", image=heat), F32, ORIN))
    assert (eight.infrared_low, eight.infrared_high, eight.infrared_mul[0]) == (0, 255, pytest.approx(2 / 255))


def test_int8_is_in_steps() -> None:
    found = filled(plan(visible(), infrared(), Output("i8c4", 8, 8, scale=1 / 127), ORIN))
    assert found.visible_mix[0] * 255 == pytest.approx(127)
    assert found.infrared_mul[0] * 65535 == pytest.approx(127)


@pytest.mark.parametrize("weights", ["bt601", "bt709", "average"])
def test_grey_is_mixed_by_weights_that_sum_to_one(weights: Any) -> None:
    for channels in (1, 3):
        mix = levels(ImageSpec(colour="grey", grey=weights), channels, 255.0).mix
        assert len(mix) == 3 * channels
        assert [sum(mix[row : row + 3]) for row in range(0, len(mix), 3)] == pytest.approx([1 / 255] * channels)


@pytest.mark.parametrize(
    ("matrix", "full", "rows"),
    [
        ("bt601", False, ((1.164, 0, 1.596), (1.164, -0.392, -0.813), (1.164, 2.017, 0))),
        ("bt601", True, ((1, 0, 1.402), (1, -0.344, -0.714), (1, 1.772, 0))),
        ("bt709", False, ((1.164, 0, 1.793), (1.164, -0.213, -0.533), (1.164, 2.112, 0))),
        ("bt709", True, ((1, 0, 1.575), (1, -0.187, -0.468), (1, 1.856, 0))),
    ],
)
def test_rgb_of_yuv_are_the_published_numbers(matrix: Any, full: bool, rows: Any) -> None:
    numbers = rgb_of_yuv(matrix, full_range=full)
    black, white = (0, 255) if full else (16, 235)
    for row in range(3):
        found = numbers[4 * row : 4 * row + 4]
        assert found[:3] == pytest.approx(rows[row], abs=1e-3)
        assert found[0] * black + 128 * (found[1] + found[2]) + found[3] == pytest.approx(0, abs=1e-9)
        assert found[0] * white + 128 * (found[1] + found[2]) + found[3] == pytest.approx(255)


REFUSED: dict[str, tuple[Camera | None, Camera | None, Output, str]] = {
    "nobody": (None, None, F32, "no camera"),
    "one output of one": (visible(), None, Output("f32n", 8, 8, separate=True), "two cameras"),
    "no rows": (visible(), None, Output("f32n", 0, 8), "0x8"),
    "INT8 without scale": (visible(), None, Output("i8c4", 8, 8), "the scale 0"),
    "FP16 with scale": (visible(), None, Output("f16n", 8, 8, scale=0.1), "the scale 0.1"),
    "16-bit colour": (visible("y16"), None, F32, "expected bgr8 or rgb8 or nv12 or gray8"),
    "infrared in colour": (visible(), infrared("nv12"), F32, "the infrared camera has frames in nv12"),
    "no frame": (visible("bgr8", 0, 5), None, F32, "frames of 0x5"),
    "rows overlap": (visible("bgr8", stride=3839), None, F32, "3839 bytes from row to row"),
    "rows of 2 GiB": (visible("gray8", stride=1 << 31), None, F32, "bytes from row to row"),
    "chroma overlaps": (visible("nv12", chroma_stride=1278), None, F32, "1278 bytes from row to row of chroma"),
    "frames overlap": (visible("gray8", frame_stride=99), None, F32, "less than a frame"),
    "odd rows of 16 bits": (None, infrared(stride=1281), F32, "odd number of bytes"),
    "odd rows of chroma": (visible("nv12", chroma_stride=1281), None, F32, "odd number of bytes"),
    "equalised": (visible(image=ImageSpec(colour="rgb", equalise="clahe")), None, F32, "equalises by clahe"),
    "bicubic": (visible(image=ImageSpec(colour="rgb", resize="bicubic")), None, F32, "resizes by bicubic"),
    "two means": (visible(image=ImageSpec(colour="rgb", mean=(0.0, 0.0))), None, F32, "2 values of mean"),
    "no deviation": (visible(image=ImageSpec(colour="rgb", std=(0.0, 1, 1))), None, F32, "must be above 0"),
    "two channels": (None, infrared(channels=2), F32, "2 channels"),
    "six channels of INT8": (visible(), infrared(channels=3), Output("i8c4", 8, 8, scale=1.0), "6 channels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_do_is_said(name: str) -> None:
    seen, heat, output, says = REFUSED[name]
    assert says in unsupported(seen, heat, output)
    with pytest.raises(InputError, match="no pre-processing on the GPU") as caught:
        plan(seen, heat, output, ORIN)
    assert "CPU" in caught.value.hint


def test_too_many_frames() -> None:
    assert "65536 outputs" in unsupported(visible(), None, F32, frames=65_536)
    assert unsupported(visible(), infrared(), F32, frames=65_535) == ""
