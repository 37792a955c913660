"""What is not a bundle, or not a whole one, is a BundleError that says so and what to do."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle import container, layout, reading, schema
from edgefer.bundle.container import Bundle
from edgefer.bundle.layout import pack
from edgefer.bundle.manifest import SCHEMA_VERSION
from edgefer.errors import BundleError


def contents_of(bundle: Bundle) -> dict[str, bytes]:
    return {name: bundle.member(name) for name in ("manifest.json", *bundle.members)}


def refusal(path: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        Bundle.read(path)
    assert str(path) in caught.value.message
    assert caught.value.hint, caught.value
    return caught.value


def refusal_of(data: bytes, folder: Path) -> BundleError:
    path = folder / "x.edgefer"
    path.write_bytes(data)
    return refusal(path)


def raw_zip(entries: list[tuple[str, bytes]], **change: Any) -> bytes:
    """A zip as edgefer lays it out, without any of edgefer's checks; `change` overrides fields of the last entry."""
    body, directory = b"", b""
    for index, (name, data) in enumerate(entries):
        last = change if index == len(entries) - 1 else {}
        encoded = name.encode()
        flags, method = last.get("flags", 0), last.get("method", 0)
        size, attributes = last.get("size", len(data)), last.get("attributes", (stat.S_IFREG | 0o644) << 16)
        extra = last.get("extra", b"")
        common = (flags, method, 0, 33, last.get("crc", zlib.crc32(data)), len(data), size, len(encoded), len(extra))
        offset = last.get("offset", len(body))
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 788, 20, *common, 0, 0, 0, attributes, offset)
        directory += encoded + extra
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, *common) + encoded + extra + data
    count = last.get("count", len(entries))
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def test_the_helper_makes_what_edgefer_makes(plain_bundle: Bundle) -> None:
    assert raw_zip(list(contents_of(plain_bundle).items())) == plain_bundle.to_bytes()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"\xef\xbb\xbf\n <html>", "a web page"),
        (b'{"schema": 1}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n", "Git LFS pointer"),
        (b"\x08\x09\x12\x07pytorch", "an ONNX model"),
        (b"ptrt\0\0\0\0", "a TensorRT engine"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"\x1f\x8b\x08\0", "neither a zip file"),
        (b"P", "neither a zip file"),
        (b"PK\x03\x04", "truncated"),
    ],
)
def test_other_files_are_called_by_their_name(tmp_path: Path, data: bytes, says: str) -> None:
    assert says in refusal_of(data, tmp_path).message


def test_an_onnx_model_is_recognised(tmp_path: Path, tiny_bundle: Bundle) -> None:
    assert "an ONNX model" in refusal_of(tiny_bundle.onnx(tiny_bundle.graph()), tmp_path).message


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "a folder" in refusal(tmp_path).message
    assert "no such file" in refusal(tmp_path / "none.edgefer").message
    assert "cannot be read" in refusal(tmp_path / "bad\0name").message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.edgefer"
    os.mkfifo(pipe)
    assert "not a regular file" in refusal(pipe).message


