"""Makes edgefer/cubins from the device code, or compares what is there with what would be made.

    python -m kernels.tools.cubins --write     compiles for every target and writes the files and their index
    python -m kernels.tools.cubins --check     compiles for every target and compares byte for byte; writes nothing

Both need the package index once, for the compilers (kernels/tools/nvrtc.py). The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from edgefer.atomic import write_bytes
from edgefer.errors import CompileError, EdgeferError
from edgefer.kernels.cubins import FOLDER, INDEX, Binary, EntryUse, Index, index, read
from edgefer.kernels.entries import ENTRIES
from kernels.tools import elf, ptx
from kernels.tools.nvrtc import INCLUDE, OPTIONS, PROGRAM, TARGETS, Target
from kernels.tools.sources import translation_unit

LIMIT = 600_000
"""Bytes that one compressed file may have."""
NEWEST_PTX = (8, 5)
"""That of CUDA 12.6: a driver compiles no PTX that is newer than itself."""
ROOT = Path(__file__).parents[2]


def source() -> str:
    """The one file that is compiled."""
    return translation_unit(tuple(ENTRIES.values()), host=False)


def digest() -> str:
    """The SHA-256 of all that the binaries depend on: the source, what it may include, options, targets, compilers."""
    made_with = [[each.name, each.toolkit.version, *each.toolkit.wheels] for each in TARGETS]
    found = hashlib.sha256(json.dumps([source(), OPTIONS, PROGRAM, made_with]).encode())
    for path in sorted(INCLUDE.rglob("*.*")):
        found.update(json.dumps([path.relative_to(INCLUDE).as_posix(), path.read_text()]).encode())
    return found.hexdigest()


def compile_all(targets: Sequence[Target] = TARGETS) -> dict[str, bytes]:
    """The binaries by the name of their target; two compilers at a time.

    Raises:
        CompileError: one of them refused the source.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "edgefer.cu")
        path.write_text(source())

        def compile_one(target: Target) -> bytes:
            output = Path(folder, target.name)
            command = [sys.executable, "-m", "kernels.tools.nvrtc", target.name, str(path), str(output)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompileError(f"the kernels were not compiled for {target.name}", details=done.stderr.strip())
            return output.read_bytes()

        with ThreadPoolExecutor(2) as pool:
            made = pool.map(compile_one, targets)
            return {target.name: binary for target, binary in zip(targets, made, strict=True)}


def uses(target: Target, raw: bytes) -> tuple[EntryUse, ...]:
    """What each entry takes, read from the binary itself.

    Raises:
        CompileError: the binary is not what the target's driver takes, or entries are missing or too many.
    """
    if target.kind == "ptx":
        text = ptx.read(raw.decode())
        if text.version > NEWEST_PTX:
            raise CompileError(f"{target.name} is PTX {text.version}, newer than {NEWEST_PTX}")
        found = tuple(EntryUse(name=name, parameter_bytes=size) for name, size in text.entries.items())
    else:
        cubin = elf.read(raw)
        if (cubin.os_abi, cubin.abi_version) != target.toolkit.abi:
            raise CompileError(
                f"{target.name} has ABI {cubin.os_abi:#x}, {cubin.abi_version}; expected {target.toolkit.abi}"
            )
        if f"sm_{cubin.architecture}" != target.name:
            raise CompileError(f"{target.name} is for sm_{cubin.architecture}")
        found = tuple(
            EntryUse(
                name=each.name,
                parameter_bytes=each.parameter_bytes,
                registers=each.registers,
                shared_bytes=each.shared_bytes,
                local_bytes=each.local_bytes,
            )
            for each in cubin.kernels
        )
    if {each.name for each in found} != set(ENTRIES):
        odd = sorted({each.name for each in found} ^ set(ENTRIES))
        raise CompileError(f"{target.name} has other entries than edgefer/kernels/entries.py", details="\n".join(odd))
    return found


def describe(made: Mapping[str, bytes], packed: Mapping[str, bytes], targets: Sequence[Target] = TARGETS) -> Index:
    """The index of these binaries, given as they are and as they are stored."""
    binaries = []
    for target in targets:
        raw, stored = made[target.name], packed[target.name]
        binaries.append(
            Binary(
                file=f"{target.name}.{target.kind}.xz",
                kind=target.kind,
                compute_capability=target.compute_capability,
                toolkit=target.toolkit.version,
                exact=target.exact,
                bytes=len(stored),
                sha256=hashlib.sha256(stored).hexdigest(),
                raw_bytes=len(raw),
                raw_sha256=hashlib.sha256(raw).hexdigest(),
                entries=uses(target, raw),
            )
        )
    return Index(source_sha256=digest(), binaries=tuple(binaries))


def pack(raw: bytes) -> bytes:
    """As `xz -9e` would: half of what gzip makes of it, because entries resemble each other over long distances."""
    return lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)


