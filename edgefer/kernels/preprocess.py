"""The pre-processing kernel: frames of two cameras in GPU memory into a network's input, in one launch.

The device code is kernels/include/edgefer/preprocess.cuh. Where each pixel comes from is in views
(`edgefer.kernels.preprocess_view`), which lie in device memory and may change from frame to frame.
"""

from __future__ import annotations

import ctypes
from typing import Any

from edgefer.errors import InputError
from edgefer.kernels.plan import Entry, Gpu, Launch, Plan
from edgefer.kernels.preprocess_frame import Camera, Frame, FrameFormat, Output, OutputForm, unsupported
from edgefer.kernels.preprocess_levels import Levels, levels, rgb_of_yuv

TILE = (32, 8)
"""Columns and rows of the input that one block makes; a thread makes one pixel."""
# The kernel takes the channels of RGB for those of BGR; `_of_visible` swaps what it multiplies them by.
_CODES: dict[FrameFormat, int] = {"bgr8": 1, "rgb8": 1, "nv12": 2, "gray8": 3, "y16": 4}
_BODIES: dict[OutputForm, str] = {
    "f32n": "edgefer::Planar<float>",
    "f16n": "edgefer::Planar<__half>",
    "f16h8": "edgefer::Together<__half, 8>",
    "i8c4": "edgefer::Together<edgefer::int8, 4>",
}


class PreprocessParams(ctypes.Structure):
    """The parameters of the kernel; preprocess_params.h says what they mean."""

    _fields_ = (
        ("visible", ctypes.c_void_p),
        ("visible_chroma", ctypes.c_void_p),
        ("infrared", ctypes.c_void_p),
        ("visible_views", ctypes.c_void_p),
        ("infrared_views", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("y_infrared", ctypes.c_void_p),
        ("visible_frame_stride", ctypes.c_longlong),
        ("chroma_frame_stride", ctypes.c_longlong),
        ("infrared_frame_stride", ctypes.c_longlong),
        ("visible_format", ctypes.c_int),
        ("visible_height", ctypes.c_int),
        ("visible_width", ctypes.c_int),
        ("visible_stride", ctypes.c_int),
        ("chroma_stride", ctypes.c_int),
        ("infrared_format", ctypes.c_int),
        ("infrared_height", ctypes.c_int),
        ("infrared_width", ctypes.c_int),
        ("infrared_stride", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("visible_channels", ctypes.c_int),
        ("infrared_channels", ctypes.c_int),
        ("chroma_shift", ctypes.c_float),
        ("visible_rgb", ctypes.c_float * 12),
        ("visible_mix", ctypes.c_float * 9),
        ("visible_add", ctypes.c_float * 3),
        ("visible_pad", ctypes.c_float * 3),
        ("infrared_low", ctypes.c_float),
        ("infrared_high", ctypes.c_float),
        ("infrared_mul", ctypes.c_float * 3),
        ("infrared_add", ctypes.c_float * 3),
        ("infrared_pad", ctypes.c_float * 3),
    )


ENTRIES: tuple[Entry, ...] = tuple(
    Entry(
        name=f"edgefer_preprocess_{form}",
        header="preprocess.cuh",
        body=f"edgefer::preprocess<{body}>",
        parameters="PreprocessParams",
        threads=TILE[0] * TILE[1],
    )
    for form, body in _BODIES.items()
)
"""One for each form of the output; formats and sizes of the frames are parameters."""


def plan(visible: Camera | None, infrared: Camera | None, output: Output, gpu: Gpu, frames: int = 1) -> Plan:
    """The launch for `frames` frames of each camera.

    Addresses to put in: `visible`, `visible_chroma` (of NV12), `visible_views` and likewise of the infrared camera,
    `y`, and `y_infrared` where outputs are separate. Views are (frames, 64 bytes), see `preprocess_view.packed`. The
    plan is the same for every `gpu`.

    Raises:
        InputError: the kernel cannot do it.
    """
    reason = unsupported(visible, infrared, output, frames)
    if reason:
        raise InputError(f"no pre-processing on the GPU: {reason}", hint="pre-process on the CPU instead")
    parameters: dict[str, Any] = {"height": output.height, "width": output.width}
    if visible is not None:
        parameters |= _of_visible(visible, output.scale)
    if infrared is not None:
        parameters |= _of_infrared(infrared, output.scale)
    grid = (-(-output.width // TILE[0]), -(-output.height // TILE[1]), frames)
    return Plan((Launch(f"edgefer_preprocess_{output.form}", grid, TILE[0] * TILE[1]),), parameters)


def _of_visible(camera: Camera, scale: float) -> dict[str, Any]:
    frame, found = camera.frame, levels(camera.image, camera.channels, 255.0, scale)
    return {
        **_of_frame("visible", frame),
        "chroma_frame_stride": frame.chroma_frame_bytes,
        "chroma_stride": frame.chroma_row_bytes,
        "chroma_shift": -0.25 if frame.chroma == "centre" else 0.0,
        "visible_channels": camera.channels,
        "visible_rgb": rgb_of_yuv(frame.matrix, full_range=frame.full_range),
        "visible_mix": _three(_swapped(found.mix) if frame.format == "rgb8" else found.mix, 9),
        **_of_levels("visible", found),
    }


def _of_infrared(camera: Camera, scale: float) -> dict[str, Any]:
    low, high = camera.image.window16 if camera.frame.format == "y16" else (0, 255)
    found = levels(camera.image, camera.channels, float(high - low), scale)
    return {
        **_of_frame("infrared", camera.frame),
        "infrared_channels": camera.channels,
        "infrared_low": float(low),
        "infrared_high": float(high),
        "infrared_mul": _three(found.mul, 3),
        **_of_levels("infrared", found),
    }


def _of_frame(camera: str, frame: Frame) -> dict[str, Any]:
    return {
        f"{camera}_frame_stride": frame.frame_bytes,
        f"{camera}_format": _CODES[frame.format],
        f"{camera}_height": frame.height,
        f"{camera}_width": frame.width,
        f"{camera}_stride": frame.row_bytes,
    }


def _of_levels(camera: str, found: Levels) -> dict[str, Any]:
    return {f"{camera}_add": _three(found.add, 3), f"{camera}_pad": _three(found.pad, 3)}


def _swapped(mix: tuple[float, ...]) -> tuple[float, ...]:
    """The rows for (B, G, R) of those for (R, G, B)."""
    return tuple(number for row in range(0, len(mix), 3) for number in reversed(mix[row : row + 3]))


def _three(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Filled up with zeros: channels that are not there."""
    return values + (0.0,) * (count - len(values))
