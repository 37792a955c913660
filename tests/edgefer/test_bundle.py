"""A bundle written is the bundle read; equal content gives equal bytes; nothing half-written is ever left."""

from __future__ import annotations

import errno
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.bundle.arrays import decode_array, encode_array
from edgefer.bundle.container import Bundle
from edgefer.errors import BundleError, InputError


def members_of(bundle: Bundle) -> dict[str, bytes]:
    return {name: bundle.member(name) for name in bundle.members}


def test_what_was_written_is_read(plain_bundle: Bundle, tmp_path: Path) -> None:
    path = plain_bundle.write(tmp_path / "a.edgefer")
    read = Bundle.read(path)
    assert read.manifest == plain_bundle.manifest
    assert members_of(read) == members_of(plain_bundle)
    assert read.path == path
    assert read.digest == plain_bundle.digest == hashlib.sha256(read.member("manifest.json")).hexdigest()


def test_the_manifest_holds_size_and_digest_of_every_member(plain_bundle: Bundle) -> None:
    assert set(plain_bundle.manifest.members) == set(plain_bundle.members)
    for name, content in members_of(plain_bundle).items():
        entry = plain_bundle.manifest.members[name]
        assert (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_equal_content_gives_equal_bytes_whatever_the_order(plain_bundle: Bundle) -> None:
    members = members_of(plain_bundle)
    backwards = dict(reversed(members.items()))
    assert Bundle.from_members(plain_bundle.manifest, backwards).to_bytes() == plain_bundle.to_bytes()
    renamed = msgspec.structs.replace(plain_bundle.manifest, precision="fp16")
    assert Bundle.from_members(renamed, members).to_bytes() != plain_bundle.to_bytes()


def test_reading_and_writing_again_changes_no_byte(plain_bundle: Bundle, tmp_path: Path) -> None:
    first = plain_bundle.write(tmp_path / "a.edgefer")
    second = Bundle.read(first).write(tmp_path / "b.edgefer")
    assert first.read_bytes() == second.read_bytes()


def test_any_zip_tool_can_read_it(plain_bundle: Bundle, tmp_path: Path) -> None:
    path = plain_bundle.write(tmp_path / "a.edgefer")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", *sorted(plain_bundle.members)]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for name, content in members_of(plain_bundle).items():
            assert archive.read(name) == content


def test_a_bundle_cannot_be_changed(plain_bundle: Bundle) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        plain_bundle.digest = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="immutable"):
        del plain_bundle.manifest
    assert plain_bundle.manifest.network.name in repr(plain_bundle)


def test_members_and_graphs_are_found_by_name_and_role(plain_bundle: Bundle) -> None:
    graph = plain_bundle.graph()
    assert graph is plain_bundle.graph("fused")
    assert plain_bundle.onnx(graph) == plain_bundle.member("graphs/fused.onnx")
    with pytest.raises(InputError, match="no graph with the role 'saliency'") as caught:
        plain_bundle.graph("saliency")
    assert "fused" in caught.value.hint
    with pytest.raises(BundleError, match=r"no member 'graphs/none\.onnx'"):
        plain_bundle.member("graphs/none.onnx")


def test_arrays_are_read_as_they_were_written(plain_bundle: Bundle) -> None:
    array = plain_bundle.array("golden/visible.npy")
    assert array.shape == (4, 3, 8, 8)
    assert array.dtype == np.float32
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.zeros((0, 4), np.uint8),
        np.float32(3.5),
        np.arange(24, dtype=np.uint16).reshape(2, 3, 4)[:, ::2],
    ],
)
def test_arrays_of_every_kind_survive(array: Any) -> None:
    decoded = decode_array(encode_array(array), "x.npy")
    np.testing.assert_array_equal(decoded, array)
    assert decoded.dtype == np.asarray(array).dtype


def test_an_array_in_column_order_is_read_as_it_was(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(decode_array((tmp_path / "x.npy").read_bytes(), "x.npy"), array)


def header_of(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    body = text.encode("latin1")
    return b"\x93NUMPY" + bytes(version) + len(body).to_bytes(2 if version == (1, 0) else 4, "little") + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an array"),
        (b"PK\x03\x04 something else", "not an array"),
        (header_of("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + b"cos\nsystem\n.", "type |O"),
        (header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,), }\n"), "0 bytes of elements"),
        (header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n") + b"\0" * 9, "need 8"),
        (header_of("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }\n") + b"\0" * 8, "type >f4"),
        (header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }\n") + b"\0" * 8, "not of the form"),
        (header_of("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }\n") + b"\0" * 16, "type <U4"),
        (header_of("(" * 3000), "not of the form"),
        (header_of(" " * 5000, (2, 0)), "header of 5000 bytes"),
        (header_of(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {(1,) * 9}, }}\n") + b"\0" * 4, "9 axes"),
        (header_of("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)*9, }\n"), "not of the form"),
        (header_of(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {(0, 2**62, 2**62)}, }}\n"), "no array can"),
        (header_of("{}", (3, 0)), "version"),
    ],
)
def test_arrays_that_are_none_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(BundleError, match=r"golden/x\.npy") as caught:
        decode_array(data, "golden/x.npy")
    assert says in str(caught.value)


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    plain_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.edgefer"
    path.write_bytes(b"what was there")

    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if failing == "write":
        # The stream of os.fdopen writes below Python's os.write, so the stream itself is replaced.
        real = os.fdopen

        def fdopen(handle: int, *arguments: Any, **more: Any) -> Any:
            stream = real(handle, *arguments, **more)
            return _FullStream(stream)

        monkeypatch.setattr(os, "fdopen", fdopen)
    elif failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BundleError, match="No space left on device") as caught:
        plain_bundle.write(path)
    assert "unchanged" in caught.value.hint
    monkeypatch.undo()
    assert path.read_bytes() == b"what was there"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.edgefer"]


class _FullStream:
    """A stream that has room for nothing."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> _FullStream:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def write(self, data: bytes) -> int:
        self._stream.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_is_not_there_is_named(plain_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none/a\.edgefer") as caught:
        plain_bundle.write(tmp_path / "none" / "a.edgefer")
    assert caught.value.hint


def test_members_must_not_bring_a_manifest(plain_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"must not hold manifest\.json"):
        Bundle.from_members(plain_bundle.manifest, {**members_of(plain_bundle), "manifest.json": b"{}"})


@pytest.mark.parametrize("change", [{"temperature": float("nan")}, {"temperature": np.int64(1)}, {"labels": 5}])
def test_a_manifest_that_json_cannot_hold_is_refused(plain_bundle: Bundle, change: dict[str, Any]) -> None:
    with pytest.raises((BundleError, TypeError)):
        Bundle.from_members(msgspec.structs.replace(plain_bundle.manifest, **change), members_of(plain_bundle))
