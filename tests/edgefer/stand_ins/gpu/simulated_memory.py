"""Memory of a simulated GPU: bytes behind addresses, each of which belongs to one allocation.

Addresses on the GPU are no addresses of this process: whoever takes one for the other is found out. Host memory that
the driver hands out is real, and stays mapped after it was freed, so that its use shows as an error and not as a crash.
"""

from __future__ import annotations

import bisect
import ctypes
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Kind = Literal["device", "host", "engine", "foreign"]
"""Of the driver's, page-locked, TensorRT's own, another library's."""

UNWRITTEN = 0xFF
"""What new memory holds: NaN as a float, so that a result that nobody wrote shows."""
_FIRST = 0x7_0000_0000
_ALIGNMENT = 512


class IllegalUse(AssertionError):
    """What would be undefined on a GPU: memory that is not there, a graph that does not hold any more..."""


@dataclass(eq=False)
class Allocation:
    """`address` is where the GPU sees it (0: it does not), `host` where the host does (0: it does not)."""

    kind: Kind
    size: int
    bytes: Bytes
    address: int = 0
    host: int = 0
    freed: bool = False


@dataclass
class Memory:
    """All memory that was handed out; freed memory is kept to say so."""

    total: int
    used: int = 0
    allocations: list[Allocation] = field(default_factory=list)
    _next: int = _FIRST
    _by_address: list[tuple[int, Allocation]] = field(default_factory=list)
    _by_host: list[tuple[int, Allocation]] = field(default_factory=list)

    @property
    def open(self) -> list[Allocation]:
        """What is to be given back by those who are tested."""
        return [each for each in self.allocations if not each.freed and each.kind != "foreign"]

    def allocate(self, size: int, kind: Kind = "device", *, mapped: bool = True) -> Allocation:
        """New memory full of `UNWRITTEN`.

        Raises:
            MemoryError: there is not so much.
        """
        if self.used + size > self.total:
            raise MemoryError
        self.used += size
        made = Allocation(kind, size, np.full(max(size, 1), UNWRITTEN, np.uint8))
        if kind == "host":
            made.host = int(made.bytes.ctypes.data)
            bisect.insort(self._by_host, (made.host, made), key=lambda each: each[0])
        if kind != "host" or mapped:
            made.address = self._next
            # A gap between any two, so that one byte too far belongs to nobody.
            self._next += -(-(size + 1) // _ALIGNMENT) * _ALIGNMENT
            self._by_address.append((made.address, made))
        self.allocations.append(made)
        return made

    def free(self, address: int, *, host: bool = False) -> None:
        """Give back what begins at an address.

        Raises:
            KeyError: nothing that is in use begins there.
        """
        found = self._holding(self._by_host if host else self._by_address, address)
        begins = found is not None and address == (found.host if host else found.address)
        if found is None or not begins or found.freed or (found.kind == "host") != host:
            raise KeyError(address)
        found.freed = True
        self.used -= found.size

    def begin(self, address: int) -> int:
        """Where the allocation that an address of the GPU or of the host is in begins; 0 where it is in none."""
        found = self._holding(self._by_address, address)
        if found is not None:
            return found.address
        found = self._holding(self._by_host, address)
        return 0 if found is None else found.host

    def at(self, address: int, size: int) -> Bytes:
        """The bytes that the GPU sees at an address; writing to them writes to the memory.

        Raises:
            IllegalUse: they are not all of one allocation that is in use.
        """
        return self._bytes(self._by_address, address, size, "GPU")

    def at_host(self, address: int, size: int) -> Bytes:
        """The bytes that the host sees at an address: of an allocation, or any others of this process."""
        if self._holding(self._by_host, address) is not None:
            return self._bytes(self._by_host, address, size, "host")
        if self._by_address and _FIRST <= address < self._next:
            raise IllegalUse(f"{address:#x} is an address of the GPU, not of the host")
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def is_pinned(self, address: int) -> bool:
        return self._holding(self._by_host, address) is not None

    def view(self, address: int, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """The array at an address of the GPU."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        return self.at(address, size).view(kind).reshape(shape)

    def _bytes(self, known: list[tuple[int, Allocation]], address: int, size: int, side: str) -> Bytes:
        found = self._holding(known, address)
        if found is None:
            raise IllegalUse(f"the {side} has no memory at {address:#x}")
        if found.freed:
            raise IllegalUse(f"the memory at {address:#x} ({found.kind}, {found.size} bytes) is freed already")
        start = address - (found.host if known is self._by_host else found.address)
        if start + size > found.size:
            raise IllegalUse(f"{size} bytes from byte {start} on of {found.size} at {address:#x}")
        return found.bytes[start : start + size]

    @staticmethod
    def _holding(known: list[tuple[int, Allocation]], address: int) -> Allocation | None:
        index = bisect.bisect_right(known, address, key=lambda each: each[0]) - 1
        if index < 0:
            return None
        start, found = known[index]
        return found if address < start + max(found.size, 1) else None
