"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from edgefer import atomic
from edgefer.errors import EnvironmentMismatch, UsageError
from edgefer.serve.publish import write_folder, write_folders

OLD = {"a/config": b"old a", "b/config": b"old b", "b/1/model": b"old model"}
NEW = {"a/config": b"new a", "a/1/model": b"new model", "b/config": b"new b", "c/config": b"new c"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder: Path, files: dict[str, bytes], *, force: bool = False) -> Path:
    return write_folders(folder, files, marker="config", force=force)


def test_folders_are_written_beside_others(tmp_path: Path) -> None:
    write(tmp_path / "models", OLD)
    (tmp_path / "models" / "theirs").mkdir()
    (tmp_path / "models" / "theirs" / "config").write_bytes(b"theirs")
    write(tmp_path / "models", {"c/config": b"c"})
    assert contents(tmp_path / "models") == {**OLD, "c/config": b"c", "theirs/config": b"theirs"}
    assert [each.name for each in tmp_path.iterdir()] == ["models"]


def test_what_exists_is_refused_and_stays(tmp_path: Path) -> None:
    write(tmp_path / "models", OLD)
    with pytest.raises(UsageError, match=r"models/a, .*models/b exist already") as caught:
        write(tmp_path / "models", NEW)
    assert "--force" in caught.value.hint
    assert contents(tmp_path / "models") == OLD


def test_force_replaces_whole_folders(tmp_path: Path) -> None:
    write(tmp_path / "models", OLD)
    write(tmp_path / "models", NEW, force=True)
    assert contents(tmp_path / "models") == NEW
    assert [each.name for each in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_force_replaces_nothing_else(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "models" / "a"
    target.parent.mkdir()
    if kind == "folder":
        target.mkdir()
        (target / "thesis").write_bytes(b"the only copy")
    elif kind == "file":
        target.write_bytes(b"the only copy")
    else:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "config").write_bytes(b"config")
        target.symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="not written by this command"):
        write(tmp_path / "models", NEW, force=True)
    assert contents(tmp_path) == before


def test_an_empty_folder_is_no_loss(tmp_path: Path) -> None:
    (tmp_path / "models" / "a").mkdir(parents=True)
    write(tmp_path / "models", NEW)
    assert contents(tmp_path / "models") == NEW


@pytest.mark.parametrize("fails_at", range(1, 6))
def test_a_move_that_fails_is_undone(fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "models", OLD)
    moved = 0
    rename = Path.rename

    def failing(self: Path, target: Any) -> Any:
        nonlocal moved
        if self.is_dir():
            moved += 1
            if moved == fails_at:
                raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(EnvironmentMismatch, match="Input/output error"):
        write(tmp_path / "models", NEW, force=True)
    assert contents(tmp_path / "models") == OLD
    assert [each.name for each in tmp_path.iterdir()] == ["models"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_what_was_there(exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if exists:
        write(tmp_path / "models", OLD)
    before = contents(tmp_path)
    written = 0
    write_bytes = atomic.write_bytes

    def full(path: Any, data: bytes) -> Path:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(path, data)

    monkeypatch.setattr(atomic, "write_bytes", full)
    with pytest.raises(EnvironmentMismatch, match="No space left"):
        write(tmp_path / "models", NEW, force=True)
    assert contents(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == exists


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Any, data: bytes) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "models", NEW)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file"):
        write(tmp_path / "file", NEW)
    with pytest.raises(EnvironmentMismatch, match="cannot be written"):
        write(tmp_path / "none" / "models", NEW)
    with pytest.raises(EnvironmentMismatch, match="is no folder"):
        write_folder(tmp_path / "none" / "folder", {"config": b""}, marker="config", force=False)


def test_one_folder_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    write_folder(target, {"config": b"old", "more": b"more"}, marker="config", force=False)
    with pytest.raises(UsageError, match="exists already"):
        write_folder(target, {"config": b"new"}, marker="config", force=False)
    write_folder(target, {"config": b"new"}, marker="config", force=True)
    assert contents(tmp_path) == {"folder/config": b"new"}
