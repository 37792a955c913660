"""The bundle as one file: read whole and verified, or made from members and written atomically."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt

from edgefer.atomic import write_bytes
from edgefer.bundle.arrays import decode_array
from edgefer.bundle.layout import check_members, pack
from edgefer.bundle.manifest import GraphSpec, Manifest
from edgefer.bundle.names import MANIFEST
from edgefer.bundle.reading import Content, check_digests, describe, read_file, refuse_faults, split
from edgefer.bundle.schema import decode, encode
from edgefer.errors import BundleError, InputError


class Bundle:
    """An immutable view of a verified bundle. Made by `Bundle.read` or `Bundle.from_members`.

    Attributes:
        manifest: what is in it and what it means.
        path: the file it was read from, None for one made in memory.
        digest: SHA-256 (hex) of the manifest, which holds the digest of every other member: the bundle's identity.
    """

    __slots__ = ("_manifest_bytes", "_members", "digest", "manifest", "path")

    manifest: Manifest
    path: Path | None
    digest: str
    _manifest_bytes: bytes
    _members: dict[str, Content]

    def __init__(
        self, manifest: Manifest, manifest_bytes: bytes, members: Mapping[str, Content], path: Path | None
    ) -> None:
        put = object.__setattr__
        put(self, "manifest", manifest)
        put(self, "path", path)
        put(self, "digest", hashlib.sha256(manifest_bytes).hexdigest())
        put(self, "_manifest_bytes", manifest_bytes)
        put(self, "_members", dict(members))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Bundle is immutable; {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Bundle is immutable; {name} cannot be deleted")

    def __repr__(self) -> str:
        where = f" from {self.path}" if self.path else ""
        return f"<Bundle {self.manifest.network.name} {self.manifest.precision} {self.digest[:12]}{where}>"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read and verify the file: sizes, layout, names and checksums first, then the manifest against its schema,
        then size and digest of every member, then what must hold between the fields.

        Raises:
            BundleError: the file cannot be read, is no bundle, is damaged, or is of a version that cannot be read.
        """
        source = Path(path)
        try:
            return cls._parse(read_file(source), source)
        except BundleError as error:
            hint = error.hint or "copy or download the bundle again, or build it again"
            raise BundleError(f"{source}: {error.message}", hint=hint, details=error.details) from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Bundle:
        """`read` for a bundle that is already in memory."""
        return cls._parse(data, None)

    @classmethod
    def from_members(cls, manifest: Manifest, members: Mapping[str, bytes]) -> Bundle:
        """A bundle of these members. `manifest.members` is filled in from them; what it held before is ignored.

        Raises:
            BundleError: the manifest contradicts itself or the members, or a name is not allowed.
        """
        if MANIFEST in members:
            raise BundleError(f"the members must not hold {MANIFEST}; it is made from the manifest")
        members = {name: members[name] for name in sorted(members)}
        table = {name: describe(content) for name, content in members.items()}
        manifest = msgspec.structs.replace(manifest, members=table)
        refuse_faults(manifest, table)
        manifest_bytes = encode(manifest)
        check_members({MANIFEST: len(manifest_bytes), **{name: entry.size for name, entry in table.items()}})
        return cls(manifest, manifest_bytes, members, None)

    @classmethod
    def _parse(cls, data: bytes, path: Path | None) -> Bundle:
        members = split(data)
        manifest_bytes = bytes(members.pop(MANIFEST))
        manifest, upgraded = decode(manifest_bytes)
        check_digests(manifest.members, members)
        refuse_faults(manifest, members)
        return cls(manifest, encode(manifest) if upgraded else manifest_bytes, members, path)

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members but the manifest."""
        return tuple(self._members)

    def member(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            BundleError: there is none of that name.
        """
        if name == MANIFEST:
            return self._manifest_bytes
        try:
            return bytes(self._members[name])
        except KeyError:
            raise BundleError(
                f"the bundle has no member '{name}'; it has {', '.join((MANIFEST, *self._members))}"
            ) from None

    def graph(self, role: str | None = None) -> GraphSpec:
        """The graph with this role, or the first one.

        Raises:
            InputError: no graph has that role.
        """
        graphs = self.manifest.graphs
        if role is None:
            return graphs[0]
        for graph in graphs:
            if graph.role == role:
                return graph
        raise InputError(
            f"the bundle has no graph with the role '{role}'",
            hint=f"it has: {', '.join(graph.role for graph in graphs)}",
        )

    def onnx(self, graph: GraphSpec) -> bytes:
        """The ONNX of a graph of this bundle."""
        return self.member(graph.member)

    def array(self, member: str) -> npt.NDArray[Any]:
        """The array in a `.npy` member, read-only.

        Raises:
            BundleError: there is no such member, or it is not an array.
        """
        return decode_array(self.member(member), member)

    def to_bytes(self) -> bytes:
        """The bytes of the file: equal content gives equal bytes, on any machine."""
        contents = {name: bytes(content) for name, content in self._members.items()}
        return pack({MANIFEST: self._manifest_bytes, **contents})

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the bundle to `path`: the whole of it or, whatever goes wrong, nothing, leaving what was there.

        Raises:
            BundleError: the file cannot be written.
        """
        try:
            return write_bytes(path, self.to_bytes())
        except OSError as error:
            raise BundleError(
                f"{path}: the bundle cannot be written: {error.strerror or error}",
                hint="check that the folder exists, can be written to and has space; what was there is unchanged",
            ) from error
