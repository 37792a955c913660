"""Compiled engines in the user's cache folder, found again by everything that they depend on.

An engine depends on its graph, the TensorRT build, the GPU and the driver, so it is never shipped: it is built once per
machine and kept here. An entry is a folder that appears whole by one rename; its plan and report are checked against
their digests whenever it is read, and a damaged one is built again. A lock file per entry keeps two processes from
building the same engine, and reading needs no lock and no write access.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from edgefer import atomic
from edgefer.cache_folder import VARIABLE, cache_folder
from edgefer.engine.cache_key import CacheKey
from edgefer.engine.compile import CompiledEngine
from edgefer.engine.report import EngineReport
from edgefer.errors import EnvironmentMismatch
from edgefer.progress import Reporter, Silent

DEFAULT_MAX_BYTES = 4 << 30
PLAN, REPORT, GRAPH, ENTRY = "engine.plan", "report.json", "graph.onnx", "entry.json"


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of itself; written last."""

    key: CacheKey
    plan_sha256: str
    report_sha256: str
    created: float


class EngineCache:
    """Engines under `directory`, or the folder that EDGEFER_CACHE names, or the user's cache folder.

    When storing makes the entries larger than `max_bytes`, the least recently used ones go; the one just stored stays.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.directory = (Path(directory) if directory is not None else cache_folder()) / "engines"
        self.max_bytes = max_bytes

    def find(self, key: CacheKey) -> tuple[Path, EngineReport] | None:
        """The plan's path and its report where a sound entry is kept; None otherwise, and nothing is built.

        Raises:
            EnvironmentMismatch: the folder cannot be read.
        """
        report = self._read(key.digest(), key)
        return None if report is None else (self._path(key.digest()), report)

    def fetch(
        self, key: CacheKey, build: Callable[[], CompiledEngine], reporter: Reporter | None = None
    ) -> tuple[Path, EngineReport, bool]:
        """The plan's path, its report, and whether it was there; `build` is called when no sound entry is.

        The ONNX that the parser was given lies beside the plan as `graph.onnx`.

        Raises:
            EnvironmentMismatch: the folder cannot be written, or the disk is full. Checked before `build` is called
                as far as it can be.
            EdgeferError: whatever `build` raises.
        """
        digest = key.digest()
        report = self._read(digest, key)
        if report is not None:
            return self._path(digest), report, True
        with self._locked(digest, reporter or Silent()):
            report = self._read(digest, key)  # built by another process while this one waited
            if report is not None:
                return self._path(digest), report, True
            engine = build()
            with self._writing():
                self._store(digest, key, engine)
                self._evict(digest)
        return self._path(digest), engine.report, False

    def _path(self, digest: str) -> Path:
        return self.directory / digest / PLAN

    def _read(self, digest: str, key: CacheKey) -> EngineReport | None:
        """The report of a sound entry; None when there is none, or only a damaged one."""
        folder = self.directory / digest
        try:
            entry = msgspec.json.decode((folder / ENTRY).read_bytes(), type=_Entry)
            record = (folder / REPORT).read_bytes()
            report = msgspec.json.decode(record, type=EngineReport)
            plan = _sha256(folder / PLAN)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise self._unusable(error) from error
        if (entry.key, entry.plan_sha256, entry.report_sha256) != (key, plan, hashlib.sha256(record).hexdigest()):
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read serves hits without noting their time
            os.utime(folder / ENTRY)
        return report

    def _store(self, digest: str, key: CacheKey, engine: CompiledEngine) -> None:
        part, final = self.directory / f".part-{digest}", self.directory / digest
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            record = msgspec.json.encode(engine.report)
            entry = _Entry(
                key=key,
                plan_sha256=hashlib.sha256(engine.plan).hexdigest(),
                report_sha256=hashlib.sha256(record).hexdigest(),
                created=time.time(),
            )
            # The large files are not flushed: a power cut leaves an entry that its digests give away.
            (part / PLAN).write_bytes(engine.plan)
            (part / GRAPH).write_bytes(engine.onnx)
            atomic.write_bytes(part / REPORT, record)
            atomic.write_bytes(part / ENTRY, msgspec.json.encode(entry))
            if final.exists():  # damaged, or it would have been served
                shutil.rmtree(final)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _evict(self, keep: str) -> None:
        folders = [each for each in self.directory.iterdir() if each.is_dir() and not each.name.startswith(".")]
        entries = [usage for usage in map(_usage, folders) if usage is not None]
        excess = sum(size for _, size, _ in entries) - self.max_bytes
        for _, size, folder in sorted(entries):
            if excess <= 0:
                return
            # The lock of an entry that somebody is building right now is not to be had; that entry stays.
            if folder.name != keep:
                with contextlib.suppress(Timeout), self._lock(folder.name).acquire(timeout=0):
                    shutil.rmtree(folder)
                    excess -= size

    @contextlib.contextmanager
    def _locked(self, digest: str, reporter: Reporter) -> Iterator[None]:
        lock = self._lock(digest)
        with self._writing():
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                reporter.note("another process is compiling this engine: waiting for it")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _lock(self, digest: str) -> FileLock:
        return FileLock(self.directory / ".locks" / f"{digest}.lock")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> EnvironmentMismatch:
        found = "is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot be used"
        return EnvironmentMismatch(
            f"the engine cache {self.directory} {found}: {error}",
            hint=f"set {VARIABLE} to a folder that can be written and has room, or remove old engines there",
        )


def _usage(folder: Path) -> tuple[float, int, Path] | None:
    """When the entry was last used, its size in bytes, and where it is; a half entry is the oldest of all.

    None for one that another process removes at this moment.
    """
    try:
        files = {each.name: each.stat() for each in folder.iterdir()}
    except FileNotFoundError:
        return None
    used = files[ENTRY].st_mtime if ENTRY in files else 0.0
    return used, sum(each.st_size for each in files.values()), folder


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
