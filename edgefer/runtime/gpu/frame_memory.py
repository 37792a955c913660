"""Frames as the pre-processing kernel takes them: their format, and where they lie, on the host or in GPU memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgefer.errors import InputError
from edgefer.kernels.preprocess_frame import Frame, FrameFormat
from edgefer.runtime.device_array import DeviceArray, device_array
from edgefer.runtime.frame_tensors import check_nv12_shapes, checked_nv12
from edgefer.runtime.gpu.stage import Planes
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.preprocess import ColourOrder, checked_image


@dataclass(frozen=True, eq=False)
class Taken:
    """A camera's frame.

    Attributes:
        frame: its format, size and strides.
        planes: pixels, and chroma of NV12, where the host brings them; () where they are in GPU memory.
        arrays: the same in GPU memory.
    """

    frame: Frame
    planes: Planes = ()
    arrays: tuple[DeviceArray, ...] = ()

    @property
    def in_place(self) -> tuple[int, int] | None:
        """Addresses in GPU memory, as `StageCamera` has them."""
        if not self.arrays:
            return None
        return self.arrays[0].address, self.arrays[1].address if len(self.arrays) > 1 else 0


def taken(frame: object, name: str, colour: ColourOrder) -> Taken | str:
    """A frame, or why the kernel has no format for it.

    Args:
        frame: an image of NumPy, an array in GPU memory whose rows are contiguous, or `Nv12` of either.
        name: the input it is for, for messages.
        colour: the order of three channels.

    Raises:
        InputError: it is no frame at all.
    """
    if isinstance(frame, Nv12):
        return _of_nv12(frame, name)
    array = None if isinstance(frame, np.ndarray) else _rows(frame, name)
    if array is not None:
        format_ = _format(array[0].shape, array[0].dtype, colour)
        if not format_:
            return f"has frames of {array[0].dtype} with the shape {array[0].shape} in GPU memory"
        found, stride = array
        if format_ == "y16" and found.address % 2:
            return f"has frames of 16 bits at the odd address {found.address:#x}"
        return Taken(Frame(format_, found.shape[0], found.shape[1], stride=stride), arrays=(found,))
    image = checked_image(frame, name)
    format_ = _format(image.shape, image.dtype, colour)
    if not format_:
        return "has frames of three channels of 16 bits"
    return Taken(Frame(format_, image.shape[0], image.shape[1]), planes=(image,))


def _of_nv12(frame: Nv12, name: str) -> Taken | str:
    plain = Frame("nv12", 1, 1, matrix=frame.matrix, full_range=frame.full_range, chroma=frame.site)
    on_gpu = [None if isinstance(plane, np.ndarray) else _rows(plane, name) for plane in (frame.luma, frame.chroma)]
    if on_gpu == [None, None]:
        luma, chroma = checked_nv12(frame, name)
        return Taken(replace(plain, height=luma.shape[0], width=luma.shape[1]), planes=(luma, chroma))
    if on_gpu[0] is None or on_gpu[1] is None:
        raise InputError(
            f"the NV12 frame for input '{name}' has one plane in GPU memory and one on the host",
            hint="copy both to the same side",
        )
    (first, stride), (second, chroma_stride) = on_gpu[0], on_gpu[1]
    if first.dtype != np.uint8 or second.dtype != np.uint8:
        raise InputError(f"the NV12 frame for input '{name}' has {first.dtype} and {second.dtype}, expected uint8")
    check_nv12_shapes(first.shape, second.shape, name)
    if second.address % 2:
        return f"has chroma at the odd address {second.address:#x}"
    height, width = first.shape
    layout = replace(plain, height=height, width=width, stride=stride, chroma_stride=chroma_stride)
    return Taken(layout, arrays=(first, second))


def _format(shape: tuple[int, ...], dtype: Any, colour: ColourOrder) -> FrameFormat | None:
    if len(shape) == 3 and shape[2] == 3:
        return (None if dtype != np.uint8 else "bgr8" if colour == "bgr" else "rgb8") if 0 not in shape else None
    if (len(shape) == 2 or shape[2:] == (1,)) and 0 not in shape:
        return "gray8" if dtype == np.uint8 else "y16" if dtype == np.uint16 else None
    return None


@dataclass(frozen=True, eq=False)
class _Packed:
    """An array's description without the distance between its rows."""

    __cuda_array_interface__: Mapping[str, Any]


def _rows(value: object, name: str) -> tuple[DeviceArray, int] | None:
    """An array in GPU memory and the bytes from row to row, which cameras and allocators round up."""
    said = getattr(value, "__cuda_array_interface__", None)
    strides = said.get("strides") if isinstance(said, Mapping) else None
    if not isinstance(said, Mapping) or not strides:
        found = device_array(value, name)
        return None if found is None else (found, 0)
    shape = tuple(said.get("shape") or ())
    found = device_array(_Packed({**said, "strides": None}), name)
    assert found is not None
    expected = found.dtype.itemsize
    for axis in range(len(shape) - 1, 0, -1):
        if shape[axis] != 1 and strides[axis] != expected:
            expected = -1
            break
        expected *= shape[axis]
    if expected < 0 or (shape and shape[0] > 1 and strides[0] < expected):
        raise InputError(
            f"the frame for input '{name}' has the shape {shape} and the strides {tuple(strides)} in bytes, expected "
            "rows whose pixels lie one after the other",
            hint="copy it into an array of its own, with .contiguous() in PyTorch or cupy.ascontiguousarray",
        )
    stride = int(strides[0]) if shape and shape[0] > 1 else 0
    return DeviceArray(found.address, found.shape, found.dtype, found.stream, value, found.read_only), stride
