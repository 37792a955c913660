"""The gates' parameters in Python are those of the C headers, byte by byte."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from edgefer.kernels.gated_fusion import GatedFusionParams
from edgefer.kernels.gated_pool import GatedPoolParams
from edgefer.kernels.local_gate import LocalGateParams

INCLUDE = Path(__file__).parents[3] / "kernels/include/edgefer"
STRUCTURES = {
    "gated_pool_params.h": GatedPoolParams,
    "gated_fusion_params.h": GatedFusionParams,
    "local_gate_params.h": LocalGateParams,
}


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize("header", STRUCTURES)
def test_offsets_and_sizes_are_those_of_plain_cxx(header: str, tmp_path: Path) -> None:
    structure = STRUCTURES[header]
    names = [field[0] for field in structure._fields_]
    name = f"edgefer::{structure.__name__}"
    lines = [f'printf("%zu %zu\\n", offsetof({name}, {each}), sizeof({name}::{each}));' for each in names]
    source = tmp_path / "offsets.cpp"
    source.write_text(
        f'#include <cstddef>\n#include <cstdio>\n#include "{INCLUDE / header}"\n'
        f'int main() {{ {" ".join(lines)} printf("%zu\\n", sizeof({name})); }}\n'
    )
    program = tmp_path / "offsets"
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Werror", "-o", program, source], check=True)
    *found, size = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    expected = [f"{getattr(structure, each).offset} {getattr(structure, each).size}" for each in names]
    assert found == expected
    assert int(size) == ctypes.sizeof(structure)


@pytest.mark.parametrize("header", STRUCTURES)
def test_every_field_of_the_header_is_there(header: str) -> None:
    """A field that Python lacks at the end would change neither offsets nor, behind padding, the size."""
    text = (INCLUDE / header).read_text().split("{", 2)[2]
    declared = [line.split(";")[0].split()[-1].lstrip("*") for line in text.splitlines() if ";" in line.split("//")[0]]
    assert [name for name in declared if name != "}"] == [field[0] for field in STRUCTURES[header]._fields_]
