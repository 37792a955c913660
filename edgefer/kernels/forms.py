"""Forms of a tensor in GPU memory: element type and layout, and arrays (N, C, H, W) brought into them and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Element = Literal["f32", "f16", "i8"]
Layout = Literal["linear", "hwc", "chw32"]
ELEMENTS: tuple[Element, ...] = get_args(Element)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

DTYPES: dict[Element, type[Any]] = {"f32": np.float32, "f16": np.float16, "i8": np.int8}
CXX: dict[str, str] = {
    "f32": "float",
    "f16": "__half",
    "i8": "edgefer::int8",
    "linear": "edgefer::Linear",
    "hwc": "edgefer::Hwc",
    "chw32": "edgefer::Chw32",
}
"""How the device code spells them."""

_LETTER: dict[Layout, str] = {"linear": "n", "hwc": "h", "chw32": "c"}


@dataclass(frozen=True)
class Form:
    """An element type in a layout: `linear` is (N, C, H, W), `hwc` (N, H, W, C), `chw32` (N, C/32, H, W, 32)."""

    element: Element
    layout: Layout

    @property
    def code(self) -> str:
        """As in the names of entries: `f16h` for halves in (N, H, W, C)."""
        return self.element + _LETTER[self.layout]

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return int(np.dtype(DTYPES[self.element]).itemsize)

    @property
    def channel_multiple(self) -> int:
        """What the number of channels must be a multiple of, so that 16 bytes never hold two pixels or padding."""
        return {"linear": 1, "hwc": 16 // self.size, "chw32": 32}[self.layout]

    def takes(self, channels: int) -> bool:
        """Whether a tensor of so many channels has this form."""
        return channels % self.channel_multiple == 0


F32_LINEAR = Form("f32", "linear")
F32_HWC = Form("f32", "hwc")
F16_LINEAR = Form("f16", "linear")
F16_HWC = Form("f16", "hwc")
I8_CHW32 = Form("i8", "chw32")
FORMS: tuple[Form, ...] = (F32_LINEAR, F32_HWC, F16_LINEAR, F16_HWC, I8_CHW32)
"""The forms for which entries are compiled."""


def pack(array: NDArray[Any], form: Form, scale: float = 1.0) -> NDArray[Any]:
    """`array` (N, C, H, W), any float type, as it lies in memory in `form`; contiguous.

    INT8 is the nearest whole number to array / scale, ties to even, within -128..127, as QuantizeLinear has it.
    """
    values = array
    if form.element == "i8":
        values = np.clip(np.rint(array.astype(np.float64) / scale), -128, 127)
    typed = values.astype(DTYPES[form.element])
    count, channels, height, width = typed.shape
    if form.layout == "hwc":
        typed = typed.transpose(0, 2, 3, 1)
    elif form.layout == "chw32":
        typed = typed.reshape(count, channels // 32, 32, height, width).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(typed)


def unpack(
    memory: NDArray[Any], form: Form, shape: tuple[int, int, int, int], scale: float = 1.0
) -> NDArray[np.float64]:
    """The tensor of `shape` (N, C, H, W) that `memory` holds in `form`, in float64, times `scale`."""
    count, channels, height, width = shape
    if form.layout == "linear":
        values = memory.reshape(shape)
    elif form.layout == "hwc":
        values = memory.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
    else:
        values = memory.reshape(count, channels // 32, height, width, 32).transpose(0, 1, 4, 2, 3).reshape(shape)
    return values.astype(np.float64) * scale
