"""The bytes of a bundle: a zip file of which every byte follows from the names and contents of its members.

Members are stored, not deflated: deflate's output depends on the library that made it, so that equal content would not
give equal bytes; weights hardly shrink; and a reader that never inflates cannot be made to by a zip bomb. Dates,
attributes and order are fixed, and reading demands exactly the bytes that writing gives, so that no byte of a bundle
is free to differ: whatever is damaged is found. Any zip tool can list and extract a bundle; one that re-packs it makes
something else. The format is that of PKWARE's APPNOTE 6.3 without Zip64 (a bundle stays below 2 GiB).
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from edgefer.bundle.names import MANIFEST, fault_of_name
from edgefer.errors import BundleError

MAX_BUNDLE_BYTES = 2**31 - 1
MAX_MEMBER_BYTES = 2**30
MAX_MEMBERS = 256

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION = 20
_MADE_BY_UNIX = (3 << 8) | _VERSION
_STORED = 0
_TIME, _DATE = 0, (1 << 5) | 1  # 1980-01-01, the earliest a zip can say
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_ENCRYPTED = 0x1
_REPACKED = "copy bundles as they are; a bundle that was unpacked and zipped again is no longer one"


class _Entry(NamedTuple):
    """One record of the central directory, as found."""

    name: str
    made_by: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int
    raw: bytes


def check_members(sizes: Mapping[str, int]) -> list[str]:
    """The order in which members of these names and sizes (bytes) are written.

    Raises:
        BundleError: a name is not allowed, or there are too many members or bytes.
    """
    names = [MANIFEST, *sorted(name for name in sizes if name != MANIFEST)]
    _check_names(names)
    if len(names) > MAX_MEMBERS:
        raise BundleError(f"a bundle has at most {MAX_MEMBERS} members, this one would have {len(names)}")
    for name in names:
        if sizes[name] > MAX_MEMBER_BYTES:
            raise BundleError(f"member '{name}' has {sizes[name]} bytes, more than the {MAX_MEMBER_BYTES} allowed")
    headers = sum(_LOCAL.size + _CENTRAL.size + 2 * len(name) for name in names) + _END.size
    total = headers + sum(sizes.values())
    if total > MAX_BUNDLE_BYTES:
        raise BundleError(f"the bundle would have {total} bytes, more than the {MAX_BUNDLE_BYTES} allowed")
    return names


def pack(members: Mapping[str, bytes]) -> bytes:
    """The bytes of a bundle with these members, `manifest.json` first and the others by name.

    Raises:
        BundleError: a name is not allowed, or there are too many members or bytes.
    """
    names = check_members({name: len(data) for name, data in members.items()})
    pieces: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name in names:
        data = members[name]
        crc = zlib.crc32(data)
        directory.append(_central(name, crc, len(data), offset))
        pieces += (_local(name, crc, len(data)), data)
        offset += len(pieces[-2]) + len(data)
    tail = b"".join(directory)
    return b"".join((*pieces, tail, _end(len(names), len(tail), offset)))


def unpack(data: bytes) -> dict[str, memoryview]:
    """The members of a bundle as views of `data`, in order; `manifest.json` is the first.

    Raises:
        BundleError: a byte is not what `pack` would have written. Contents are checked against their CRC; what they
            mean is not looked at.
    """
    entries, start = _directory(data)
    _check_names([entry.name for entry in entries])
    view = memoryview(data)
    members: dict[str, memoryview] = {}
    position = 0
    for entry in entries:
        _check_entry(entry)
        header = _local(entry.name, entry.crc, entry.size)
        begin = position + len(header)
        if entry.offset != position or begin + entry.size > start or view[position:begin] != header:
            raise BundleError(
                f"the bundle is damaged: the header of member '{entry.name}' is not where or what the directory says",
                hint=_REPACKED,
            )
        if entry.raw != _central(entry.name, entry.crc, entry.size, entry.offset):
            raise BundleError(
                f"the bundle is damaged or was re-packed: the directory entry of '{entry.name}' is not as edgefer "
                "writes it",
                hint=_REPACKED,
            )
        content = view[begin : begin + entry.size]
        if zlib.crc32(content) != entry.crc:
            raise BundleError(
                f"the bundle is damaged: the content of member '{entry.name}' does not have its checksum (CRC-32)",
                hint="copy or download it again",
            )
        members[entry.name] = content
        position = begin + entry.size
    if position != start:
        raise BundleError(
            f"the bundle is damaged: {start - position} bytes between its members and its directory belong to none",
            hint=_REPACKED,
        )
    return members


def _local(name: str, crc: int, size: int) -> bytes:
    fields = (_VERSION, 0, _STORED, _TIME, _DATE, crc, size, size, len(name), 0)
    return _LOCAL.pack(_LOCAL_MAGIC, *fields) + name.encode("ascii")


def _central(name: str, crc: int, size: int, offset: int) -> bytes:
    fields = (_MADE_BY_UNIX, _VERSION, 0, _STORED, _TIME, _DATE, crc, size, size, len(name), 0, 0, 0, 0)
    return _CENTRAL.pack(_CENTRAL_MAGIC, *fields, _ATTRIBUTES, offset) + name.encode("ascii")


def _end(count: int, size: int, offset: int) -> bytes:
    return _END.pack(_END_MAGIC, 0, 0, count, count, size, offset, 0)


def _directory(data: bytes) -> tuple[list[_Entry], int]:
    """All records of the central directory and the offset at which it begins."""
    if len(data) < _END.size or data[-_END.size : -_END.size + 4] != _END_MAGIC:
        found = data.rfind(_END_MAGIC)
        if found < 0:
            raise BundleError("the bundle is truncated: its directory is missing", hint="copy or download it again")
        extra = len(data) - found - _END.size
        what = f"{extra} bytes follow its end" if extra > 0 else "its end is cut off"
        raise BundleError(f"the bundle is damaged: {what}", hint=_REPACKED)
    _, _, _, _, count, size, start, _ = _END.unpack_from(data, len(data) - _END.size)
    if count > MAX_MEMBERS:
        raise BundleError(f"the bundle declares {count} members, more than the {MAX_MEMBERS} allowed")
    if start + size + _END.size != len(data):
        raise BundleError(
            f"the bundle is truncated or damaged: it declares {start + size + _END.size} bytes and has {len(data)}",
            hint="copy or download it again",
        )
    if data[-_END.size :] != _end(count, size, start):
        raise BundleError("the bundle is damaged: its last record is not as edgefer writes it", hint=_REPACKED)
    entries: list[_Entry] = []
    position, stop = start, start + size
    for _ in range(count):
        entry, position = _record(data, position, stop)
        entries.append(entry)
    if position != stop:
        raise BundleError("the bundle is damaged: its directory is longer than its entries", hint=_REPACKED)
    return entries, start


def _record(data: bytes, position: int, stop: int) -> tuple[_Entry, int]:
    """The directory record at `position`, and where the next begins."""
    if position + _CENTRAL.size > stop or data[position : position + 4] != _CENTRAL_MAGIC:
        raise BundleError("the bundle is damaged: an entry of its directory is missing", hint="copy it again")
    (_, made_by, _, flags, method, _, _, crc, packed, size, name_length, extra, comment, _, _, attributes, offset) = (
        _CENTRAL.unpack_from(data, position)
    )
    end = position + _CENTRAL.size + name_length + extra + comment
    if end > stop:
        raise BundleError("the bundle is damaged: an entry of its directory is cut off", hint="copy it again")
    name = data[position + _CENTRAL.size : position + _CENTRAL.size + name_length].decode("utf-8", "backslashreplace")
    raw = data[position:end]
    return _Entry(name, made_by, flags, method, crc, packed, size, attributes, offset, raw), end


def _check_names(names: list[str]) -> None:
    if MANIFEST not in names:
        listed = ", ".join(sorted(names)[:5]) or "nothing"
        raise BundleError(
            f"this is a zip file but not a bundle: it has no {MANIFEST}; it holds {listed}",
            hint="`edgefer build-engine` writes bundles",
        )
    for name in names:
        fault = fault_of_name(name)
        if fault:
            raise BundleError(f"the member name {name!r} is not allowed: {fault}", hint="do not use this file")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BundleError(f"the bundle has more than one member named '{twice[0]}'", hint="do not use this file")
    if names[0] != MANIFEST:
        raise BundleError(f"the first member is '{names[0]}', not {MANIFEST}", hint=_REPACKED)


def _check_entry(entry: _Entry) -> None:
    """What the usual foreign or hostile zip does, each with its own message; the byte comparison finds the rest."""
    if entry.flags & _ENCRYPTED:
        raise BundleError(f"member '{entry.name}' is encrypted; members of a bundle are not", hint=_REPACKED)
    if entry.method != _STORED or entry.packed != entry.size:
        raise BundleError(
            f"member '{entry.name}' is compressed ({entry.packed} bytes that declare {entry.size}); "
            "members of a bundle are stored as they are",
            hint=_REPACKED,
        )
    if entry.size > MAX_MEMBER_BYTES:
        raise BundleError(
            f"member '{entry.name}' declares {entry.size} bytes, more than the {MAX_MEMBER_BYTES} allowed"
        )
    if stat.S_ISLNK(entry.attributes >> 16):
        raise BundleError(f"member '{entry.name}' is a symbolic link", hint="do not use this file")
