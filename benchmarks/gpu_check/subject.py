"""What the parts about sessions are run on: a bundle, and a way to open it on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefer.bundle.container import Bundle
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

Feeds = dict[str, NDArray[np.float32]]

_FRAMES: dict[str, tuple[float, type[Any], tuple[int, ...]]] = {
    "visible": (1.0, np.uint8, (3,)),
    "infrared": (0.51, np.uint16, ()),
}
"""Relative size, element type, and channels, of the frames of each camera."""


@dataclass(frozen=True)
class Subject:
    """`engine` says in words what runs: "built by hand", "tensorrt 10.3.0"; `open` gives a session on the GPU."""

    engine: str
    bundle: Bundle
    open: Callable[[GpuSettings], Session]

    def feeds(self, batch: int = 1, seed: int = 1) -> Feeds:
        """Random inputs in 0..1 by name, each channel of a brightness of its own: a network that answers with means
        would answer alike to plain noise."""
        generator = np.random.default_rng(seed)
        found = {}
        for spec in self.bundle.graph().inputs:
            shape = (batch, *spec.shape[1:])
            if spec.role == "present":
                found[spec.name] = np.ones(shape, np.float32)
                continue
            bright = 0.2 + 0.8 * generator.random((*shape[:2], *(1 for _ in shape[2:])))
            found[spec.name] = (bright * generator.random(shape, np.float32)).astype(np.float32)
        return found

    def frames(self, seed: int = 1) -> dict[str, NDArray[Any]]:
        """Random frames of both cameras, in colour and of 16 bits: about 490 x 650 and 250 x 330 for inputs of 224."""
        generator = np.random.default_rng(seed)
        frames: dict[str, NDArray[Any]] = {}
        for spec in self.bundle.graph().inputs:
            if spec.role not in _FRAMES or spec.image is None:
                continue
            times, depth, channels = _FRAMES[spec.role]
            size = (int(2.2 * times * spec.shape[2]), int(2.9 * times * spec.shape[3]), *channels)
            frames[str(spec.role)] = generator.integers(0, np.iinfo(depth).max, size, depth, endpoint=True)
        return frames


def runner_of(session: Session) -> Any:
    """The runner of a session on the GPU; the check looks into it, an application never has to."""
    return session._opened()


def device_of(session: Session) -> CudaDevice:
    """Its GPU."""
    device: CudaDevice = runner_of(session).device
    return device


def counted(session: Session, what: str) -> int:
    """How often its runner did something so far, by the name that `session.info` has for it."""
    counters: Any = session.info["counters"]
    return int(counters.get(what, 0))


class OnGpu:
    """An array in the GPU's memory as another library would hand it out, until the device is closed."""

    def __init__(self, device: CudaDevice, array: NDArray[Any]) -> None:
        self._device = device
        self._memory = device.allocate(array.nbytes)
        self.address = self._memory.address
        self.__cuda_array_interface__: Mapping[str, Any] = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": None,
        }
        self.put(array)

    def put(self, array: NDArray[Any]) -> None:
        """Other contents, which are there when this returns."""
        with self._device.current(), self._device.stream() as stream:
            stream.copy_in(self.address, array)
            stream.wait()
