"""A way for TensorRT-RTX's ONNX parser to find its own library.

The parser opens `libtensorrt_rtx.so` when it meets its first plugin; the wheel has `libtensorrt_rtx.so.1` alone, and
the process ends. A library of that name which does nothing but depend on the versioned one answers for it: the loader
knows a library that is already there by its soname, and looks symbols up in its dependencies.

Such a library is a header, one loadable segment and the seven entries that the System V ABI (generic part, chapter 5,
"Dynamic Linking") asks of a shared object, so it is written here, without a compiler.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import tempfile
from pathlib import Path

from edgefer.errors import EnvironmentMismatch

SONAME = "libtensorrt_rtx.so"
NEEDED = "libtensorrt_rtx.so.1"

_MACHINES = {"x86_64": 62, "aarch64": 183}
_HEADER, _PROGRAM_HEADER, _SYMBOL = 64, 56, 24
_PT_LOAD, _PT_DYNAMIC = 1, 2
_READABLE, _WRITABLE = 4, 2
_DT_NULL, _DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 0, 1, 4, 5, 6, 10, 11, 14

_loaded: list[ctypes.CDLL] = []


def install() -> None:
    """Make `libtensorrt_rtx.so` known to the loader, once. TensorRT-RTX is imported before.

    Nothing is done where a library of that name is found anyway.

    Raises:
        EnvironmentMismatch: the loader does not take it.
    """
    if _loaded:
        return
    try:
        _loaded.append(ctypes.CDLL(SONAME, mode=ctypes.RTLD_GLOBAL))
        return
    except OSError:
        pass  # as with the wheel
    try:
        with tempfile.TemporaryDirectory(prefix="edgefer-rtx-") as folder:
            path = Path(folder) / SONAME
            path.write_bytes(forwarding_library(SONAME, NEEDED))
            # It stays mapped after the file has gone, and loaded as long as this process: never closed.
            _loaded.append(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL))
    except OSError as error:
        raise EnvironmentMismatch(
            f"TensorRT-RTX's parser needs {SONAME}, and a library that stands for it cannot be loaded",
            hint=f"put a link {SONAME} to {NEEDED} into a folder of LD_LIBRARY_PATH before starting",
            details=str(error),
        ) from error


def forwarding_library(soname: str, needed: str, machine: str | None = None) -> bytes:
    """A 64-bit little-endian ELF shared object called `soname` that holds nothing and depends on `needed`.

    Raises:
        EnvironmentMismatch: there is no such ELF machine here.
    """
    machine = platform.machine() if machine is None else machine
    if machine not in _MACHINES:
        raise EnvironmentMismatch(
            f"cannot write a shared library for {machine}, only for {', '.join(_MACHINES)}",
            hint="compile without plugins here",
        )
    names = b"\0" + soname.encode() + b"\0" + needed.encode() + b"\0"
    symbols = _HEADER + 2 * _PROGRAM_HEADER
    table = symbols + _SYMBOL  # one symbol, the undefined one that every table begins with
    hashes = struct.pack("<4I", 1, 1, 0, 0)  # one bucket and one chain, both empty
    strings = table + len(hashes)
    dynamic = -(-(strings + len(names)) // 8) * 8
    entries = (
        (_DT_NEEDED, 1 + len(soname) + 1),
        (_DT_SONAME, 1),
        (_DT_HASH, table),
        (_DT_STRTAB, strings),
        (_DT_SYMTAB, symbols),
        (_DT_STRSZ, len(names)),
        (_DT_SYMENT, _SYMBOL),
        (_DT_NULL, 0),
    )
    body = b"".join(struct.pack("<qQ", tag, value) for tag, value in entries)
    total = dynamic + len(body)
    identity = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)  # 64 bits, little-endian, version 1, System V
    shared_object, version, no_entry, no_sections = 3, 1, 0, 0
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH",
        *(shared_object, _MACHINES[machine], version, no_entry, _HEADER, no_sections, 0),
        *(_HEADER, _PROGRAM_HEADER, 2, 64, 0, 0),
    )
    segments = _segment(_PT_LOAD, 0, total, 0x10000) + _segment(_PT_DYNAMIC, dynamic, len(body), 8)
    return b"".join((header, segments, bytes(_SYMBOL), hashes, names.ljust(dynamic - strings, b"\0"), body))


def _segment(kind: int, offset: int, size: int, alignment: int) -> bytes:
    # The loader writes addresses into the dynamic section, which is why the segment is writable.
    return struct.pack("<2I6Q", kind, _READABLE | _WRITABLE, offset, offset, offset, size, size, alignment)
