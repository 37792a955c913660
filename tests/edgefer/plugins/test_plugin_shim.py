"""The library that stands for another."""

from __future__ import annotations

import ctypes
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from edgefer.errors import EnvironmentMismatch
from edgefer.plugins.shim import forwarding_library

needs_elf = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="no 64-bit ELF machine"
)


def test_it_is_a_header_and_little_more() -> None:
    library = forwarding_library("libtensorrt_rtx.so", "libtensorrt_rtx.so.1", "aarch64")
    assert len(library) < 400
    assert library[:4] == b"\x7fELF"
    assert struct.unpack_from("<HH", library, 16) == (3, 183)


def test_machines_without_a_number_are_named() -> None:
    with pytest.raises(EnvironmentMismatch, match="riscv64"):
        forwarding_library("a", "b", "riscv64")


@needs_elf
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc for a library to stand for")
def test_the_loader_finds_symbols_of_the_library_behind_it(tmp_path: Path) -> None:
    source = tmp_path / "real.c"
    source.write_text("int answer(void) { return 42; }\n")
    real = tmp_path / "libreal.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{real.name}", "-o", real, source], check=True)
    (tmp_path / "front.so").write_bytes(forwarding_library("libreal.so", real.name))
    # In a process of its own: what is loaded stays.
    script = (
        "import ctypes, sys\n"
        "real = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)\n"
        "front = ctypes.CDLL(sys.argv[2], mode=ctypes.RTLD_GLOBAL)\n"
        "assert ctypes.CDLL('libreal.so').answer() == 42\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, real, tmp_path / "front.so"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@needs_elf
def test_without_the_library_behind_it_the_loader_says_so(tmp_path: Path) -> None:
    front = tmp_path / "front.so"
    front.write_bytes(forwarding_library("libfront.so", "libnowhere.so.7"))
    with pytest.raises(OSError, match=r"libnowhere\.so\.7"):
        ctypes.CDLL(str(front))
