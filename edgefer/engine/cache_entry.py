"""One entry of the engine cache: a folder with a plan, its report, the graph, and digests that tell damage."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import msgspec

from edgefer import atomic
from edgefer.engine.cache_key import CacheKey
from edgefer.engine.compile import CompiledEngine
from edgefer.engine.report import EngineReport

PLAN, REPORT, GRAPH, ENTRY, TIMING = "engine.plan", "report.json", "graph.onnx", "entry.json", "timing.cache"
"""`TIMING` is there only where TensorRT's timing cache was kept with the engine."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of itself; written last. `created` is in seconds since 1970."""

    key: CacheKey
    plan_sha256: str
    report_sha256: str
    created: float


class CachedEngine(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as a list shows it. `key` and `created` are None where it does not say; `used` is in seconds since 1970.

    One that is not `sound` is damaged, or of an edgefer with other keys: never served, built again when asked for.
    """

    digest: str
    folder: str
    sound: bool
    bytes: int
    used: float
    key: CacheKey | None = None
    created: float | None = None


def read_entry(folder: Path) -> tuple[Entry, EngineReport] | None:
    """What a sound entry says of itself, and its report; None where there is none, or a damaged one.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        entry = msgspec.json.decode((folder / ENTRY).read_bytes(), type=Entry)
        record = (folder / REPORT).read_bytes()
        report = msgspec.json.decode(record, type=EngineReport)
        plan = _sha256(folder / PLAN)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if (entry.plan_sha256, entry.report_sha256) != (plan, hashlib.sha256(record).hexdigest()):
        return None
    return entry, report


def read_engine(folder: Path, report: EngineReport) -> CompiledEngine | None:
    """All of the entry with this report; None where another process removes or replaces it at this moment.

    Raises:
        OSError: it cannot be read.
    """
    try:
        plan, onnx = (folder / PLAN).read_bytes(), (folder / GRAPH).read_bytes()
        timing = (folder / TIMING).read_bytes() if (folder / TIMING).exists() else b""
    except FileNotFoundError:
        return None
    if hashlib.sha256(plan).hexdigest() != report.plan_sha256:
        return None
    return CompiledEngine(plan=plan, report=report, onnx=onnx, timing=timing)


def write_entry(folder: Path, key: CacheKey, engine: CompiledEngine) -> None:
    """Make the folder, and the entry in it; what makes it whole is written last.

    Raises:
        OSError: the folder is there, cannot be written, or the disk is full.
    """
    folder.mkdir()
    record = msgspec.json.encode(engine.report)
    entry = Entry(
        key=key,
        plan_sha256=hashlib.sha256(engine.plan).hexdigest(),
        report_sha256=hashlib.sha256(record).hexdigest(),
        created=time.time(),
    )
    # The large files are not flushed: a power cut leaves an entry that its digests give away.
    (folder / PLAN).write_bytes(engine.plan)
    (folder / GRAPH).write_bytes(engine.onnx)
    if engine.timing:
        try:
            (folder / TIMING).write_bytes(engine.timing)
        except OSError:  # they are for the speed of later builds alone, and this one took minutes
            (folder / TIMING).unlink(missing_ok=True)
    atomic.write_bytes(folder / REPORT, record)
    atomic.write_bytes(folder / ENTRY, msgspec.json.encode(entry))


def look_at(folder: Path) -> CachedEngine | None:
    """The entry in `folder`, read whole; None where another process removes it at this moment.

    Raises:
        OSError: it cannot be read.
    """
    found = usage(folder)
    if found is None:
        return None
    used, size, _ = found
    sound = read_entry(folder)
    if sound is None or sound[0].key.digest() != folder.name or not _graph_is_of(folder, sound[1]):
        return CachedEngine(digest=folder.name, folder=str(folder), sound=False, bytes=size, used=used)
    entry = sound[0]
    return CachedEngine(
        digest=folder.name,
        folder=str(folder),
        sound=True,
        bytes=size,
        used=used,
        key=entry.key,
        created=entry.created,
    )


def usage(folder: Path) -> tuple[float, int, Path] | None:
    """When the entry was last used, its size in bytes, and where it is; a half entry is the oldest of all.

    None for one that another process removes at this moment.
    """
    try:
        files = {each.name: each.stat() for each in folder.iterdir()}
    except FileNotFoundError:
        return None
    used = files[ENTRY].st_mtime if ENTRY in files else 0.0
    return used, sum(each.st_size for each in files.values()), folder


def _graph_is_of(folder: Path, report: EngineReport) -> bool:
    """Looked at where entries are listed and exported: no session reads the graph."""
    try:
        return _sha256(folder / GRAPH) == report.parsed_sha256
    except FileNotFoundError:
        return False


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
