"""Forms on disk: found again, damaged, made by two at once, too many, not to be written."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path

import pytest
from msgspec.structs import replace

from edgefer.errors import BundleError, EdgeferWarning
from edgefer.runtime.cpu_form.cache import SUFFIX, Entry, FormCache, FormKey, Verdict

KEY = FormKey(
    graph="a" * 64,
    golden="b" * 64,
    variant="fast",
    onnxruntime="1.31.1",
    architecture="x86_64",
    instruction="avx512_vnni",
)
MADE = Entry(Verdict(passed=True, found="4 inputs answered", onnx="1.23.2"), bytes(range(256)) * 3 + b"\n\n{")


def never() -> Entry:
    raise AssertionError("it was there")


def entries(cache: FormCache) -> list[Path]:
    return sorted(cache.directory.glob(f"*{SUFFIX}"))


def test_an_entry_is_found_again(cache: FormCache) -> None:
    assert cache.read(KEY, "1.23.2") is None
    assert cache.fetch(KEY, "1.23.2", lambda: MADE) == MADE
    assert cache.fetch(KEY, "1.23.2", never) == MADE
    assert FormCache(cache.directory.parent).read(KEY, "1.23.2") == MADE


@pytest.mark.parametrize("field", ["graph", "golden", "onnxruntime", "architecture", "instruction", "rules", "schema"])
def test_every_field_of_the_key_counts(cache: FormCache, field: str) -> None:
    cache.fetch(KEY, "1.23.2", lambda: MADE)
    other = replace(KEY, **{field: 99 if field in ("rules", "schema") else "other"})
    assert other.digest() != KEY.digest()
    assert cache.read(other, "1.23.2") is None


def test_another_release_of_onnx_makes_it_again_and_none_takes_what_is_there(cache: FormCache) -> None:
    cache.fetch(KEY, "1.23.2", lambda: MADE)
    assert cache.read(KEY, "1.24.0") is None
    assert cache.read(KEY, None) == MADE
    newer = Entry(replace(MADE.verdict, onnx="1.24.0"), b"newer")
    assert cache.fetch(KEY, "1.24.0", lambda: newer) == newer
    assert cache.read(KEY, None) == newer


def test_a_form_that_may_not_run_is_remembered(cache: FormCache) -> None:
    refused = Entry(Verdict(passed=False, found="output 'logits' differs", onnx="1.23.2"), b"")
    cache.fetch(KEY, "1.23.2", lambda: refused)
    assert cache.fetch(KEY, "1.23.2", never) == refused


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no JSON", "other key", "not UTF-8"])
def test_a_damaged_entry_is_made_again(cache: FormCache, damage: str) -> None:
    cache.fetch(KEY, "1.23.2", lambda: MADE)
    (path,) = entries(cache)
    data = path.read_bytes()
    head, _, tail = data.partition(b"\n")
    damaged = {
        "cut": data[:-5],
        "flipped": data[:-1] + bytes([data[-1] ^ 1]),
        "empty": b"",
        "no JSON": b"{" + head + b"\n" + tail,
        "other key": head.replace(b"a" * 64, b"c" * 64) + b"\n" + tail,
        "not UTF-8": b"\xff\xfe" + data,
    }
    path.write_bytes(damaged[damage])
    assert cache.read(KEY, None) is None
    assert cache.fetch(KEY, "1.23.2", lambda: MADE) == MADE
    assert cache.fetch(KEY, "1.23.2", never) == MADE


def test_two_at_once_make_it_once(cache: FormCache) -> None:
    entered, go = threading.Event(), threading.Event()

    def slowly() -> Entry:
        entered.set()
        assert go.wait(10)
        return MADE

    found: list[Entry] = []
    first = threading.Thread(target=lambda: found.append(cache.fetch(KEY, "1.23.2", slowly)))
    first.start()
    assert entered.wait(10)
    second = threading.Thread(
        target=lambda: found.append(FormCache(cache.directory.parent).fetch(KEY, "1.23.2", never))
    )
    second.start()
    go.set()
    first.join(10)
    second.join(10)
    assert found == [MADE, MADE]


def test_what_making_raises_leaves_nothing_behind(cache: FormCache) -> None:
    def fails() -> Entry:
        raise BundleError("no")

    with pytest.raises(BundleError):
        cache.fetch(KEY, "1.23.2", fails)
    assert entries(cache) == []
    assert cache.fetch(KEY, "1.23.2", lambda: MADE) == MADE


def test_the_least_recently_used_go_when_there_are_too_many(tmp_path: Path) -> None:
    cache = FormCache(tmp_path, max_bytes=3000)
    keys = [replace(KEY, graph=letter * 64) for letter in "abcd"]
    for age, key in enumerate(keys):
        cache.fetch(key, "1.23.2", lambda: MADE)
        for path in entries(cache):
            if path.name.startswith(key.digest()):
                os.utime(path, (1000 + age, 1000 + age))
    assert cache.read(keys[0], None) is None
    assert cache.read(keys[3], None) == MADE
    assert sum(path.stat().st_size for path in entries(cache)) <= 3000


def test_one_larger_than_the_bound_stays_alone(tmp_path: Path) -> None:
    cache = FormCache(tmp_path, max_bytes=10)
    for letter in "ab":
        cache.fetch(replace(KEY, graph=letter * 64), "1.23.2", lambda: MADE)
    assert len(entries(cache)) == 1
    assert cache.read(replace(KEY, graph="b" * 64), None) == MADE


def test_a_folder_that_cannot_be_written_warns_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = FormCache(tmp_path / "file")
    with pytest.warns(EdgeferWarning, match=r"cannot be kept in .*derived again.*EDGEFER_CACHE"):
        assert cache.fetch(KEY, "1.23.2", lambda: MADE) == MADE


def test_a_folder_that_cannot_be_written_is_warned_of_once_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        FormCache(tmp_path / "file").fetch(KEY, "1.23.2", lambda: MADE)
    assert [Path(each.filename).name for each in caught] == [Path(__file__).name]


def test_a_full_disk_warns_and_goes_on(cache: FormCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgefer.atomic.write_bytes", full)
    with pytest.warns(EdgeferWarning, match="No space left on device"):
        assert cache.fetch(KEY, "1.23.2", lambda: MADE) == MADE
    assert entries(cache) == []


def test_the_folder_is_the_one_that_the_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFER_CACHE", str(tmp_path / "named"))
    assert FormCache().directory == tmp_path / "named" / "cpu-forms"
    monkeypatch.delenv("EDGEFER_CACHE")
    assert FormCache().directory.name == "cpu-forms"
