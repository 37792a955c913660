"""CMake says which headers the plugin library lacks, and where it looked."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("g++") is None, reason="no cmake or no g++ on this machine"
)


def configure(build: Path, *options: str) -> tuple[int, str]:
    """The exit status, and all that was said with line breaks taken out: CMake wraps its messages."""
    variables = ("TENSORRT_ROOT", "EDGEFER_TENSORRT_INCLUDE")
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    done = subprocess.run(
        ["cmake", "-S", str(ROOT / "kernels" / "plugin"), "-B", str(build), *options],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)


def headers(folder: Path, interface: str) -> Path:
    """What CMake looks at in TensorRT's headers, and no more."""
    folder.mkdir()
    (folder / "NvInfer.h").write_text("")
    (folder / "NvInferRuntime.h").write_text(f"{interface}\n")
    return folder


def test_without_tensorrt_headers_it_says_so_and_what_to_do(tmp_path: Path) -> None:
    usual = (f"/usr/include/{platform.machine()}-linux-gnu", "/usr/include", "/usr/local/tensorrt/include")
    if any((Path(place) / "NvInfer.h").exists() for place in usual):
        pytest.skip("this machine has TensorRT headers")
    status, said = configure(tmp_path / "build")

    assert status == 1
    assert "There are no TensorRT headers: NvInfer.h is in none of" in said
    assert all(place in said for place in usual)
    assert "sudo apt install libnvinfer-headers-dev libnvinfer-dev" in said
    assert "-DTENSORRT_ROOT=" in said


def test_a_folder_without_headers_is_the_place_it_looked_in(tmp_path: Path) -> None:
    status, said = configure(tmp_path / "build", f"-DEDGEFER_TENSORRT_INCLUDE={tmp_path}")

    assert status == 1
    assert f"NvInfer.h is in none of {tmp_path} " in said


def test_headers_before_tensorrt_10_are_refused(tmp_path: Path) -> None:
    old = headers(tmp_path / "include", "class IPluginV2DynamicExt;")
    status, said = configure(tmp_path / "build", f"-DEDGEFER_TENSORRT_INCLUDE={old}")

    assert status == 1
    assert f"The TensorRT headers in {old} have no IPluginV3" in said
    assert "needs 10.3 or later" in said


def test_without_cuda_headers_it_says_so(tmp_path: Path) -> None:
    found = headers(tmp_path / "include", "class IPluginV3OneRuntime;")
    status, said = configure(
        tmp_path / "build", f"-DEDGEFER_TENSORRT_INCLUDE={found}", f"-DEDGEFER_CUDA_INCLUDE={tmp_path}"
    )

    assert status == 1
    assert "There are no CUDA headers" in said


@pytest.mark.skipif(not (CUDA / "cuda.h").is_file(), reason="no CUDA headers on this machine")
def test_headers_are_enough_to_configure(tmp_path: Path) -> None:
    found = headers(tmp_path / "include", "class IPluginV3OneRuntime;")
    status, said = configure(
        tmp_path / "build", f"-DEDGEFER_TENSORRT_INCLUDE={found}", f"-DEDGEFER_CUDA_INCLUDE={CUDA}"
    )

    assert status == 0
    assert f"TensorRT headers: {found}" in said