def write(folder: Path = FOLDER) -> Index:
    """Compiles and writes everything; files of former targets are removed."""
    made = compile_all()
    packed = {name: pack(raw) for name, raw in made.items()}
    described = describe(made, packed)
    for old in folder.glob("*.xz"):
        old.unlink()
    for binary, stored in zip(described.binaries, packed.values(), strict=True):
        if len(stored) > LIMIT:
            raise CompileError(f"{binary.file} has {len(stored)} bytes, at most {LIMIT} are wanted")
        write_bytes(folder / binary.file, stored)
    write_bytes(folder / INDEX, _lines(described))
    return described


def _lines(described: Index) -> bytes:
    """JSON with an entry on each line, so that two versions can be compared by eye."""
    text = msgspec.json.format(msgspec.json.encode(described), indent=1)
    return re.sub(rb'\{\s+"name"[^}]*\}', lambda entry: b" ".join(entry[0].split()), text) + b"\n"


def differences(made: Mapping[str, bytes], folder: Path = FOLDER) -> list[str]:
    """How what is stored in `folder` differs from these binaries: empty where it does not.

    Unpacked bytes are compared: liblzma may pack the same ones in another way from version to version.
    """
    stored = index(folder)
    by_file = {binary.file: binary for binary in stored.binaries}
    packed = {binary.file: (folder / binary.file).read_bytes() for binary in stored.binaries}
    found = [] if stored.source_sha256 == digest() else ["the index is of other sources"]
    fresh = describe(made, {each.name: packed.get(f"{each.name}.{each.kind}.xz", b"") for each in TARGETS})
    for binary in fresh.binaries:
        old = by_file.pop(binary.file, None)
        if old is None:
            found.append(f"{binary.file} is missing")
        elif read(old, folder) != made[binary.file.split(".")[0]]:
            found.append(f"{binary.file} holds other bytes")
        elif old != binary:
            found.append(f"{binary.file} is described wrongly in the index")
    return found + [f"{file} is no longer made" for file in by_file]


def table(described: Index) -> str:
    """Sizes and the highest resource use of each file."""
    lines = [f"{'file':22} {'bytes':>9} {'unpacked':>9}  entries  registers  toolkit"]
    for binary in described.binaries:
        registers = [entry.registers for entry in binary.entries if entry.registers is not None]
        most = str(max(registers)) if registers else "-"
        sizes = f"{binary.file:22} {binary.bytes:9} {binary.raw_bytes:9}"
        lines.append(f"{sizes}  {len(binary.entries):7}  {most:>9}  {binary.toolkit}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kernels.tools.cubins", description="The kernels' binaries.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="compile and write edgefer/cubins")
    action.add_argument("--check", action="store_true", help="compile and compare with edgefer/cubins")
    parsed = parser.parse_args(arguments)
    try:
        if parsed.write:
            print(table(write()))
            return
        found = differences(compile_all())
        print(table(index()))
    except EdgeferError as error:
        raise SystemExit(str(error)) from error
    if found:
        raise SystemExit("\n".join([*found, "hint: make cubins"]))


if __name__ == "__main__":
    main()
