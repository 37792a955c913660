"""What a cubin says of itself: the ABI of its ELF header, its entries, and what each of them takes.

A cubin is a 64-bit little-endian ELF file. The layouts of header, sections and symbols are those of the ELF
specification; what NVIDIA adds are sections named after the entry and attribute records in `.nv.info`, of which those
below are read: format (1 byte), attribute (1 byte), then a 16-bit value, or a 16-bit size and so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MACHINE_CUDA = 190
_SYMBOLS = 2  # sh_type of a symbol table
_NO_BITS = 8  # sh_type of a section that takes no room in the file
_FUNCTION = 2  # type of a symbol
_ENTRY = 0x10  # st_other of a kernel, which other device functions lack

_FRAME_SIZE, _MIN_STACK_SIZE, _PARAMETER_SIZE, _REGISTERS = 0x11, 0x12, 0x19, 0x2F
_BYTE_RECORD, _SIZED_RECORD = 0x02, 0x04

# From compute capability 9.0 on the system takes a part of every block's shared memory, and the section counts it.
_SYSTEM_SHARED = 1024


class NotACubin(ValueError):
    """The bytes are no ELF file for NVIDIA GPUs, or a truncated one."""


@dataclass(frozen=True)
class Kernel:
    """An entry: registers and bytes of local memory of a thread, bytes of static shared memory and of parameters."""

    name: str
    registers: int
    local_bytes: int
    shared_bytes: int
    parameter_bytes: int


@dataclass(frozen=True)
class Cubin:
    """`os_abi` and `abi_version` are bytes 7 and 8 of the file, which a driver looks at before anything else;
    `architecture` is 87 for sm_87."""

    os_abi: int
    abi_version: int
    architecture: int
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class _Section:
    name: str
    kind: int
    link: int
    size: int
    data: bytes


def read(data: bytes) -> Cubin:
    """Reads a cubin. The kernels come in the order of their names.

    Raises:
        NotACubin: it is none, or it is cut off.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotACubin(f"a damaged ELF file: {error}") from error


def _read(data: bytes) -> Cubin:
    if data[:6] != b"\x7fELF\x02\x01":
        raise NotACubin("no 64-bit little-endian ELF file")
    (machine,) = struct.unpack_from("<H", data, 18)
    if machine != _MACHINE_CUDA:
        raise NotACubin(f"an ELF file for machine {machine}, not for NVIDIA GPUs ({_MACHINE_CUDA})")
    sections = _sections(data)
    by_name = {section.name: section for section in sections}
    symbols = next((section for section in sections if section.kind == _SYMBOLS), None)
    if symbols is None:
        raise NotACubin("an ELF file without symbols")
    of_symbol = _by_symbol(by_name.get(".nv.info"))
    (flags,) = struct.unpack_from("<I", data, 48)
    architecture = (flags >> 8 if data[8] >= 8 else flags) & 0xFF
    reserved = _SYSTEM_SHARED if architecture >= 90 else 0
    kernels = []
    for number, name, info, other in _symbols(symbols, sections[symbols.link].data):
        if info & 0xF != _FUNCTION or not other & _ENTRY:
            continue
        attributes = of_symbol.get(number, {})
        own = dict(_records(by_name.get(f".nv.info.{name}")))
        shared = by_name.get(f".nv.shared.{name}")
        kernels.append(
            Kernel(
                name=name,
                registers=attributes.get(_REGISTERS, 0),
                local_bytes=max(attributes.get(_FRAME_SIZE, 0), attributes.get(_MIN_STACK_SIZE, 0)),
                shared_bytes=max(shared.size - reserved, 0) if shared else 0,
                parameter_bytes=int.from_bytes(own.get(_PARAMETER_SIZE, b""), "little"),
            )
        )
    kernels.sort(key=lambda each: each.name)
    return Cubin(os_abi=data[7], abi_version=data[8], architecture=architecture, kernels=tuple(kernels))


def _sections(data: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count, names_at = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQII", data, start + size * index) for index in range(count)]
    names = data[headers[names_at][4] :]
    sections = []
    for name, kind, _, _, offset, length, link, _ in headers:
        content = b"" if kind == _NO_BITS else data[offset : offset + length]
        if kind != _NO_BITS and len(content) != length:
            raise NotACubin(f"a section of {length} bytes at {offset} is cut off")
        sections.append(_Section(_string(names, name), kind, link, length, content))
    return sections


def _symbols(table: _Section, names: bytes) -> Iterator[tuple[int, str, int, int]]:
    """Index, name, type with binding, and st_other of each symbol."""
    for index in range(len(table.data) // 24):
        name, info, other = struct.unpack_from("<IBB", table.data, index * 24)
        yield index, _string(names, name), info, other


def _by_symbol(section: _Section | None) -> dict[int, dict[int, int]]:
    """Of each symbol's index, the attributes that are a number: the records hold both, 32 bits each."""
    found: dict[int, dict[int, int]] = {}
    for attribute, value in _records(section):
        if len(value) == 8:
            symbol, number = struct.unpack("<II", value)
            found.setdefault(symbol, {})[attribute] = number
    return found


def _records(section: _Section | None) -> Iterator[tuple[int, bytes]]:
    """Attribute and value of each record."""
    data = section.data if section else b""
    at = 0
    while at < len(data):
        form, attribute, number = struct.unpack_from("<BBH", data, at)
        at += 4
        if form == _SIZED_RECORD:
            yield attribute, data[at : at + number]
            at += number
        else:
            yield attribute, struct.pack("<H", number)[: 1 if form == _BYTE_RECORD else 2]


def _string(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()
