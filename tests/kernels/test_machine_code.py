"""The machine code that is shipped: 16 bytes at a time where the layout has them together, local memory nowhere."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from edgefer.kernels.cubins import index, read
from edgefer.kernels.entries import ENTRIES
from kernels.tools import cubins, limits, sass
from kernels.tools.limits import Default, Limits, Wide
from kernels.tools.nvrtc import TARGETS

LISTING = """
\t.headerflags\t@"EF_CUDA_SM87"
//--------------------- .text.edgefer_x_f16h --------------------------
\t.section\t.text.edgefer_x_f16h,"ax",@progbits
.text.edgefer_x_f16h:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, [R2.64] ;
        /*0020*/                   STG.E.128 [R2.64], R4 ;
        /*0030*/                   EXIT ;
//--------------------- .text.edgefer_x_f32n --------------------------
\t.section\t.text.edgefer_x_f32n,"ax",@progbits
.text.edgefer_x_f32n:
        /*0000*/              @P1  LDG.E R4, [R2.64] ;
        /*0010*/                   LDL.64 R8, [R1] ;
        /*0020*/                   STG.E [R2.64], R4 ;
"""
CEILINGS = Limits(Default(0, 0, {}), (), Wide(loads=("*_f16h",), stores=("*_f16h",)))


@pytest.fixture(scope="module")
def package_index() -> None:
    command = [sys.executable, "-m", "pip", "index", "versions", "nvidia-cuda-nvdisasm"]
    if subprocess.run(command, capture_output=True, check=False, timeout=120).returncode:
        pytest.skip("the package index does not answer")


@pytest.mark.network
@pytest.mark.parametrize("name", [target.name for target in TARGETS if target.kind == "cubin"])
def test_what_is_shipped_accesses_memory_as_it_should(name: str, package_index: None) -> None:
    binary = next(each for each in index().binaries if each.file.startswith(f"{name}."))
    found = sass.disassemble(read(binary))
    assert set(found) == set(ENTRIES)
    assert sass.violations(found, limits.load()) == []


@pytest.mark.network
def test_the_compilers_make_what_is_in_the_tree(package_index: None) -> None:
    assert cubins.differences(cubins.compile_all()) == []


def test_a_listing_is_read() -> None:
    assert sass.parse(LISTING) == {
        "edgefer_x_f16h": Counter({"MOV": 1, "LDG.E.128.CONSTANT": 1, "STG.E.128": 1, "EXIT": 1}),
        "edgefer_x_f32n": Counter({"LDG.E": 1, "LDL.64": 1, "STG.E": 1}),
    }


def test_local_memory_and_narrow_access_are_told() -> None:
    assert sass.violations(sass.parse(LISTING), CEILINGS) == ["edgefer_x_f32n: uses local memory (LDL.64)"]
    narrow = sass.parse(LISTING.replace(".128", ""))
    assert sass.violations(narrow, CEILINGS) == [
        "edgefer_x_f16h: loads nothing 16 bytes at a time",
        "edgefer_x_f16h: stores nothing 16 bytes at a time",
        "edgefer_x_f32n: uses local memory (LDL.64)",
    ]


def test_an_asynchronous_copy_of_16_bytes_is_a_wide_load() -> None:
    found = {"a_f16h": Counter({"LDGSTS.E.BYPASS.128": 1, "STG.E.128": 2})}
    assert sass.violations(found, CEILINGS) == []
