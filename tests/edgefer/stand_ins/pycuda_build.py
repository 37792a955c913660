"""The real pycuda on a machine without a GPU: its source from the package index, compiled once and kept in build/.

There are no wheels of it. Compiling takes about a minute, so that one build serves all tests of a checkout, whichever
of their processes comes first. It is linked to a library that is named like the driver's and is empty; which driver it
runs over is what LD_LIBRARY_PATH says later.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from filelock import FileLock

from edgefer.errors import EnvironmentMismatch
from kernels.tools.toolchain import Toolchain, toolchain

VERSION = "2026.1"
CACHE = Path(__file__).resolve().parents[3] / "build"
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
_HEADERS = ("cuda.h", "cudaProfiler.h")


def compiler() -> Toolchain:
    """g++ and the folder of CUDA's headers; skips the test where either is missing."""
    if sys.platform != "linux":
        pytest.skip("the driver is an ELF library here")
    try:
        tools = toolchain()
    except EnvironmentMismatch as error:
        pytest.skip(str(error))
    missing = [name for name in _HEADERS if not (tools.cuda / name).exists()]
    if missing:
        pytest.skip(f"{tools.cuda} has no {' and no '.join(missing)}, which pycuda is compiled with")
    return tools


def built_pycuda() -> Path:
    """The folder to put on the path of a child so that it imports pycuda; compiled by the first call."""
    tools = compiler()
    folder = CACHE / f"pycuda-{VERSION}-{sys.implementation.cache_tag}"
    CACHE.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            scratch = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            _build(_source(scratch), tools, scratch)
            (scratch / "installed").rename(folder)
            shutil.rmtree(scratch)
    return folder


def _source(scratch: Path) -> Path:
    command = [*_PIP, "download", "--no-deps", "--no-binary", "pycuda", f"pycuda=={VERSION}", "--dest", str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"the package index gave no pycuda {VERSION}: {done.stderr.strip().splitlines()[-1:]}")
    (archive,) = scratch.glob("pycuda-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data") if hasattr(tarfile, "data_filter") else packed.extractall(scratch)
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def _build(source: Path, tools: Toolchain, scratch: Path) -> None:
    # Without --no-as-needed the linker drops a library that no symbol comes from, and nothing would load the driver.
    library = scratch / "libcuda.so"
    (scratch / "empty.c").touch()
    tools.compile(["-shared", "-Wl,-soname,libcuda.so.1", "-o", str(library), str(scratch / "empty.c")])
    options = [f"--cuda-root={tools.cuda.parent}", f"--cuda-inc-dir={tools.cuda}", f"--cudadrv-lib-dir={scratch}"]
    _run([sys.executable, "configure.py", *options, "--no-cuda-enable-curand"], source)
    _run([*_PIP, "install", "--no-deps", "--target", str(scratch / "installed"), str(source)], source)


def _run(command: list[str], folder: Path) -> None:
    # Nothing here is measured, and without optimisation it is compiled in half the time.
    flags = {"CFLAGS": "-O0 -g0", "LDFLAGS": "-Wl,--no-as-needed"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=900, cwd=folder, env={**os.environ, **flags}
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def stub_driver(source: Path, pycuda: Path, folder: Path) -> Path:
    """Compiles a stub of the driver into `folder`, which it gives back: the functions in `source`, and all others that
    pycuda is linked to, without which it could not be imported; those answer CUDA_ERROR_NOT_SUPPORTED."""
    tools = compiler()
    part = folder / "part.o"
    flags = ["-std=c++17", "-fPIC", "-Wall", "-Wextra"]
    tools.compile([*flags, "-c", str(source), "-o", str(part)])
    (module,) = (pycuda / "pycuda").glob("_driver*.so")
    missing = _symbols(module, "--dynamic", "--undefined-only") - _symbols(part, "--defined-only")
    assert missing
    rest = folder / "rest.cpp"
    rest.write_text("".join(f'extern "C" int {name}() {{ return 801; }}\n' for name in sorted(missing)))
    library = folder / "libcuda.so.1"
    tools.compile([*flags, "-shared", "-Wl,-soname,libcuda.so.1", "-o", str(library), str(part), str(rest), "-ldl"])
    return folder


def _symbols(path: Path, *which: str) -> set[str]:
    listed = subprocess.run(["nm", "--format=posix", *which, str(path)], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in listed.stdout.splitlines() if re.match(r"cu[A-Z]", line)}
