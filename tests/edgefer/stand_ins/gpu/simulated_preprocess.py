"""What the pre-processing kernel does on a simulated GPU, in float64 from its parameters alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from simulated_gpu import SimulatedGpu

from edgefer.kernels.preprocess import PreprocessParams
from edgefer.kernels.preprocess_frame import Frame, FrameFormat
from edgefer.kernels.preprocess_view import VIEW
from kernels.cases.preprocess_reference import Picture, seen

ENTRY = "edgefer_preprocess_f32n"
_FORMATS: dict[int, tuple[FrameFormat, int]] = {1: ("bgr8", 3), 2: ("nv12", 1), 3: ("gray8", 1), 4: ("y16", 2)}

Floats = NDArray[np.float64]


def register(gpu: SimulatedGpu) -> None:
    """Have the GPU run the entry for planar float32."""
    gpu.kernel(ENTRY, PreprocessParams, _run)


def _run(gpu: SimulatedGpu, p: Any, grid: tuple[int, ...]) -> None:
    assert grid[2] == 1, "a frame at a time"
    found = [values for values in (_visible(gpu, p), _infrared(gpu, p)) if values is not None]
    targets = [p.y, p.y_infrared] if p.y_infrared else [p.y]
    for target, values in zip(targets, found if p.y_infrared else [np.concatenate(found)], strict=True):
        gpu.view(target, values.shape, np.float32)[...] = values


def _visible(gpu: SimulatedGpu, p: Any) -> Floats | None:
    if not p.visible:
        return None
    kind, width = _FORMATS[p.visible_format]
    frame = Frame(kind, p.visible_height, p.visible_width, chroma="centre" if p.chroma_shift else "left")
    planes = _plane(gpu, p.visible, p.visible_stride, (frame.height, frame.width, width), np.uint8)
    pairs = None
    if kind == "nv12":
        half = (-(-frame.height // 2), -(-frame.width // 2), 2)
        pairs = _plane(gpu, p.visible_chroma, p.chroma_stride, half, np.uint8)
    mean, share = _seen(gpu, p, frame, planes if kind == "bgr8" else planes[..., 0], pairs, p.visible_views)
    if kind == "nv12":
        rows = np.array(p.visible_rgb).reshape(3, 4)
        mean = np.clip(mean @ rows[:, :3].T + rows[:, 3], 0, 255)
    elif mean.shape[-1] == 1:  # grey, or nothing of the picture
        mean = np.repeat(mean, 3, axis=-1)
    mixed = mean @ np.array(p.visible_mix).reshape(3, 3).T + np.array(p.visible_add)
    return _padded(mixed, share, p.visible_pad, p.visible_channels)


def _infrared(gpu: SimulatedGpu, p: Any) -> Floats | None:
    if not p.infrared:
        return None
    kind, width = _FORMATS[p.infrared_format]
    frame = Frame(kind, p.infrared_height, p.infrared_width)
    shape = (frame.height, frame.width, 1)
    planes = _plane(gpu, p.infrared, p.infrared_stride, shape, np.uint16 if width == 2 else np.uint8)
    mean, share = _seen(gpu, p, frame, planes[..., 0], None, p.infrared_views)
    level = np.clip(mean, p.infrared_low, p.infrared_high) - p.infrared_low
    return _padded(
        level * np.array(p.infrared_mul) + np.array(p.infrared_add), share, p.infrared_pad, p.infrared_channels
    )


def _padded(values: Floats, share: Floats, pad: Any, channels: int) -> Floats:
    return (share * values + (1 - share) * np.array(pad))[..., :channels].transpose(2, 0, 1)


def _seen(
    gpu: SimulatedGpu, p: Any, frame: Frame, planes: NDArray[Any], pairs: NDArray[Any] | None, view: int
) -> tuple[Floats, Floats]:
    memory = gpu.view(view, (1,), VIEW)[0]
    left, top, right, bottom = (int(edge) for edge in memory["crop"])
    across, down = (int(np.clip(count, 1, 16)) for count in memory["samples"])
    homography = memory["to_source"].astype(np.float64).reshape(3, 3)
    picture = Picture(frame, planes, pairs, homography, (left, top, right, bottom), (across, down))
    mean, share, _ = seen(picture, (p.height, p.width))
    return mean, share


def _plane(gpu: SimulatedGpu, address: int, stride: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """The pixels of rows that are `stride` bytes apart; nothing behind the last one is read."""
    row = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    rows = [gpu.view(address + number * stride, (row,), np.uint8) for number in range(shape[0])]
    return np.stack(rows).view(dtype).reshape(shape)
