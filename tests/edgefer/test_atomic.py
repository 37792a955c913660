"""A file is written whole or not at all, with the permissions of any other new file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edgefer import atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    target = tmp_path / "plan"
    assert atomic.write_bytes(target, b"old") == target
    assert atomic.write_text(str(target), "né") == target
    assert target.read_bytes() == "né".encode()
    assert names(tmp_path) == ["plan"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_whatever_goes_wrong_the_old_file_stays(
    failure: BaseException, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "plan"
    target.write_bytes(b"old")

    def fail(*arguments: object, **options: object) -> None:
        raise failure

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(type(failure)):
        atomic.write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["plan"]


def test_a_full_disk_while_writing(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    target = tmp_path / "plan"
    written = os.open(full, os.O_WRONLY)
    with pytest.MonkeyPatch.context() as patch:
        opened = os.open

        def open_full(path: Path, flags: int, mode: int) -> int:
            # The temporary file is there, but what is written to it meets a full disk.
            os.close(opened(path, flags, mode))
            return written

        patch.setattr(os, "open", open_full)
        with pytest.raises(OSError, match="No space left"):
            atomic.write_bytes(target, b"x" * 100_000)
    assert names(tmp_path) == []


def test_a_missing_folder_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write_bytes(tmp_path / "nowhere" / "plan", b"")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_permissions_are_those_of_any_new_file(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        atomic.write_bytes(tmp_path / "written", b"")
        (tmp_path / "plain").write_bytes(b"")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("written", "plain")}
    assert modes == {0o666 & ~mask}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        atomic.write_bytes(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no full device")
def test_a_full_device_is_said_and_stays(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        atomic.write_bytes("/dev/full", b"content")
    assert Path("/dev/full").is_char_device()
