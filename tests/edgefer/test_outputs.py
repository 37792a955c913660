"""Outputs that could not be written are refused before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgefer.errors import UsageError
from edgefer.outputs import check_folder, check_output

# The superuser may write anywhere, so what the system answers is replaced.
read_only = pytest.MonkeyPatch.context


def test_a_file_in_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    with read_only() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(UsageError, match=r"-o .*a\.json is in a folder that cannot be written to"):
            check_output("-o", tmp_path / "a.json")
    check_output("-o", tmp_path / "a.json")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with read_only() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(UsageError, match=r"--cache .* cannot be made: .* is not writable"):
            check_folder("--cache", tmp_path / "a" / "b", written=False)
        with pytest.raises(UsageError, match=r"--report .* cannot be written to"):
            check_folder("--report", tmp_path)
        check_folder("--cache", tmp_path, written=False)
    check_folder("--cache", tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_output("-o", "a.json")
    check_folder("--report", "new")
    Path("file").write_text("")
    with pytest.raises(UsageError, match="is below"):
        check_folder("--report", "file/new")


def test_a_device_may_stand_in_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == pipe)
    check_output("--output", pipe)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot be written to"):
        check_output("--output", pipe)
