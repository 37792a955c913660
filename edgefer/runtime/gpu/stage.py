"""The cameras' part of one graph launch: frames and views from the host, and the kernel that makes inputs of them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.kernels.launch import Kernels
from edgefer.kernels.plan import Gpu, Plan, fill
from edgefer.kernels.preprocess import PreprocessParams, plan
from edgefer.kernels.preprocess_frame import Camera, Frame, Output, unsupported
from edgefer.kernels.preprocess_view import VIEW, packed
from edgefer.kernels.streams import Stream
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu.buffers import aligned
from edgefer.runtime.gpu.cuda_memory import DeviceMemory
from edgefer.runtime.gpu.inference import Stage
from edgefer.runtime.view import Size, View

Planes = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class StageCamera:
    """One camera of a stage: a key of what is captured for it.

    Attributes:
        role: "visible" or "infrared".
        camera: its frames and what their pixels become.
        size: height and width of its input.
        in_place: where in GPU memory the frame lies, and its chroma (0 without); None: the host brings it.
    """

    role: str
    camera: Camera
    size: Size
    in_place: tuple[int, int] | None = None


def refused(cameras: Sequence[StageCamera]) -> str:
    """Why no kernel makes inputs of these cameras, "" where it does."""
    for group in _by_size(cameras):
        reason = unsupported(*_both(group), _output(group))
        if reason:
            return reason
    return ""


def stage_bytes(cameras: Sequence[StageCamera]) -> int:
    """The memory that a stage for these cameras takes, on the host, and on a GPU that has its own."""
    return _places(cameras)[1]


class FrameStage:
    """Memory for one frame of each camera and its view, and the launches that make inputs of them.

    On a GPU with memory of its own, all that the host brings goes there in one copy, whole frames at a time. Where GPU
    and host share their memory it is read in place. The views are part of it: a captured graph follows them.

    Args:
        device: whose memory it takes.
        kernels: loaded on that device.
        cameras: of which `refused` has nothing to say.
        targets: the address of each camera's input, float32 (1, C, H, W), by role.
        blank: address and size in bytes of inputs that are to be zeros, for cameras that are missing.
        zero_copy: whether the GPU reads the host's memory in place.

    Attributes:
        enqueue: puts the copy and the launches on a stream whose context is current; may be recorded. It refers to no
            device.

    Raises:
        DeviceError: there is not so much memory.
        InputError: the kernel does not take a camera.
    """

    def __init__(
        self,
        device: CudaDevice,
        kernels: Kernels,
        cameras: Sequence[StageCamera],
        targets: Mapping[str, int],
        *,
        blank: Sequence[tuple[int, int]] = (),
        zero_copy: bool = False,
    ) -> None:
        self._shown: dict[str, View] = {}
        places, size = _places(cameras)
        self._host = device.host((size,), np.uint8, mapped=zero_copy)
        try:
            self._device: DeviceMemory | None = None if zero_copy else device.allocate(size)
        except BaseException:
            self._host.close()
            raise
        base = self._host.address if self._device is None else self._device.address
        memory = self._host.array
        # Views of no picture at first: what is launched before a frame was written must read nothing.
        memory[...] = 0
        self._views = {role: found[0].of(memory) for role, found in places.items()}
        self._frames = {role: tuple(place.of(memory) for place in found[1:]) for role, found in places.items()}
        starts = {role: [base + place.start for place in found] for role, found in places.items()}
        launches = [_launch(group, kernels.gpu, _addresses(group, starts, targets)) for group in _by_size(cameras)]
        copied = None if self._device is None else memory
        self.enqueue: Stage = _work(base, copied, tuple(blank), launches, kernels)

    @property
    def bytes_on_gpu(self) -> int:
        """GPU memory that it takes."""
        return 0 if self._device is None else self._device.size

    def write(self, frames: Mapping[str, Planes], views: Mapping[str, View]) -> None:
        """Put the frames that the host brings, and the views, where the next launch finds them. No launch may be under
        way.

        Args:
            frames: by role: pixels, and chroma of NV12, as `planes_of` says; nothing for a frame that is in place.
            views: by role, of every camera.
        """
        for role, planes in frames.items():
            for target, plane in zip(self._frames[role], planes, strict=True):
                np.copyto(target, plane)
        for role, view in views.items():
            if self._shown.get(role) is not view:
                self._views[role][...] = packed([view])[0]
                self._shown[role] = view

    def close(self) -> None:
        """Give the memory back; no graph that has it may be launched any more."""
        self._views, self._frames = {}, {}
        if self._device is not None:
            self._device.close()
        self._host.close()


def _work(
    base: int,
    copied: npt.NDArray[np.uint8] | None,
    blank: tuple[tuple[int, int], ...],
    launches: Sequence[tuple[Plan, ctypes.Structure]],
    kernels: Kernels,
) -> Stage:
    def enqueue(stream: Stream) -> None:
        if copied is not None:
            stream.copy_in(base, copied)
        for address, size in blank:
            stream.fill(address, 0, size)
        for each, parameters in launches:
            kernels.launch(each, parameters, stream.handle)

    return enqueue


def _addresses(
    group: Sequence[StageCamera], starts: Mapping[str, Sequence[int]], targets: Mapping[str, int]
) -> dict[str, int]:
    """Of frames, views and inputs, by the field of the kernel's parameters. `starts` are those of view and planes."""
    found: dict[str, int] = {}
    for each, field in zip(group, ("y", "y_infrared"), strict=False):
        view, *planes = starts[each.role]
        pixels, *chroma = each.in_place or planes
        found |= {each.role: pixels, f"{each.role}_views": view, field: targets[each.role]}
        if each.camera.frame.format == "nv12":
            found["visible_chroma"] = chroma[0]
    return found


