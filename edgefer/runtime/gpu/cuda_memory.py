"""Memory of the GPU, and memory of the host that the GPU reaches. Both are closed with the device at the latest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgefer.runtime.gpu.cuda_context import PrimaryContext


class DeviceMemory:
    """A block of `size` bytes at `address` of the GPU; aligned to 256 bytes. After `close` the address is 0."""

    __slots__ = ("_context", "_key", "_owner", "address", "size")

    def __init__(self, context: PrimaryContext, size: int, owner: object) -> None:
        """`owner` lives as long as this does: the context goes with it.

        Raises:
            DeviceError: there is not so much memory, or the driver refused.
            UsageError: the device is closed.
        """
        with context, context.translator.guard():
            block = context.pycuda.mem_alloc(max(size, 1))  # none of no bytes is given
            self._key = context.hold(block.free, by_pycuda=True)
            self.address = int(block)
        self._context = context
        self._owner = owner
        self.size = size

    def close(self) -> None:
        """Gives it back; nothing where that is done."""
        self.address = 0
        self._context.let_go(self._key)


class HostMemory:
    """A page-locked array of the host. `address` is where the GPU finds the same memory, 0 where it was not asked for.

    After `close` the array is empty; views of what it was point to memory that is gone.
    """

    __slots__ = ("_context", "_key", "_owner", "address", "array")

    def __init__(
        self, context: PrimaryContext, shape: Sequence[int], dtype: DTypeLike, *, mapped: bool, owner: object
    ) -> None:
        """An array of `shape` and `dtype`, contiguous, its content undefined. `owner` as for `DeviceMemory`.

        Raises:
            DeviceError: the host has not so much memory to lock, or the driver refused.
            UsageError: the device is closed.
        """
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        flags = context.pycuda.host_alloc_flags.PORTABLE
        if mapped:
            flags |= context.pycuda.host_alloc_flags.DEVICEMAP
        with context, context.translator.guard():
            # Bytes, because pycuda can make no array of no elements and none without axes.
            block = context.pycuda.pagelocked_empty(max(size, 1), np.uint8, mem_flags=flags)
            allocation = block.base
            self._key = context.hold(allocation.free, by_pycuda=True)
            try:
                self.address = int(allocation.get_device_pointer()) if mapped else 0
            except BaseException:
                context.let_go(self._key)
                raise
        self.array: NDArray[Any] = block[:size].view(kind).reshape(tuple(shape))
        self._context = context
        self._owner = owner

    def close(self) -> None:
        """Gives it back; nothing where that is done."""
        self.address = 0
        self.array = np.empty(0, self.array.dtype)
        self._context.let_go(self._key)
