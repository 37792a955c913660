"""The plugin library embeds the kernels' binaries as they are shipped, byte for byte, or does not build."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgefer.kernels.cubins import Binary, Index

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "kernels" / "plugin"
PARTS = {
    "sm_87.cubin.xz": b"\x7fELF for Orin",
    "sm_90.cubin.xz": b"\x7fELF for Hopper",
    "compute_80.ptx.xz": b".version 8.5",
}


@pytest.fixture
def cubins(tmp_path: Path) -> Path:
    """A folder like edgefer/cubins."""
    folder = tmp_path / "cubins"
    folder.mkdir()
    rows = []
    for (file, raw), capability in zip(PARTS.items(), ("8.7", "9.0", "8.0"), strict=True):
        packed = lzma.compress(raw)
        (folder / file).write_bytes(packed)
        rows.append(
            Binary(
                file=file,
                kind="ptx" if "ptx" in file else "cubin",
                compute_capability=capability,
                toolkit="12.6.85",
                exact=capability == "8.7",
                bytes=len(packed),
                sha256=hashlib.sha256(packed).hexdigest(),
                raw_bytes=len(raw),
                raw_sha256=hashlib.sha256(raw).hexdigest(),
                entries=(),
            )
        )
    (folder / "index.json").write_bytes(msgspec.json.encode(Index(source_sha256="", binaries=tuple(rows))))
    return folder


def embed(cubins: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PLUGIN / "embed.py"), str(cubins), str(output)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
def test_what_is_embedded_is_what_is_shipped(cubins: Path, tmp_path: Path) -> None:
    source, program = tmp_path / "embedded.cpp", tmp_path / "probe"
    assert embed(cubins, source).returncode == 0
    probe = Path(__file__).parent / "plugin_library" / "embedded_probe.cpp"
    subprocess.run(
        ["g++", "-std=c++17", "-fPIC", "-Wall", "-Werror", f"-I{PLUGIN}", str(probe), str(source), "-o", str(program)],
        check=True,
    )

    listed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines() == ["cubin for 8.7 8.7 0 1", "cubin for 9.0 9.0 0 0", "PTX for 8.0 and later 8.0 1 0"]
    for number, raw in enumerate(PARTS.values()):
        # A driver reads PTX up to a zero.
        image = subprocess.run([program, str(number), str(len(raw) + 1)], capture_output=True, check=True).stdout
        assert image == raw + b"\0"


def test_without_an_index_nothing_is_written(tmp_path: Path) -> None:
    done = embed(tmp_path, tmp_path / "embedded.cpp")

    assert done.returncode == 1
    assert f"{tmp_path} has no usable index of kernel binaries" in done.stderr
    assert not (tmp_path / "embedded.cpp").exists()


@pytest.mark.parametrize("damage", [b"not xz at all", lzma.compress(b"another binary")])
def test_a_damaged_binary_is_refused(cubins: Path, tmp_path: Path, damage: bytes) -> None:
    (cubins / "sm_90.cubin.xz").write_bytes(damage)
    done = embed(cubins, tmp_path / "embedded.cpp")

    assert done.returncode == 1
    assert "sm_90.cubin.xz" in done.stderr
    assert not (tmp_path / "embedded.cpp").exists()
