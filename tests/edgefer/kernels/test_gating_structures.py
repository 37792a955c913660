"""The parameters of CBAM and of the channel gate lie in memory as their C structures do."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from edgefer.kernels.cbam import CbamParams
from edgefer.kernels.channel_gate import ChannelGateParams

INCLUDE = Path(__file__).parents[3] / "kernels" / "include" / "edgefer"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize(("structure", "header"), [(CbamParams, "cbam"), (ChannelGateParams, "channel_gate")])
def test_python_mirrors_the_c_structure(structure: type[ctypes.Structure], header: str, tmp_path: Path) -> None:
    names = [field[0] for field in structure._fields_]
    name = f"edgefer::{structure.__name__}"
    sizes = "".join(f'std::printf("%zu %zu\\n", offsetof({name}, {each}), sizeof({name}::{each}));' for each in names)
    source = tmp_path / "layout.cpp"
    source.write_text(
        f'#include <cstddef>\n#include <cstdio>\n#include "{header}_params.h"\n'
        f'int main() {{ {sizes} std::printf("%zu 0\\n", sizeof({name})); }}\n'
    )
    program = tmp_path / "layout"
    subprocess.run(["g++", "-std=c++17", f"-I{INCLUDE}", str(source), "-o", str(program)], check=True)
    printed = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.split()
    found = list(zip(map(int, printed[::2]), map(int, printed[1::2]), strict=True))
    expected = [(getattr(structure, each).offset, getattr(structure, each).size) for each in names]
    assert found == [*expected, (ctypes.sizeof(structure), 0)]
