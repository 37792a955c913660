"""Archives of engines: what goes in comes out, and whatever is wrong with a file is found before it is believed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stand_in_engine import stand_in_engine

from edgefer.bundle.layout import pack
from edgefer.bundle.names import MANIFEST
from edgefer.bundle.reading import split
from edgefer.engine.archive import ArchivedEngine, EngineArchive, is_archive, read_archive
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.errors import ArchiveError

ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
KEY = cache_key(b"graph", CompileRequest("tensorrt"), "10.3.0", ORIN)


def engine(plan: bytes = b"plan" * 100, version: str = "10.3.0", timing: bytes = b"") -> CompiledEngine:
    return stand_in_engine(plan, version=version, timing=timing)


def archive(*engines: tuple[CacheKey, CompiledEngine]) -> EngineArchive:
    entries = [(ArchivedEngine(role="fused", key=key), made) for key, made in engines or [(KEY, engine())]]
    return EngineArchive.of("tiny", "d" * 64, entries)


def forged(change: Callable[[dict[str, Any], dict[str, bytes]], None], *, digests: bool = True) -> bytes:
    """An archive whose manifest and members were changed by somebody who knows the format."""
    members = {name: bytes(content) for name, content in split(archive().to_bytes()).items()}
    manifest = msgspec.json.decode(members.pop(MANIFEST))
    change(manifest, members)
    if digests:
        manifest["members"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members.items()
        }
    return pack({MANIFEST: msgspec.json.encode(manifest), **members})


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    other = msgspec.structs.replace(KEY, batches=(1, 4))
    made = archive((KEY, engine(timing=b"tactics")), (other, engine(b"other plan")))
    path = made.write(tmp_path / "e.edgefer-cache")
    read = EngineArchive.read(path)
    assert read == made
    assert read.engines[0][1].timing == b"tactics"
    assert read.manifest.bundle == "d" * 64
    assert read.to_bytes() == path.read_bytes() == read_archive(path)


def test_the_same_engines_give_the_same_bytes_but_for_the_date() -> None:
    one, two = archive(), archive()
    assert msgspec.structs.replace(two.manifest, created=one.manifest.created) == one.manifest


def test_any_zip_tool_can_list_it(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(archive().write(tmp_path / "e.edgefer-cache")) as zipped:
        assert zipped.namelist()[0] == MANIFEST
        assert zipped.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in zipped.infolist())


def test_every_changed_byte_is_found() -> None:
    data = archive().to_bytes()
    for position in range(0, len(data), 13):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(ArchiveError):
            EngineArchive.from_bytes(bytes(damaged))


def test_every_shortened_file_is_found() -> None:
    data = archive().to_bytes()
    for size in range(0, len(data), 29):
        with pytest.raises(ArchiveError):
            EngineArchive.from_bytes(data[:size])
    with pytest.raises(ArchiveError):
        EngineArchive.from_bytes(data + b"\0")


def _plan(members: dict[str, bytes]) -> str:
    return next(name for name in members if name.endswith("engine.plan"))


def _another_plan(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    members[_plan(members)] = b"evil" * 100


def _no_plan(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del members[_plan(members)]


def _more(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    members["engines/evil.so"] = b"\x7fELF"


def _another_key(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["engines"][0]["key"]["gpu"] = "Thor"


def _another_release(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    key = manifest["engines"][0]["key"] = {**manifest["engines"][0]["key"], "version": "10.9"}
    digest = msgspec.convert(key, type=CacheKey).digest()
    for name in list(members):
        members[f"engines/{digest}/{name.rpartition('/')[2]}"] = members.pop(name)


def _unknown_field(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["run"] = "rm -rf"


def _wrong_type(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["engines"] = 5


def _nothing(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["engines"] = []
    members.clear()


def _twice(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["engines"] *= 2


def _report_of_another_edgefer(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    members[_plan(members).replace("engine.plan", "report.json")] = b'{"flavour": 5}'


def _later_schema(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["schema"], manifest["edgefer"] = 2, "9.9.9"


def _later_keys(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["cache_schema"], manifest["engines"][0]["key"] = 99, {"quantum": True}


def _a_bundle(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del manifest["format"]
    manifest["graphs"] = []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_another_plan, "not the one that its report is of"),
        (_no_plan, "not those of the engines"),
        (_more, "not those of the engines: engines/evil.so"),
        (_another_key, "not those of the engines"),
        (_another_release, "its key of tensorrt 10.9"),
        (_unknown_field, "not as the schema says"),
        (_wrong_type, "not as the schema says"),
        (_nothing, "no engine"),
        (_twice, "one twice"),
        (_report_of_another_edgefer, "cannot read a report that edgefer"),
        (_later_schema, "written by edgefer 9.9.9 with schema 2"),
        (_later_keys, "keys of version 99"),
        (_a_bundle, "this is a bundle"),
    ],
)
def test_what_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any], dict[str, bytes]], None], said: str
) -> None:
    with pytest.raises(ArchiveError) as caught:
        EngineArchive.from_bytes(forged(change), "some.edgefer-cache")
    assert said in caught.value.message
    assert "some.edgefer-cache" in caught.value.message
    assert caught.value.hint


def test_digests_are_checked_before_reports_are_read() -> None:
    with pytest.raises(ArchiveError, match="SHA-256"):
        EngineArchive.from_bytes(forged(_another_plan, digests=False))


def test_deep_nesting_is_no_crash() -> None:
    deep = b'{"format": "edgefer-cache", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(ArchiveError, match="manifest"):
        EngineArchive.from_bytes(pack({MANIFEST: deep}))


def test_names_that_leave_the_folder_are_refused() -> None:
    data = archive().to_bytes()
    name = f"engines/{KEY.digest()}/engine.plan".encode()
    with pytest.raises(ArchiveError, match="not allowed"):
        EngineArchive.from_bytes(data.replace(name, b"../" + name[3:]))


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08\x09\x12onnx"])
def test_other_files_are_named_for_what_they_are(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.edgefer-cache"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"some\.edgefer-cache"):
        EngineArchive.read(path)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such file"):
        EngineArchive.read(tmp_path / "none")
    with pytest.raises(ArchiveError, match="folder"):
        EngineArchive.read(tmp_path)
    with pytest.raises(ArchiveError, match="cannot be written"):
        archive().write(tmp_path / "no" / "e.edgefer-cache")


def test_too_many_engines_for_one_file_are_said() -> None:
    keys = [msgspec.structs.replace(KEY, batches=(index,)) for index in range(1, 90)]
    with pytest.raises(ArchiveError, match="do not fit into one archive"):
        archive(*((key, engine()) for key in keys)).to_bytes()


def test_an_archive_is_told_from_a_bundle_by_its_beginning() -> None:
    assert is_archive(archive().to_bytes())
    assert is_archive(archive().to_bytes()[:-20])
    assert not is_archive(pack({MANIFEST: b"{}"}))
    assert not is_archive(b"")
