"""The compiler and the CUDA headers with which device code is built for the host."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgefer.errors import CompileError, EnvironmentMismatch

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "kernels/include"
HOST = ROOT / "kernels/host"


@dataclass(frozen=True)
class Toolchain:
    """`compiler` is g++, `cuda` the folder that has cuda_fp16.h."""

    compiler: str
    version: str
    cuda: Path

    def compile(self, arguments: list[str]) -> None:
        """Run the compiler.

        Raises:
            CompileError: it refused; the details are what it said.
        """
        ended = subprocess.run([self.compiler, *arguments], capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise CompileError(
                f"g++ refused device code (status {ended.returncode}); expected it to compile for the host",
                details=ended.stderr[-6000:],
                hint="kernels/host/intrinsics.hpp has the CUDA functions that the host knows",
            )

    @property
    def system_includes(self) -> list[str]:
        """Flags that find the CUDA headers, without warnings about them; cuda_fp16.h needs nv/target of CCCL."""
        folders = [self.cuda, self.cuda / "cccl"]
        return [flag for folder in folders if folder.is_dir() for flag in ("-isystem", str(folder))]


def _cuda_folders() -> Iterator[Path]:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            yield Path(os.environ[variable]) / "include"
    yield Path("/usr/local/cuda/include")
    nvcc = shutil.which("nvcc")
    if nvcc is not None:
        home = Path(nvcc).resolve().parents[1]
        yield home / "include"
        yield from sorted(home.glob("targets/*/include"))
    yield Path("/usr/include")
    for folder in sys.path:  # the wheels of CUDA 13 share a folder
        yield from sorted(Path(folder).glob("nvidia/cu[0-9]*/include"))


def _has_headers(folder: Path) -> bool:
    target = any((folder / name).exists() for name in ("nv/target", "cccl/nv/target"))
    return target and (folder / "cuda_fp16.h").exists() and (folder / "crt/host_defines.h").exists()


@lru_cache(maxsize=1)
def toolchain() -> Toolchain:
    """What this machine has.

    Raises:
        EnvironmentMismatch: there is no g++, or there are no CUDA headers.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise EnvironmentMismatch("no g++ was found; device code is tested on the host with it", hint="install g++")
    cuda = next((each for each in _cuda_folders() if _has_headers(each)), None)
    if cuda is None:
        raise EnvironmentMismatch(
            "no folder with CUDA's cuda_fp16.h, crt/host_defines.h and nv/target was found",
            hint="install the CUDA toolkit, set CUDA_HOME, or: "
            'pip install "nvidia-cuda-runtime==13.*" "nvidia-cuda-crt==13.*" "nvidia-cuda-cccl==13.*"',
        )
    version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    return Toolchain(compiler, version, cuda)
