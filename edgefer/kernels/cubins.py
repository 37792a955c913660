"""The kernels' binaries that edgefer ships: which there are, which one a GPU takes, and reading it undamaged.

They lie in edgefer/cubins, compressed with xz, beside an index that says what each holds. No compiler is needed where
they are used; docs/kernel-binaries.md tells how they are made.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from edgefer.errors import EnvironmentMismatch, PluginMissing

FOLDER = Path(__file__).parents[1] / "cubins"
INDEX = "index.json"
_REINSTALL = "install edgefer again; its files were changed after they were installed"


class EntryUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an entry takes: the size of its parameters, registers of a thread, static shared memory of a block and local
    memory of a thread; sizes in bytes. PTX tells that of the parameters only; the driver's compiler decides the rest.
    """

    name: str
    parameter_bytes: int
    registers: int | None = None
    shared_bytes: int | None = None
    local_bytes: int | None = None


class Binary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file. `exact`: no other GPU takes it, because NVIDIA guarantees that a cubin runs on later GPUs of the same
    major compute capability only among desktop GPUs, and neither among nor across to the Jetsons.

    `bytes` and `sha256` are of the file, `raw_bytes` and `raw_sha256` of what is in it.
    """

    file: str
    kind: Literal["cubin", "ptx"]
    compute_capability: str
    toolkit: str
    exact: bool
    bytes: int
    sha256: str
    raw_bytes: int
    raw_sha256: str
    entries: tuple[EntryUse, ...]

    @property
    def text(self) -> str:
        """For lists: "cubin for 8.7" or "PTX for 8.0 and later"."""
        if self.kind == "ptx":
            return f"PTX for {self.compute_capability} and later"
        return f"cubin for {self.compute_capability}"


class Index(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All files, and the digest of the sources, options and tools that they were made with."""

    version: Literal[1] = 1
    source_sha256: str
    binaries: tuple[Binary, ...]


def index(folder: Path = FOLDER) -> Index:
    """What there is.

    Raises:
        EnvironmentMismatch: the index is missing or cannot be read.
    """
    try:
        return msgspec.json.decode((folder / INDEX).read_bytes(), type=Index)
    except OSError as error:
        raise EnvironmentMismatch(
            f"the index of the kernels' binaries cannot be read: {error}", hint=_REINSTALL
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EnvironmentMismatch(
            f"{folder / INDEX} is not an index of kernel binaries: {error}", hint=_REINSTALL
        ) from error


def choose(compute_capability: str, among: Index) -> Binary:
    """The file for a GPU of `compute_capability` such as "8.7".

    In this order: a cubin for exactly this GPU; the latest cubin of the same major and an earlier minor version, unless
    it is `exact`; the latest PTX for this version or an earlier one, which the driver compiles.

    Raises:
        PluginMissing: there is none.
    """
    wanted = _version(compute_capability)

    def fits(binary: Binary) -> bool:
        made_for = _version(binary.compute_capability)
        if binary.kind == "ptx" or made_for == wanted:
            return made_for <= wanted
        return not binary.exact and made_for[0] == wanted[0] and made_for[1] < wanted[1]

    found = [binary for binary in among.binaries if fits(binary)]
    if not found:
        raise PluginMissing(
            f"edgefer has no kernels for a GPU of compute capability {compute_capability}",
            hint="build with the operators inlined (--plugins inline): TensorRT then computes them by itself",
            details=f"it has: {', '.join(binary.text for binary in among.binaries) or 'none'}",
        )
    return max(found, key=lambda binary: (binary.kind == "cubin", _version(binary.compute_capability)))


def read(binary: Binary, folder: Path = FOLDER) -> bytes:
    """The cubin or the PTX, unpacked, after its digest was compared.

    Raises:
        EnvironmentMismatch: the file is missing, or is not what the index says.
    """
    path = folder / binary.file
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise EnvironmentMismatch(f"a binary of the kernels cannot be read: {error}", hint=_REINSTALL) from error
    if hashlib.sha256(packed).hexdigest() != binary.sha256:
        raise EnvironmentMismatch(
            f"{path} is damaged: {len(packed)} bytes whose SHA-256 is not that of the index ({binary.bytes} bytes)",
            hint=_REINSTALL,
        )
    try:
        import lzma
    except ImportError as error:  # a Python that was compiled where liblzma's headers were missing
        raise EnvironmentMismatch(
            "this Python has no module lzma, with which the kernels' binaries are unpacked",
            hint="use the system's Python, or install liblzma-dev and compile Python again",
        ) from error
    try:
        raw = lzma.decompress(packed)
    except (lzma.LZMAError, EOFError) as error:
        raise EnvironmentMismatch(f"{path} cannot be unpacked: {error}", hint=_REINSTALL) from error
    if hashlib.sha256(raw).hexdigest() != binary.raw_sha256:
        raise EnvironmentMismatch(f"{path} does not hold what the index says", hint=_REINSTALL)
    return raw


def _version(compute_capability: str) -> tuple[int, int]:
    major, _, minor = compute_capability.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise EnvironmentMismatch(
            f"{compute_capability!r} is no compute capability", hint='it is two numbers such as "8.7"'
        )
    return int(major), int(minor)
