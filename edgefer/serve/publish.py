"""Folders that appear whole or not at all.

Everything is written beside the place it is meant for, and then moved there by renaming, so that a server that watches
the folder never reads half a model. Whatever fails, what was there is put back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from edgefer import atomic
from edgefer.errors import EnvironmentMismatch, UsageError


def write_folders(parent: str | os.PathLike[str], files: Mapping[str, bytes], *, marker: str, force: bool) -> Path:
    """Write `files`, by paths whose first part is a folder in `parent`; other folders there are left alone.

    The folders appear in the order in which they first occur in `files`.

    Args:
        parent: made where it is missing; its own parent must be there.
        files: contents by path, with `/` between its parts.
        marker: a file that each of the folders has. `force` replaces no folder that lacks it, because that is not one
            which was written here.
        force: whether folders that exist are replaced.

    Raises:
        UsageError: a folder exists and is not to be replaced, or `parent` is a file.
        EnvironmentMismatch: the files cannot be written; nothing has changed then.
    """
    target = Path(parent).expanduser().absolute()
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, expected a folder, or none yet", hint="name another folder with -o")
    # Within a folder that a server watches, the half-written one would be taken for a model.
    beside = not target.exists() or (_same_place(target, target.parent) and os.access(target.parent, os.W_OK))
    _publish(target, target.parent if beside else target, files, marker, force)
    return target


def write_folder(folder: str | os.PathLike[str], files: Mapping[str, bytes], *, marker: str, force: bool) -> Path:
    """Write `files` as the whole content of `folder`; otherwise as `write_folders`."""
    target = Path(folder).expanduser().absolute()
    if not target.parent.is_dir():
        raise EnvironmentMismatch(
            f"{target} cannot be written: {target.parent} is no folder", hint="make it, or name another with -o"
        )
    inside = {f"{target.name}/{path}": content for path, content in files.items()}
    _publish(target.parent, target.parent, inside, marker, force)
    return target


def _publish(target: Path, workshop: Path, files: Mapping[str, bytes], marker: str, force: bool) -> None:
    """Write the files in a folder of `workshop`, which is on the file system of `target`, and rename them there."""
    names = list(dict.fromkeys(PurePosixPath(path).parts[0] for path in files))
    _refuse_existing(target, names, marker, force)
    staging = workshop / f".{target.name}.{secrets.token_hex(8)}.part"
    try:
        _fill(staging, files)
        if target.exists():
            _move_in(staging, target, names)
        else:
            staging.rename(target)
    except OSError as error:
        raise EnvironmentMismatch(
            f"{target} cannot be written: {error.strerror or error}",
            hint="check that the folder above it exists, can be written to and has space; what was there is unchanged",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _same_place(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _refuse_existing(target: Path, names: list[str], marker: str, force: bool) -> None:
    existing = [target / name for name in names if _occupied(target / name)]
    if existing and not force:
        listed = ", ".join(map(str, existing))
        verb = "exists" if len(existing) == 1 else "exist"
        raise UsageError(f"{listed} {verb} already", hint="--force replaces what edgefer wrote; or name another place")
    for folder in existing:
        if folder.is_symlink() or not (folder / marker).is_file():
            raise UsageError(
                f"{folder} exists and has no {marker}: it was not written by this command, and is not replaced",
                hint="move it away, or name another place",
            )


def _occupied(folder: Path) -> bool:
    """Whether something is there that would be lost: anything but an empty folder."""
    if folder.is_symlink() or not folder.is_dir():
        return os.path.lexists(folder)
    return any(folder.iterdir())


def _fill(staging: Path, files: Mapping[str, bytes]) -> None:
    staging.mkdir()
    for path, content in files.items():
        place = staging / path
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(place, content)


def _move_in(staging: Path, target: Path, names: list[str]) -> None:
    """Rename each folder into place, the former one into the staging folder; undone in reverse if one fails."""
    before = staging / ".before"
    before.mkdir()
    with contextlib.ExitStack() as undo:
        for name in names:
            if _occupied(target / name):
                (target / name).rename(before / name)
                undo.callback((before / name).rename, target / name)
            (staging / name).rename(target / name)
            undo.callback((target / name).rename, staging / name)
        undo.pop_all()
