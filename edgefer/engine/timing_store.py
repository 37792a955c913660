"""TensorRT's timing caches in their folder: one file for each release of TensorRT on each kind of GPU.

A file is replaced by one rename under a lock, so reading takes none. All of it is for speed alone: what cannot be read,
locked or written is a note, and the build goes on without. Caches that came with an archive lie beside the file as
`NAME.import-DIGEST` until the next build adds them, because only TensorRT can add two caches up.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from edgefer import atomic
from edgefer.engine.timing_file import MOST_BYTES, NAME, TimingKey, Unusable, packed, unpacked

LOCK_SECONDS = 20.0
"""A merge takes milliseconds; whoever holds the lock longer is stuck, and a build is worth more than its times."""
MOST_FILES = 8
"""Kinds of GPU and releases that are kept; the one not written for longest goes."""
MOST_IMPORTS = 4
_LOCKS, _IMPORT = ".locks", ".import-"


@dataclass
class Stored:
    """What is there to begin a build with: the caches that are sound, the file's own first, by their paths."""

    main: bytes = b""
    imports: dict[Path, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return len(self.main) + sum(map(len, self.imports.values()))


class TimingStore:
    """The caches of one key under `folder`, which need not exist."""

    def __init__(self, folder: Path, key: TimingKey) -> None:
        self.folder, self.key = folder, key
        self.path = folder / key.name

    def read(self) -> Stored:
        """All that is sound; what is not has a note and is left to the next merge."""
        found = Stored()
        found.main = self._sound(self.path, found.notes) or b""
        for path in _imports(self.path):
            blob = self._sound(path, found.notes)
            if blob:
                found.imports[path] = blob
        return found

    def merge(self, ours: bytes, before: Stored, combine: Callable[[bytes], bytes]) -> tuple[bytes, list[str]]:
        """Put the cache of a build into the file; what the file holds then, or `ours` where it could not be written.

        Args:
            ours: as TensorRT serialised it after the build.
            before: what the build began with. If the file holds something else by now, another process was here.
            combine: the other process's cache with ours added.
        """
        notes: list[str] = []
        try:
            with _locked(self.path):
                theirs = self._sound(self.path, notes) or b""
                if theirs and theirs != before.main:
                    ours = combine(theirs)
                notes += self._write(ours)
                for path in (*before.imports, *_leftovers(self.path)):
                    path.unlink(missing_ok=True)
                self._bound()
        except Timeout:
            notes.append(f"the timing cache {self.path} has been locked for {LOCK_SECONDS:g} s: not added to")
        except OSError as error:
            notes.append(f"the timing cache {self.path} {_said(error)}: not added to")
        return ours, notes

    def offer(self, data: bytes) -> str:
        """Take a cache that came with an engine, a file of this key; an empty answer, or why it was not taken."""
        try:
            blob = unpacked(self.key, data)
        except Unusable as error:
            return f"the timing cache of the archive is not taken: {error}"
        try:
            with _locked(self.path):
                there = self._sound(self.path, [])
                if there is None:
                    atomic.write_bytes(self.path, data)
                elif there != blob:
                    name = f"{self.path.name}{_IMPORT}{hashlib.sha256(blob).hexdigest()[:16]}"
                    atomic.write_bytes(self.path.with_name(name), data)
                    for path in sorted(_imports(self.path), key=_changed)[:-MOST_IMPORTS]:
                        path.unlink(missing_ok=True)
                self._bound()
        except Timeout:
            return f"the timing cache {self.path} has been locked for {LOCK_SECONDS:g} s: the archive's is not taken"
        except OSError as error:
            return f"the timing cache {self.path} {_said(error)}: the archive's is not taken"
        return ""

    def _sound(self, path: Path, notes: list[str]) -> bytes | None:
        try:
            if path.stat().st_size > 2 * MOST_BYTES:
                raise Unusable("it is far too large")
            return unpacked(self.key, path.read_bytes())
        except FileNotFoundError:
            return None
        except (Unusable, OSError) as error:
            notes.append(f"the timing cache {path} is not used: {error}")
            return None

    def _write(self, blob: bytes) -> list[str]:
        if len(blob) > MOST_BYTES:
            self.path.unlink(missing_ok=True)
            return [f"the timing cache {self.path} grew to {len(blob)} bytes and begins anew"]
        if blob:
            atomic.write_bytes(self.path, packed(self.key, blob))
        return []

    def _bound(self) -> None:
        others = [each for each in _files(self.folder) if NAME.fullmatch(each.name) and each != self.path]
        for path in sorted(others, key=_changed)[: max(0, len(others) + 1 - MOST_FILES)]:
            remove_cache(path)


def remove_cache(path: Path) -> str:
    """Remove the cache at `path` with all that lies beside it; an empty answer, or why it could not be."""
    try:
        with _locked(path):
            for each in (path, *_imports(path), *_leftovers(path)):
                each.unlink(missing_ok=True)
    except (Timeout, OSError) as error:
        return f" (it could not be removed: {error})"
    return ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    locks = path.parent / _LOCKS
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(locks / f"{path.name}.lock").acquire(timeout=LOCK_SECONDS):
        yield


def _imports(path: Path) -> list[Path]:
    return sorted(each for each in _files(path.parent) if each.name.startswith(f"{path.name}{_IMPORT}"))


def _leftovers(path: Path) -> list[Path]:
    """What writers of this cache that were killed left; under the lock nobody is writing."""
    found = [each for each in _files(path.parent) if each.name.startswith(f".{path.name}")]
    return [each for each in found if each.name.endswith(".part")]


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _said(error: OSError) -> str:
    return "has no room left" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"cannot be written ({error})"