def _launch(group: Sequence[StageCamera], gpu: Gpu, addresses: Mapping[str, int]) -> tuple[Plan, ctypes.Structure]:
    found = plan(*_both(group), _output(group), gpu)
    return found, fill(PreprocessParams, found, addresses)


@dataclass(frozen=True)
class _Place:
    """A part of a stage's memory."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape) * self.dtype.itemsize

    def of(self, memory: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        part: npt.NDArray[Any] = memory[self.start : self.end].view(self.dtype).reshape(self.shape)
        return part


def _places(cameras: Sequence[StageCamera]) -> tuple[dict[str, list[_Place]], int]:
    """View and planes of each camera, by role, and the size of all in bytes. The views lie together."""
    views = [
        _Place(index * VIEW.itemsize, (VIEW.itemsize // 4,), np.dtype(np.float32)) for index in range(len(cameras))
    ]
    found = {each.role: [view] for each, view in zip(cameras, views, strict=True)}
    end = aligned(views[-1].end)
    for each in cameras:
        for shape, dtype in () if each.in_place else _planes(each.camera.frame):
            place = _Place(end, shape, np.dtype(dtype))
            found[each.role].append(place)
            end = aligned(place.end)
    return found, end


def _planes(frame: Frame) -> list[tuple[tuple[int, ...], type[np.uint8] | type[np.uint16]]]:
    """Shapes and types of a frame without gaps."""
    size = (frame.height, frame.width)
    if frame.format == "nv12":
        return [(size, np.uint8), ((-(-size[0] // 2), -(-size[1] // 2), 2), np.uint8)]
    if frame.format in ("bgr8", "rgb8"):
        return [((*size, 3), np.uint8)]
    return [(size, np.uint16 if frame.format == "y16" else np.uint8)]


def _by_size(cameras: Sequence[StageCamera]) -> list[list[StageCamera]]:
    """Those of one launch together, the visible camera first: it makes inputs of one size."""
    groups: dict[Size, list[StageCamera]] = {}
    for each in sorted(cameras, key=lambda camera: camera.role, reverse=True):
        groups.setdefault(each.size, []).append(each)
    return list(groups.values())


def _both(group: Sequence[StageCamera]) -> tuple[Camera | None, Camera | None]:
    found = {each.role: each.camera for each in group}
    return found.get("visible"), found.get("infrared")


def _output(group: Sequence[StageCamera]) -> Output:
    return Output("f32n", *group[0].size, separate=len(group) > 1)
