"""Putting entries into the folder of a cache, out of it, and in each other's place: by renames, under the entry's lock.

Whatever a killed process leaves has a name by which the next one knows it: `.part-DIGEST` is of no use to anybody, and
`.old-DIGEST` is the entry that was being replaced. Folders with other names are somebody else's, and stay.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edgefer.engine.cache_entry import write_entry
from edgefer.engine.cache_key import CacheKey
from edgefer.engine.compile import CompiledEngine

_PART, _OLD = ".part-", ".old-"
_OURS = re.compile(rf"(?P<kind>{re.escape(_PART)}|{re.escape(_OLD)}|)(?P<digest>[0-9a-f]{{64}})")


def store(directory: Path, key: CacheKey, engine: CompiledEngine) -> None:
    """Make the entry whole beside its place, then put it there; what was there goes, or stays where this fails.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    part, old, final = _places(directory, key.digest())
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    try:
        write_entry(part, key, engine)
        if final.exists():
            final.rename(old)
        try:
            part.rename(final)
        except OSError:
            if old.exists():
                old.rename(final)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def take_out(directory: Path, digest: str) -> None:
    """Remove an entry: out of sight by one rename, so that a process that is killed here leaves no half of it.

    Raises:
        OSError: the folder cannot be written.
    """
    part, _, final = _places(directory, digest)
    shutil.rmtree(part, ignore_errors=True)
    final.rename(part)
    shutil.rmtree(part, ignore_errors=True)


def restore(directory: Path, digest: str) -> None:
    """Put back the entry that a process was replacing when it was killed.

    Raises:
        OSError: the folder cannot be written.
    """
    _, old, final = _places(directory, digest)
    if old.exists() and not final.exists():
        old.rename(final)


def seen(directory: Path, digest: str) -> bool:
    """Whether there is an entry, sound or not, or one that is being replaced."""
    _, old, final = _places(directory, digest)
    return old.exists() or final.exists()


def entries(directory: Path) -> list[Path]:
    """The folders of entries, sound or not."""
    return [folder for folder, kind, _ in _folders(directory) if not kind]


def leftovers(directory: Path) -> list[tuple[Path, str]]:
    """What interrupted writes left, each with the digest of its entry."""
    return [(folder, digest) for folder, kind, digest in _folders(directory) if kind]


def _folders(directory: Path) -> list[tuple[Path, str, str]]:
    """Those of a cache, each with what it is and the digest of its entry."""
    found = [each for each in directory.iterdir() if each.is_dir()] if directory.exists() else []
    return [(each, ours["kind"], ours["digest"]) for each in found if (ours := _OURS.fullmatch(each.name))]


def _places(directory: Path, digest: str) -> tuple[Path, Path, Path]:
    return directory / f"{_PART}{digest}", directory / f"{_OLD}{digest}", directory / digest