def test_a_file_without_permission(plain_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plain_bundle.write(tmp_path / "a.edgefer")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything
        real = Path.open

        def denied(self: Path, *arguments: Any, **more: Any) -> Any:
            if self == path:
                raise PermissionError(13, "Permission denied", str(self))
            return real(self, *arguments, **more)

        monkeypatch.setattr(Path, "open", denied)
    assert "no permission" in refusal(path).message


def test_a_plain_zip(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday/1.jpg", b"...")
    error = refusal(path)
    assert "not a bundle" in error.message
    assert "holiday/1.jpg" in error.message
    with zipfile.ZipFile(path, "w"):
        pass
    assert "it holds nothing" in refusal(path).message


def test_a_bundle_zipped_again(plain_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "again.edgefer"
    for compression, says in ((zipfile.ZIP_STORED, "re-packed"), (zipfile.ZIP_DEFLATED, "compressed")):
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in contents_of(plain_bundle).items():
                archive.writestr(name, content)
        assert says in refusal(path).message or "header of member" in refusal(path).message


def test_a_zip_bomb(plain_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bomb.edgefer"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", plain_bundle.member("manifest.json"))
        archive.writestr("graphs/fused.onnx", b"\0" * 50_000_000)
    assert path.stat().st_size < 100_000
    assert "compressed" in refusal(path).message


SCHEMA = f'"schema": {SCHEMA_VERSION}'.encode()
ATTEMPTS = {
    "/etc/passwd": "absolute",
    "../up.onnx": "'..'",
    "graphs/../../up.onnx": "'..'",
    "graphs\\fused.onnx": "backslash",
    "C:/fused.onnx": "drive letter",
    "C:fused.onnx": "drive letter",
    "": "empty",
    "graphs/": "folder",
    "graphs//fused.onnx": "other characters",
    "./fused.onnx": "other characters",
    ".hidden": "other characters",
    "graphs/fus\x00ed.onnx": "other characters",
    "graphs/fuséd.onnx": "other characters",
    "a" * 201: "201 characters",
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_names_that_could_escape_are_refused_in_both_directions(
    plain_bundle: Bundle, tmp_path: Path, name: str
) -> None:
    contents = contents_of(plain_bundle)
    error = refusal_of(raw_zip([*contents.items(), (name, b"x")]), tmp_path)
    assert "not allowed" in error.message
    assert ATTEMPTS[name] in error.message
    with pytest.raises(BundleError, match="not allowed"):
        pack({**contents, name: b"x"})


def test_members_that_are_not_as_the_manifest_says(plain_bundle: Bundle, tmp_path: Path) -> None:
    contents = contents_of(plain_bundle)
    entries = list(contents.items())
    assert "more than one member" in refusal_of(raw_zip([*entries, entries[-1]]), tmp_path).message
    assert "not in the manifest" in refusal_of(pack({**contents, "extra.bin": b"x"}), tmp_path).message
    fewer = {name: content for name, content in contents.items() if name != "golden/visible.npy"}
    assert "is missing" in refusal_of(pack(fewer), tmp_path).message
    longer = {**contents, "graphs/fused.onnx": contents["graphs/fused.onnx"] + b"x"}
    assert "1025 bytes, the manifest says 1024" in refusal_of(pack(longer), tmp_path).message
    other = {**contents, "graphs/fused.onnx": contents["graphs/fused.onnx"][::-1]}
    assert "SHA-256" in refusal_of(pack(other), tmp_path).message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"attributes": (stat.S_IFLNK | 0o777) << 16}, "symbolic link"),
        ({"flags": 1}, "encrypted"),
        ({"method": 8}, "compressed"),
        ({"size": 2**31}, "compressed"),
        ({"attributes": 0}, "re-packed"),
        ({"flags": 0x800}, "header of member"),
        ({"extra": b"\x01\x00\x00\x00"}, "header of member"),
        ({"offset": 0}, "header of member"),
        ({"crc": 0}, "checksum"),
        ({"count": 300}, "300 members"),
        ({"count": 9}, "entry of its directory is missing"),
        ({"count": 2}, "directory is longer"),
    ],
)
def test_headers_that_are_not_edgefers(plain_bundle: Bundle, tmp_path: Path, change: dict[str, Any], says: str) -> None:
    assert says in refusal_of(raw_zip(list(contents_of(plain_bundle).items()), **change), tmp_path).message


def test_bytes_that_belong_to_nothing(plain_bundle: Bundle, tmp_path: Path) -> None:
    whole = plain_bundle.to_bytes()
    assert "follow its end" in refusal_of(whole + b"more", tmp_path).message
    assert "declares" in refusal_of(b"PK\x03\x04" + whole, tmp_path).message
    start = int.from_bytes(whole[-6:-2], "little")
    gap = whole[:start] + b"hidden" + whole[start:-6] + (start + 6).to_bytes(4, "little") + whole[-2:]
    assert "6 bytes between" in refusal_of(gap, tmp_path).message


