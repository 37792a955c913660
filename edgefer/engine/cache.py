"""Compiled engines in the user's cache folder, found again by everything that they depend on.

An engine depends on its graph, the TensorRT build, the GPU and the driver, so it is never part of a bundle: it is built
once per machine, or taken from one of the same kind, and kept here. An entry is a folder that appears whole by one
rename; its plan and report are checked against their digests whenever it is read, and a damaged one is built again. A
lock file per entry keeps two processes from building the same engine, and reading needs no lock and no write access.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from edgefer.cache_folder import VARIABLE, cache_folder
from edgefer.engine import entry_swap
from edgefer.engine.cache_entry import ENTRY, PLAN, CachedEngine, look_at, read_engine, read_entry, usage
from edgefer.engine.cache_key import CacheKey
from edgefer.engine.compile import CompiledEngine
from edgefer.engine.report import EngineReport
from edgefer.errors import EnvironmentMismatch, InputError
from edgefer.progress import Reporter, Silent

DEFAULT_MAX_BYTES = 4 << 30
_SWAP_SECONDS = 1.0

Placed = Literal["stored", "replaced", "there"]
"""What became of an engine that was put into the cache."""


class EngineCache:
    """Engines under `directory`, or the folder that EDGEFER_CACHE names, or the user's cache folder.

    `timing_folder` beside them has TensorRT's timing caches, which `edgefer.engine.timing_cache` is about.
    When storing makes the entries larger than `max_bytes`, the least recently used ones go; the one just stored stays.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        folder = Path(directory) if directory is not None else cache_folder()
        self.directory, self.timing_folder = folder / "engines", folder / "timing"
        self.max_bytes = max_bytes

    def find(self, key: CacheKey) -> tuple[Path, EngineReport] | None:
        """The plan's path and its report where a sound entry is kept; None otherwise, and nothing is built.

        Raises:
            EnvironmentMismatch: the folder cannot be read.
        """
        report = self._found(key)
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
                entry_swap.store(self.directory, key, engine)
            try:
                self._evict((digest,), self.max_bytes)
            except OSError as error:  # such as an entry of another user; the engine is there all the same
                (reporter or Silent()).note(f"the engine cache {self.directory} is larger than its bound: {error}")
        return self._path(digest), engine.report, False

    def entries(self) -> tuple[CachedEngine, ...]:
        """Every entry, the most recently used first. Each is read whole, which tells whether it is sound.

        Raises:
            EnvironmentMismatch: the folder cannot be read.
        """
        with self._writing():
            found = [entry for folder in entry_swap.entries(self.directory) if (entry := look_at(folder)) is not None]
        return tuple(sorted(found, key=lambda entry: -entry.used))

    def engine(self, key: CacheKey) -> CompiledEngine | None:
        """All that a sound entry holds; None where there is none.

        Raises:
            EnvironmentMismatch: it cannot be read.
        """
        report = self._found(key)
        if report is None:
            return None
        try:
            return read_engine(self.directory / key.digest(), report)
        except OSError as error:
            raise self._unusable(error) from error

    def put(self, key: CacheKey, engine: CompiledEngine, reporter: Reporter | None = None) -> Placed:
        """Store an engine that was built elsewhere; a sound entry with the same plan stays as it is.

        The bound is not looked at: `prune` does that, when all engines that belong together are there.

        Raises:
            InputError: the plan is not the one that the report is of; what was there stays.
            EnvironmentMismatch: the folder cannot be written, or the disk is full; what was there stays.
        """
        if hashlib.sha256(engine.plan).hexdigest() != engine.report.plan_sha256:
            raise InputError("the plan is not the one that its report is of", hint="do not use this engine")
        digest = key.digest()
        there = self._read(digest, key)
        if there is not None and there.plan_sha256 == engine.report.plan_sha256:
            return "there"
        with self._locked(digest, reporter or Silent()):
            there = self._read(digest, key)  # stored by another process while this one waited
            if there is not None and there.plan_sha256 == engine.report.plan_sha256:
                return "there"
            with self._writing():
                entry_swap.store(self.directory, key, engine)
        return "stored" if there is None else "replaced"

    def discard(self, digest: str, plan_sha256: str) -> bool:
        """Remove the engine with this digest of its key, if its plan is still this one; whether it was.

        For an engine that TensorRT does not take, or that answers wrong: its bytes are sound, and without this it
        would be served for ever. One that another process has put in its place meanwhile stays.

        Raises:
            EnvironmentMismatch: the folder cannot be written.
        """
        if not (self.directory / digest).exists():
            return False
        with self._locked(digest, Silent()), self._writing():
            found = read_entry(self.directory / digest)
            if found is None or found[0].plan_sha256 != plan_sha256:
                return False
            entry_swap.take_out(self.directory, digest)
        return True

    def prune(self, max_bytes: int | None = None, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Remove what interrupted writes left, damaged entries, and the least recently used ones above `max_bytes`.

        `max_bytes` is by default the bound of this cache. Digests in `keep` stay, and so do entries that another
        process is writing. Returns the digests of the entries that went.

        Raises:
            EnvironmentMismatch: the folder cannot be read or written.
        """
        damaged = [entry.digest for entry in self.entries() if not entry.sound and entry.digest not in keep]
        with self._writing():
            for half, digest in entry_swap.leftovers(self.directory):
                self._remove(half, digest)
            gone = [each for each in damaged if self._remove(self.directory / each, each, only_damaged=True)]
            return (*gone, *self._evict(keep, self.max_bytes if max_bytes is None else max_bytes))

    def _path(self, digest: str) -> Path:
        return self.directory / digest / PLAN

    def _found(self, key: CacheKey) -> EngineReport | None:
        """The report of a sound entry, for whoever builds nothing where there is none."""
        digest = key.digest()
        report = self._read(digest, key)
        if report is None and entry_swap.seen(self.directory, digest):
            # Another process is replacing it at this moment, or was killed while it did.
            with contextlib.suppress(Timeout, OSError), self._lock(digest).acquire(timeout=_SWAP_SECONDS):
                entry_swap.restore(self.directory, digest)
            report = self._read(digest, key)
        return report

    def _read(self, digest: str, key: CacheKey) -> EngineReport | None:
        """The report of a sound entry; None when there is none, or only a damaged one."""
        folder = self.directory / digest
        try:
            found = read_entry(folder)
        except OSError as error:
            raise self._unusable(error) from error
        if found is None or found[0].key != key:
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read serves hits without noting their time
            os.utime(folder / ENTRY)
        return found[1]

    def _evict(self, keep: Collection[str], max_bytes: int) -> list[str]:
        entries = [found for found in map(usage, entry_swap.entries(self.directory)) if found is not None]
        excess = sum(size for _, size, _ in entries) - max_bytes
        gone: list[str] = []
        for _, size, folder in sorted(entries):
            if excess <= 0:
                break
            if folder.name not in keep and self._remove(folder, folder.name):
                excess -= size
                gone.append(folder.name)
        return gone

    def _remove(self, folder: Path, digest: str, *, only_damaged: bool = False) -> bool:
        """Remove a folder of this entry, unless somebody is writing the entry right now and so has its lock."""
        with contextlib.suppress(Timeout, FileNotFoundError), self._lock(digest).acquire(timeout=0):
            entry_swap.restore(self.directory, digest)
            if only_damaged and (found := look_at(folder)) is not None and found.sound:  # built again meanwhile
                return False
            shutil.rmtree(folder)
            return True
        return False

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
            with self._writing():
                entry_swap.restore(self.directory, digest)
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
