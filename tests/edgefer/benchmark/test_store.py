"""Results as files: what was written is read, and everything else is refused by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgefer.benchmark import store
from edgefer.benchmark.result import Result
from edgefer.benchmark.store import load, save
from edgefer.errors import InputError, UsageError

MakeResult = Callable[..., Result]


def test_what_was_saved_is_loaded(make_result: MakeResult, tmp_path: Path) -> None:
    for gpu in (False, True):
        result = make_result(3, gpu=gpu)
        path = save(result, tmp_path / "result.json")
        assert load(path) == result
        assert load(str(path)) == result
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"PK\x03\x04rest", "a zip file, such as a bundle"),
        (b"not json", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[1, 2]", "is JSON but no result"),
        (b'{"machine_info": {}, "benchmarks": []}', "is JSON but no result"),
        (b'{"schema": 99, "conditions": {}, "edgefer": "9.0"}', "is a result of schema 99, this edgefer reads 1"),
        (b'{"schema": 1, "conditions": {}}', "is not a whole result"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load(path)
    assert said in raised.value.message
    assert raised.value.hint


def test_a_file_cut_anywhere_is_refused(make_result: MakeResult, tmp_path: Path) -> None:
    path = save(make_result(), tmp_path / "result.json")
    data = path.read_bytes()
    within_a_number = data.index(b".", data.index(b'"durations"')) + 1
    for length in (1, 100, within_a_number, len(data) // 2, len(data) - 3):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="ends in the middle"):
            load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unheard-of": 1}, "unknown field"),
        ({"created": 5}, "Expected `str`"),
        ({"rivals": [{}]}, "missing required field"),
    ],
)
def test_a_document_that_is_not_as_the_schema_says_is_refused(
    make_result: MakeResult, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(msgspec.json.encode({**msgspec.to_builtins(make_result()), **change}))
    with pytest.raises(InputError) as raised:
        load(path)
    assert said in raised.value.details


def test_paths_that_hold_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "missing.json")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not a regular file"):
        load(pipe)
    with pytest.raises(InputError, match="cannot be read"):
        load("a\0b")


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_BYTES", 100)
    path = tmp_path / "large.json"
    path.write_bytes(b"[" * 101)
    with pytest.raises(InputError, match="has more than"):
        load(path)


def test_a_folder_that_is_not_there_is_refused_and_nothing_is_left(make_result: MakeResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written") as raised:
        save(make_result(), tmp_path / "nowhere" / "result.json")
    assert "folder" in raised.value.hint
    with pytest.raises(UsageError, match="cannot be written"):
        save(make_result(), tmp_path)
    assert list(tmp_path.iterdir()) == []