def test_the_manifest_comes_first(plain_bundle: Bundle, tmp_path: Path) -> None:
    entries = list(contents_of(plain_bundle).items())
    assert "first member" in refusal_of(raw_zip([*entries[1:], entries[0]]), tmp_path).message


@pytest.mark.parametrize(
    ("where", "limit", "value", "says"),
    [
        (reading, "MAX_BUNDLE_BYTES", 100, "more than the 100 allowed"),
        (layout, "MAX_MEMBER_BYTES", 100, "more than the 100 allowed"),
        (layout, "MAX_MEMBERS", 2, "more than the 2 allowed"),
        (schema, "MAX_MANIFEST_BYTES", 100, "more than the 100 allowed"),
    ],
)
def test_sizes_over_the_limits(
    plain_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, limit: str, value: int, says: str
) -> None:
    path = plain_bundle.write(tmp_path / "a.edgefer")
    monkeypatch.setattr(where, limit, value)
    with pytest.raises(BundleError, match=says):
        Bundle.read(path)


@pytest.mark.parametrize(
    ("where", "limit", "value"),
    [
        (layout, "MAX_BUNDLE_BYTES", 100),
        (layout, "MAX_MEMBER_BYTES", 100),
        (layout, "MAX_MEMBERS", 2),
        (schema, "MAX_MANIFEST_BYTES", 100),
    ],
)
def test_what_could_not_be_read_is_not_made(
    plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, where: Any, limit: str, value: int
) -> None:
    members = {name: plain_bundle.member(name) for name in plain_bundle.members}
    monkeypatch.setattr(where, limit, value)
    with pytest.raises(BundleError, match=rf"\b{value}\b"):
        Bundle.from_members(plain_bundle.manifest, members)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda text: b"{" + text, "not JSON"),
        (lambda text: b"[1]", "JSON list"),
        (lambda text: b"[" * 100_000, "not JSON"),
        (lambda text: text[:-20], "not JSON"),
        (lambda text: b'"\xff"', "not JSON"),
        (lambda text: text.replace(SCHEMA, b'"schema": 99'), "newer edgefer"),
        (lambda text: text.replace(SCHEMA, b'"schema": 0'), "no way"),
        (lambda text: text.replace(SCHEMA, b'"schema": "1"'), "expected a version number"),
        (lambda text: text.replace(SCHEMA + b",", b""), "is missing"),
        (lambda text: text.replace(SCHEMA, SCHEMA + b', "more": 2'), "unknown field"),
        (lambda text: text.replace(b'"precision": "fp32"', b'"precision": "fp8"'), "fp8"),
        (lambda text: text.replace(b'"temperature": 1.0', b'"temperature": -1.0'), "temperature"),
    ],
)
def test_manifests_that_cannot_be(
    plain_bundle: Bundle, tmp_path: Path, edit: Callable[[bytes], bytes], says: str
) -> None:
    contents = contents_of(plain_bundle)
    changed = edit(contents["manifest.json"])
    assert changed != contents["manifest.json"]
    assert says in str(refusal_of(pack({**contents, "manifest.json": changed}), tmp_path))


def test_the_error_of_a_newer_version_says_which(plain_bundle: Bundle, tmp_path: Path) -> None:
    contents = contents_of(plain_bundle)
    newer = (
        contents["manifest.json"].replace(SCHEMA, b'"schema": 7').replace(b'"edgefer": "0.1.0"', b'"edgefer": "3.2.0"')
    )
    error = refusal_of(pack({**contents, "manifest.json": newer}), tmp_path)
    assert "schema version 7" in error.message
    assert "needs version 3.2.0" in error.hint


def test_the_modules_under_test_are_the_ones_limited() -> None:
    assert container.read_file is reading.read_file
