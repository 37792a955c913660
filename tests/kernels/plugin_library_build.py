"""libedgefer_plugins.so for tests, built once in a session with the headers that EDGEFER_TENSORRT_INCLUDE names, and a
program that uses it as TensorRT does."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "plugin_library"
CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"
VARIABLE = "EDGEFER_TENSORRT_INCLUDE"
RTX = "libtensorrt_rtx.so.1"

_DRIVER = ("module ", "function ", "attribute ", "launch ")


@dataclass(frozen=True)
class Answers:
    """What the program printed: answers to commands, what the library logged, and what the driver was asked for."""

    lines: list[str]
    log: list[str]
    driver: list[str]


@dataclass(frozen=True)
class BuiltLibrary:
    """`path` is the library; the program and the stand-in for the driver lie beside it."""

    path: Path

    def converse(self, commands: Sequence[str], *, host: str = "tensorrt", **variables: str) -> Answers:
        """The answers to the commands of plugin_probe.cpp, given by a process that must end well."""
        done = subprocess.run(
            [str(self.path.parent / "plugin_probe"), str(self.path)],
            input="\n".join(commands) + "\n",
            env={"LD_LIBRARY_PATH": str(self.path.parent), "EDGEFER_PLUGIN_HOST": host, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        lines = done.stdout.splitlines()
        log = [line.removeprefix("log 1 ") for line in lines if line.startswith("log ")]
        driver = [line for line in lines if line.startswith(_DRIVER)]
        return Answers([line for line in lines if not line.startswith(("log ", *_DRIVER))], log, driver)


def built_library(folders: pytest.TempPathFactory) -> BuiltLibrary:
    """The library, built by the first test of this session that asks; skips where headers or tools are missing."""
    include = os.environ.get(VARIABLE, "")
    if not include:
        pytest.skip(f"{VARIABLE} does not name a folder with TensorRT headers")
    if shutil.which("cmake") is None or shutil.which("g++") is None:
        pytest.skip("no cmake or no g++ on this machine")
    base = folders.getbasetemp()
    # One folder for all of pytest-xdist's workers.
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = session / "plugin-library"
    with FileLock(session / "plugin-library.lock"):
        library = BuiltLibrary(folder / "libedgefer_plugins.so")
        if not (folder / "done").exists():
            _build(folder, Path(include))
            (folder / "done").touch()
    return library


def _build(folder: Path, include: Path) -> None:
    # In the place of libnvinfer.so: it has the same registry.
    rtx = importlib.util.find_spec("tensorrt_rtx_libs")
    linked = [f"-DEDGEFER_TENSORRT_LIBRARY={Path(rtx.origin).with_name(RTX)}"] if rtx and rtx.origin else []
    options = [
        f"-DEDGEFER_TENSORRT_INCLUDE={include}",
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS=-Werror",
        *linked,
    ]
    subprocess.run(["cmake", "-S", str(ROOT / "kernels" / "plugin"), "-B", str(folder), *options], check=True)
    subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True)
    probe = ["g++", "-std=c++17", "-O0", "-Wno-deprecated-declarations", f"-I{include}", f"-I{CUDA}"]
    subprocess.run([*probe, str(SOURCES / "plugin_probe.cpp"), "-o", str(folder / "plugin_probe"), "-ldl"], check=True)
    fake = ["gcc", "-shared", "-fPIC", str(SOURCES / "fake_cuda.c"), "-o", str(folder / "libcuda.so.1")]
    subprocess.run(fake, check=True)
