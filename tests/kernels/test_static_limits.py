"""No entry takes more registers than the table says, spills, or has a stack frame, on any of the architectures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edgefer.errors import CompileError
from edgefer.kernels.entries import ENTRIES
from kernels.tools import elf, limits, nvcc
from kernels.tools.limits import Default, Limits, Row, Use, Wide

REPORT = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'edgefer_first' for 'sm_87'
ptxas info    : Function properties for edgefer_first
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 496 bytes cmem[0]
ptxas info    : Compile time = 10.000 ms
ptxas info    : Compiling entry function 'edgefer_second' for 'sm_87'
ptxas info    : Function properties for edgefer_second
    48 bytes stack frame, 20 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 128 registers, 4096 bytes smem, 496 bytes cmem[0]
"""
GOOD = Use(registers=40, shared_bytes=0, local_bytes=0)
CEILINGS = Limits(Default(0, 0, {"sm_87": 64, "sm_110": 72}), (Row("edgefer_small_*", {"sm_87": 40}),))

needs_nvcc = pytest.mark.skipif(nvcc.find() is None, reason="no nvcc on the path")


@pytest.fixture(scope="module")
def report() -> dict[str, dict[str, Use]]:
    return nvcc.report()


@needs_nvcc
@pytest.mark.parametrize("architecture", nvcc.ARCHITECTURES)
def test_every_entry_keeps_to_the_limits(report: dict[str, dict[str, Use]], architecture: str) -> None:
    assert set(report[architecture]) == set(ENTRIES)
    assert limits.violations(report[architecture], architecture, limits.load()) == []


@needs_nvcc
@pytest.mark.parametrize("architecture", nvcc.ARCHITECTURES)
def test_the_reader_of_cubins_agrees_with_the_assembler(report: dict[str, dict[str, Use]], architecture: str) -> None:
    cubin = elf.read((nvcc.compiled() / f"{architecture}.cubin").read_bytes())
    found = {each.name: Use(each.registers, each.shared_bytes, each.local_bytes) for each in cubin.kernels}
    assert found == {name: replace(use, spill_bytes=0) for name, use in report[architecture].items()}


def test_the_table_has_no_row_for_entries_that_are_gone() -> None:
    assert limits.rows_that_fit_nothing(tuple(ENTRIES), limits.load()) == []


def test_the_table_states_every_architecture() -> None:
    assert set(limits.load().default.registers) == set(nvcc.ARCHITECTURES)


def test_the_assemblers_report_is_read() -> None:
    assert nvcc.parse(REPORT) == {
        "edgefer_first": GOOD,
        "edgefer_second": Use(registers=128, shared_bytes=4096, local_bytes=48, spill_bytes=44),
    }


def test_a_report_in_another_form_is_not_taken_for_a_good_one() -> None:
    with pytest.raises(CompileError, match="edgefer_first"):
        nvcc.parse(REPORT.replace("Used 40 registers", "uses few registers"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"registers": 65}, "65 registers on sm_87, at most 64"),
        ({"shared_bytes": 4}, "4 bytes of static shared memory"),
        ({"local_bytes": 8}, "8 bytes of local memory"),
        ({"spill_bytes": 12}, "12 bytes of spilled registers"),
    ],
)
def test_what_is_above_a_ceiling_is_told(change: dict[str, int], said: str) -> None:
    assert limits.violations({"edgefer_x": GOOD}, "sm_87", CEILINGS) == []
    (line,) = limits.violations({"edgefer_x": replace(GOOD, **change)}, "sm_87", CEILINGS)
    assert said in line
    assert line.startswith("edgefer_x: ")


def test_a_row_holds_for_what_fits_it_where_it_names_the_architecture() -> None:
    assert CEILINGS.registers("edgefer_small_f32n", "sm_87") == 40
    assert CEILINGS.registers("edgefer_small_f32n", "sm_110") == 72
    assert CEILINGS.registers("edgefer_large_f32n", "sm_87") == 64


def test_rows_that_fit_nothing_are_named() -> None:
    ceilings = Limits(CEILINGS.default, CEILINGS.row, Wide(loads=("edgefer_small_f16h",), stores=("edgefer_gone_*",)))
    assert limits.rows_that_fit_nothing(["edgefer_small_f16h"], ceilings) == ["edgefer_gone_*"]


def test_a_mistake_in_the_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(limits.FILE.read_text().replace("registers", "register"))
    with pytest.raises(msgspec.ValidationError, match="register"):
        limits.load(tmp_path / "limits.toml")
