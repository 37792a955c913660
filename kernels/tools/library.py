"""The C interface of a library of device code on the host; mirrors kernels/host/launch.hpp."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

MESSAGE_BYTES = 512
MUTANTS = 4096
"""How many planted defects a library tells apart, the first being none."""


class HostBuffer(ctypes.Structure):
    """Memory that the kernel may write."""

    _fields_ = (("begin", ctypes.c_void_p), ("bytes", ctypes.c_uint64))


class HostLaunch(ctypes.Structure):
    """One launch."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("buffers", ctypes.POINTER(HostBuffer)),
        ("shared_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("limit_s", ctypes.c_double),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32),
        ("buffer_count", ctypes.c_uint32),
        ("schedule", ctypes.c_int32),
        ("mutant", ctypes.c_int32),
    )


class HostReport(ctypes.Structure):
    """What went wrong; `kind` is 0 where nothing did."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("pc", ctypes.c_uint64),
        ("other_pc", ctypes.c_uint64),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_int32),
        ("kind", ctypes.c_int32),
        ("thread", ctypes.c_int32),
        ("access", ctypes.c_int32),
        ("block", ctypes.c_uint32 * 3),
        ("message", ctypes.c_char * MESSAGE_BYTES),
    )


class _HostEntry(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("kernel", ctypes.c_void_p), ("parameter_bytes", ctypes.c_uint64))


@dataclass(frozen=True)
class Kernel:
    """An entry in a loaded library."""

    name: str
    address: int
    parameter_bytes: int
    library: Library


class Library:
    """A loaded library. It stays loaded: its code may be on the stack of a fiber that was left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._dll = ctypes.CDLL(str(path))
        self._run = self._dll.edgefer_host_run
        self._run.restype = None
        self._run.argtypes = [ctypes.POINTER(HostLaunch), ctypes.POINTER(HostReport)]

    def kernels(self) -> dict[str, Kernel]:
        """Its entries by name."""
        address = ctypes.addressof(ctypes.c_char.in_dll(self._dll, "edgefer_host_entries"))
        found: dict[str, Kernel] = {}
        while True:
            entry = _HostEntry.from_address(address)
            if not entry.name:
                return found
            name = entry.name.decode()
            found[name] = Kernel(name, entry.kernel, entry.parameter_bytes, self)
            address += ctypes.sizeof(_HostEntry)

    def run(self, launch: HostLaunch) -> HostReport:
        """Run a launch; not from two threads at a time."""
        report = HostReport()
        self._run(ctypes.byref(launch), ctypes.byref(report))
        return report

    def reached(self) -> frozenset[int]:
        """The planted defects that device code came by since this was asked last; see kernels/tools/mutants.py."""
        marks = (ctypes.c_ubyte * MUTANTS).in_dll(self._dll, "edgefer_host_reached")
        numbers = frozenset(number for number, mark in enumerate(bytes(marks)) if mark)
        ctypes.memset(marks, 0, MUTANTS)
        return numbers

    def line_of(self, offset: int) -> str:
        """`file:line` of an instruction, or "" where that is not known."""
        if offset == 0:
            return ""
        command = ["addr2line", "-e", str(self.path), hex(offset)]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except FileNotFoundError:
            return ""
        place = answer.split(" ")[0]
        return "" if place.startswith("?") or place.endswith("?") else place
