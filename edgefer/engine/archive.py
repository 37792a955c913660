"""An archive of engines: the entries of a cache as one file, laid out as a bundle is, with a manifest of its own.

Every byte follows from the contents, sizes and names are bounded, members are stored and never inflated, and digests
are checked before anything is parsed: what `edgefer.bundle.layout` and `edgefer.bundle.reading` say holds here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import msgspec

from edgefer.atomic import write_bytes
from edgefer.bundle.layout import pack
from edgefer.bundle.manifest import Member
from edgefer.bundle.names import MANIFEST
from edgefer.bundle.reading import check_digests, read_file, split
from edgefer.bundle.reading import describe as described
from edgefer.bundle.schema import MAX_MANIFEST_BYTES
from edgefer.engine.cache_entry import GRAPH, PLAN, REPORT, TIMING
from edgefer.engine.cache_key import CACHE_SCHEMA, CacheKey
from edgefer.engine.compile import CompiledEngine
from edgefer.engine.report import EngineReport
from edgefer.errors import ArchiveError, BundleError
from edgefer.version import __version__

FORMAT, ARCHIVE_SCHEMA = "edgefer-cache", 1
_REQUIRED, _OPTIONAL = (PLAN, REPORT, GRAPH), (TIMING,)
_HEAD_BYTES = 256
_AGAIN = "export it again with `edgefer cache export`"


class ArchivedEngine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine: the role of its graph in the bundle, and everything that it depends on."""

    role: str
    key: CacheKey


class ArchiveManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in an archive, of which bundle (name of the network, digest), and who wrote it when (UTC, ISO 8601).

    `cache_schema` says which fields a key has.
    """

    format: Literal["edgefer-cache"] = "edgefer-cache"
    schema: int = ARCHIVE_SCHEMA
    cache_schema: int = CACHE_SCHEMA
    edgefer: str = __version__
    created: str
    network: str
    bundle: str
    engines: tuple[ArchivedEngine, ...]
    members: dict[str, Member]


class _Head(msgspec.Struct):
    """What is read of a manifest of any version, to say whether the rest can be."""

    format: str = ""
    schema: int = 0
    cache_schema: int = 0
    edgefer: str = "another version"


@dataclass(frozen=True)
class EngineArchive:
    """A verified archive: `engines` are in the order of the manifest."""

    manifest: ArchiveManifest
    engines: tuple[tuple[ArchivedEngine, CompiledEngine], ...]

    @classmethod
    def of(cls, network: str, bundle: str, engines: Sequence[tuple[ArchivedEngine, CompiledEngine]]) -> EngineArchive:
        """An archive of these engines of the bundle with the digest `bundle`."""
        manifest = ArchiveManifest(
            created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            network=network,
            bundle=bundle,
            engines=tuple(entry for entry, _ in engines),
            members={name: described(content) for name, content in _members(engines).items()},
        )
        return cls(manifest, tuple(engines))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> EngineArchive:
        """Read and verify the file.

        Raises:
            ArchiveError: it cannot be read, is no archive of engines, is damaged, or of another version.
        """
        return cls.from_bytes(read_archive(path), str(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the archive") -> EngineArchive:
        """`read` for a file that is already in memory; `name` is what errors call it.

        Raises:
            ArchiveError: as `read`.
        """
        try:
            members = split(data)
            record = bytes(members.pop(MANIFEST))
            manifest = _manifest(record)
            check_digests(manifest.members, members)
        except BundleError as error:
            raise _as_archive(error, name) from error
        except ArchiveError as error:
            raise ArchiveError(f"{name}: {error.message}", hint=error.hint, details=error.details) from error
        return cls(manifest, _engines(manifest, members, name))

    def to_bytes(self) -> bytes:
        """The bytes of the file.

        Raises:
            ArchiveError: the engines are more or larger than a file may hold.
        """
        manifest = msgspec.json.format(msgspec.json.encode(self.manifest, order="deterministic"), indent=2) + b"\n"
        try:
            return pack({MANIFEST: manifest, **_members(self.engines)})
        except BundleError as error:
            raise ArchiveError(
                f"the engines do not fit into one archive: {error.message}", hint="export the graphs one by one"
            ) from error

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the file: the whole of it or nothing.

        Raises:
            ArchiveError: it cannot be written, or would be too large.
        """
        try:
            return write_bytes(path, self.to_bytes())
        except OSError as error:
            raise ArchiveError(
                f"{path}: the archive cannot be written: {error.strerror or error}",
                hint="check that the folder exists, can be written to and has space; what was there is unchanged",
            ) from error


