"""Which binary a GPU takes, and that a damaged one is refused."""

from __future__ import annotations

import hashlib
import lzma
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgefer.errors import EnvironmentMismatch, PluginMissing
from edgefer.kernels.cubins import INDEX, Binary, EntryUse, Index, choose, index, read


def binary(name: str, raw: bytes = b"code", **changes: Any) -> Binary:
    """A made-up entry of an index: `sm_87`, `sm_80`, `compute_80`."""
    kind, _, number = name.partition("_")
    packed = lzma.compress(raw)
    fields: dict[str, Any] = {
        "file": f"{name}.xz",
        "kind": "cubin" if kind == "sm" else "ptx",
        "compute_capability": f"{number[:-1]}.{number[-1]}",
        "toolkit": "12.6.85",
        "exact": False,
        "bytes": len(packed),
        "sha256": hashlib.sha256(packed).hexdigest(),
        "raw_bytes": len(raw),
        "raw_sha256": hashlib.sha256(raw).hexdigest(),
        "entries": (EntryUse(name="edgefer_entry", parameter_bytes=8),),
    }
    return Binary(**{**fields, **changes})


def listed(*binaries: Binary) -> Index:
    return Index(source_sha256="0" * 64, binaries=binaries)


MANY = listed(
    binary("sm_80"),
    binary("sm_86"),
    binary("sm_87", exact=True),
    binary("sm_90"),
    binary("sm_110", exact=True),
    binary("compute_75"),
    binary("compute_80"),
)


@pytest.mark.parametrize(
    ("gpu", "file"),
    [
        ("8.0", "sm_80.xz"),
        ("8.6", "sm_86.xz"),
        ("8.7", "sm_87.xz"),
        ("8.9", "sm_86.xz"),  # an earlier minor version of a desktop GPU, never the Jetson's
        ("9.0", "sm_90.xz"),
        ("11.0", "sm_110.xz"),
        ("11.1", "compute_80.xz"),  # a later Jetson does not take the earlier one's
        ("10.0", "compute_80.xz"),
        ("12.1", "compute_80.xz"),
        ("7.5", "compute_75.xz"),
    ],
)
def test_a_gpu_takes_its_own_or_an_earlier_cubin_of_its_family_else_ptx(gpu: str, file: str) -> None:
    assert choose(gpu, MANY).file == file


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_in_the_index_does_not_matter(order: int) -> None:
    assert choose("8.9", listed(*MANY.binaries[::order])).file == "sm_86.xz"


def test_a_cubin_of_a_later_minor_version_is_not_taken() -> None:
    with pytest.raises(PluginMissing):
        choose("8.0", listed(binary("sm_86")))


def test_what_there_is_is_listed_where_nothing_fits() -> None:
    with pytest.raises(PluginMissing, match=r"7\.2") as caught:
        choose("7.2", MANY)
    assert "cubin for 8.7" in caught.value.details
    assert "PTX for 8.0 and later" in caught.value.details
    assert "--plugins inline" in caught.value.hint
    with pytest.raises(PluginMissing, match="it has: none"):
        choose("8.7", listed())


@pytest.mark.parametrize("text", ["", "8", "orin", "8.x", "8.7.1"])
def test_what_is_no_compute_capability_is_refused(text: str) -> None:
    with pytest.raises(EnvironmentMismatch, match="no compute capability"):
        choose(text, MANY)


def test_a_binary_is_read_as_it_was_packed(tmp_path: Path) -> None:
    raw = bytes(range(256)) * 50
    (tmp_path / "sm_87.xz").write_bytes(lzma.compress(raw))
    assert read(binary("sm_87", raw), tmp_path) == raw


def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMismatch, match=r"sm_87\.xz") as caught:
        read(binary("sm_87"), tmp_path)
    assert "install edgefer again" in caught.value.hint


@pytest.mark.parametrize("where", [0, 12, -1])
def test_a_changed_byte_is_found(tmp_path: Path, where: int) -> None:
    packed = bytearray(lzma.compress(b"code"))
    packed[where] ^= 1
    (tmp_path / "sm_87.xz").write_bytes(packed)
    with pytest.raises(EnvironmentMismatch, match="damaged"):
        read(binary("sm_87"), tmp_path)


def test_a_file_that_the_index_describes_wrongly_is_found(tmp_path: Path) -> None:
    garbage = b"no xz stream"
    (tmp_path / "sm_87.xz").write_bytes(garbage)
    with pytest.raises(EnvironmentMismatch, match="unpacked"):
        read(binary("sm_87", sha256=hashlib.sha256(garbage).hexdigest()), tmp_path)
    (tmp_path / "sm_87.xz").write_bytes(lzma.compress(b"code"))
    with pytest.raises(EnvironmentMismatch, match="does not hold"):
        read(binary("sm_87", raw_sha256="0" * 64), tmp_path)


def test_a_python_without_lzma_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sm_87.xz").write_bytes(lzma.compress(b"code"))
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(EnvironmentMismatch, match="no module lzma"):
        read(binary("sm_87"), tmp_path)


def test_a_truncated_stream_is_found(tmp_path: Path) -> None:
    short = lzma.compress(b"code" * 100)[:-6]
    (tmp_path / "sm_87.xz").write_bytes(short)
    with pytest.raises(EnvironmentMismatch, match="unpacked"):
        read(binary("sm_87", sha256=hashlib.sha256(short).hexdigest()), tmp_path)


def test_an_index_survives_json(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(msgspec.json.encode(MANY))
    assert index(tmp_path) == MANY


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"version": 2, "source_sha256": "", "binaries": []}'])
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / INDEX).write_bytes(content)
    with pytest.raises(EnvironmentMismatch, match="not an index"):
        index(tmp_path)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMismatch, match=r"index\.json"):
        index(tmp_path)
