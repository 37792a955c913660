"""Memory of which every byte beyond the end faults: what a kernel on the host is given in place of a GPU's."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

_PAGE = mmap.PAGESIZE
_NONE, _READ, _READ_WRITE = 0, mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
_FAILED = ctypes.c_void_p(-1).value
ALIGNMENT = 16
"""Bytes. A GPU's allocations are aligned to 256, but no kernel needs more than 16, and less lets the end lie closer to
the page that faults."""


class Guarded:
    """`size` bytes between two pages that fault, as close to the second as the alignment lets them.

    What is left of the pages around them is filled with 0xFF: `stray` says whether it was written.
    """

    def __init__(self, name: str, size: int, fill: int = 0xFF) -> None:
        self.name = name
        self.size = size
        self._usable = -(-size // _PAGE) * _PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        mapped = _libc.mmap(None, self._usable + 2 * _PAGE, _NONE, flags, -1, 0)
        if mapped is None or mapped == _FAILED:
            raise MemoryError(f"{size} bytes for {name}")
        self._mapped: int = mapped
        self._protect(_READ_WRITE)
        self.address = mapped + _PAGE + self._usable - -(-size // ALIGNMENT) * ALIGNMENT
        ctypes.memset(mapped + _PAGE, 0xFF, self._usable)
        ctypes.memset(self.address, fill, size)

    def _protect(self, protection: int) -> None:
        if self._usable and _libc.mprotect(self._mapped + _PAGE, self._usable, protection) != 0:
            raise OSError(ctypes.get_errno(), f"mprotect of {self.name}")

    def put(self, array: NDArray[Any]) -> None:
        """Copy `array`, of `size` bytes, in, and make the memory read-only: a kernel that writes it faults."""
        data = np.ascontiguousarray(array)
        ctypes.memmove(self.address, data.ctypes.data, self.size)
        self._protect(_READ)

    def get(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """A copy of what is there."""
        array: NDArray[Any] = (
            np.frombuffer(ctypes.string_at(self.address, self.size), dtype=dtype).reshape(shape).copy()
        )
        return array

    def stray(self) -> bool:
        """Whether bytes next to the buffer, which belong to nothing, were written."""
        begin = self._mapped + _PAGE
        before = ctypes.string_at(begin, self.address - begin)
        end = self.address + self.size
        after = ctypes.string_at(end, begin + self._usable - end)
        return before.strip(b"\xff") != b"" or after.strip(b"\xff") != b""

    def place(self, address: int) -> str:
        """Where `address` lies as seen from this buffer, or "" where it is more than a page away."""
        if not self._mapped <= address < self._mapped + self._usable + 2 * _PAGE:
            return ""
        if address < self.address:
            return f"{self.address - address} bytes before `{self.name}`"
        if address >= self.address + self.size:
            return f"{address - self.address - self.size} bytes past the end of `{self.name}` ({self.size} bytes)"
        return f"byte {address - self.address} of `{self.name}`, an input"

    def close(self) -> None:
        """Give the memory back."""
        _libc.munmap(self._mapped, self._usable + 2 * _PAGE)