def read_archive(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an archive, not looked at.

    Raises:
        ArchiveError: there is no such file, or it cannot be read, or is too large.
    """
    try:
        return read_file(Path(path))
    except BundleError as error:
        raise ArchiveError(f"{path}: {error.message}", hint=error.hint, details=error.details) from error


def is_archive(data: bytes) -> bool:
    """Whether a file begins as an archive of engines does; that says nothing about the rest of it."""
    return f'"format": "{FORMAT}"'.encode() in data[:_HEAD_BYTES]


def _manifest(record: bytes) -> ArchiveManifest:
    head = _head(record)
    if head.format != FORMAT:
        raise ArchiveError(
            "this is a bundle and not an archive of engines"
            if b'"graphs"' in record
            else "this is no archive of engines",
            hint="`edgefer cache export` writes archives; `edgefer build-engine BUNDLE` compiles a bundle",
        )
    if (head.schema, head.cache_schema) != (ARCHIVE_SCHEMA, CACHE_SCHEMA):
        raise ArchiveError(
            f"the archive was written by edgefer {head.edgefer} with schema {head.schema} and keys of version "
            f"{head.cache_schema}; this is edgefer {__version__}, which reads schema {ARCHIVE_SCHEMA} and keys of "
            f"version {CACHE_SCHEMA}",
            hint="export with the edgefer that imports",
        )
    try:
        return msgspec.json.decode(record, type=ArchiveManifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ArchiveError("the manifest is not as the schema says", details=str(error), hint=_AGAIN) from error


def _head(record: bytes) -> _Head:
    if len(record) > MAX_MANIFEST_BYTES:
        raise ArchiveError(f"the manifest has {len(record)} bytes, more than the {MAX_MANIFEST_BYTES} allowed")
    try:
        return msgspec.json.decode(record, type=_Head)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ArchiveError("the manifest cannot be read", details=str(error), hint=_AGAIN) from error


def _engines(
    manifest: ArchiveManifest, members: Mapping[str, bytes | memoryview], name: str
) -> tuple[tuple[ArchivedEngine, CompiledEngine], ...]:
    found = []
    folders = [_folder(entry.key) for entry in manifest.engines]
    if not folders or len(set(folders)) != len(folders):
        raise ArchiveError(f"{name}: the manifest lists no engine, or one twice", hint=_AGAIN)
    expected = {folder + part for folder in folders for part in _REQUIRED}
    optional = {folder + part for folder in folders for part in _OPTIONAL}
    odd = sorted((expected - members.keys()) | (members.keys() - expected - optional))
    if odd:
        raise ArchiveError(f"{name}: the members are not those of the engines: {', '.join(odd[:5])}", hint=_AGAIN)
    for entry, folder in zip(manifest.engines, folders, strict=True):
        plan, timing = bytes(members[folder + PLAN]), bytes(members.get(folder + TIMING, b""))
        report = _report(bytes(members[folder + REPORT]), manifest, name)
        if (report.plan_sha256, report.plan_bytes) != (hashlib.sha256(plan).hexdigest(), len(plan)):
            raise ArchiveError(f"{name}: the plan of '{entry.role}' is not the one that its report is of", hint=_AGAIN)
        if (report.flavour, report.version) != (entry.key.flavour, entry.key.version):
            raise ArchiveError(
                f"{name}: the report of '{entry.role}' is of {report.flavour} {report.version}, its key of "
                f"{entry.key.flavour} {entry.key.version}",
                hint=_AGAIN,
            )
        graph = bytes(members[folder + GRAPH])
        found.append((entry, CompiledEngine(plan=plan, report=report, onnx=graph, timing=timing)))
    return tuple(found)


def _report(record: bytes, manifest: ArchiveManifest, name: str) -> EngineReport:
    try:
        return msgspec.json.decode(record, type=EngineReport)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"{name}: edgefer {__version__} cannot read a report that edgefer {manifest.edgefer} wrote",
            details=str(error),
            hint="export with the edgefer that imports",
        ) from error


def _members(engines: Sequence[tuple[ArchivedEngine, CompiledEngine]]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for entry, engine in engines:
        folder = _folder(entry.key)
        members |= {
            folder + PLAN: engine.plan,
            folder + REPORT: msgspec.json.encode(engine.report),
            folder + GRAPH: engine.onnx,
        }
        if engine.timing:
            members[folder + TIMING] = engine.timing
    return members


def _folder(key: CacheKey) -> str:
    return f"engines/{key.digest()}/"


def _as_archive(error: BundleError, name: str) -> ArchiveError:
    """What the shared reading of zip files found. It speaks of bundles, whose layout archives have."""
    return ArchiveError(
        f"{name}: the file is not laid out as archives and bundles are: {error.message}",
        hint="copy or download the archive again, or export it again",
        details=error.details,
    )
