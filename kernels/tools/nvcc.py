"""Compiles the kernels with the machine's nvcc for every architecture and reads what its assembler reports.

Nothing that this nvcc makes is shipped (kernels/tools/cubins.py makes that); it is the compiler that a machine is most
likely to have, and needs no network. `python -m kernels.tools.nvcc` prints the report and ends with 1 where an entry is
above kernels/limits.toml. Results are kept in build/nvcc by the digest of sources and compiler.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

from edgefer.errors import CompileError, EnvironmentMismatch
from kernels.tools import limits
from kernels.tools.cubins import digest, source
from kernels.tools.limits import Use
from kernels.tools.nvrtc import INCLUDE
from kernels.tools.wheels import BUILD

ARCHITECTURES = ("sm_87", "sm_90", "sm_110")
_OPTIONS = ("-std=c++17", "-cubin", "-Xptxas", "-v")

_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


def find() -> str | None:
    """The path of nvcc; None where there is none."""
    return shutil.which("nvcc")


def compiled() -> Path:
    """The folder that has for each architecture NAME a NAME.cubin and the report NAME.txt; the compilers run together.

    Raises:
        EnvironmentMismatch: there is no nvcc.
        CompileError: nvcc refused the kernels; `details` has its messages.
    """
    nvcc = find()
    if nvcc is None:
        raise EnvironmentMismatch("there is no nvcc on the path", hint="install the CUDA toolkit, 13.0 or later")
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256("\n".join([digest(), version, *_OPTIONS, *ARCHITECTURES]).encode()).hexdigest()[:16]
    folder = BUILD / "nvcc" / key
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / "nvcc.lock"):
        if not all((folder / f"{each}.txt").exists() for each in ARCHITECTURES):
            shutil.rmtree(folder.parent, ignore_errors=True)  # those of former sources
            folder.mkdir(parents=True)
            _compile(nvcc, folder)
    return folder


def _compile(nvcc: str, folder: Path) -> None:
    file = folder / "edgefer.cu"
    file.write_text(source())
    running = {}
    for name in ARCHITECTURES:
        command = [nvcc, *_OPTIONS, f"-arch={name}", f"-I{INCLUDE}", "-o", str(folder / f"{name}.cubin"), str(file)]
        running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = {name: process.communicate()[0] for name, process in running.items()}
    for name, process in running.items():
        if process.returncode:
            raise CompileError(f"nvcc refuses the kernels for {name}", details=said[name].strip())
    for name, text in said.items():
        (folder / f"{name}.txt").write_text(text)


def parse(report: str) -> dict[str, Use]:
    """What `ptxas -v` says of each entry."""
    found = {}
    for block in re.split(r"(?=ptxas info\s*: Compiling entry function)", report):
        entry, frame, used = _ENTRY.search(block), _FRAME.search(block), _USED.search(block)
        if entry is None:
            continue
        if frame is None or used is None:
            raise CompileError(f"ptxas does not say what {entry[1]} takes", details=block.strip())
        shared = _SHARED.search(block)
        found[entry[1]] = Use(
            registers=int(used[1]),
            shared_bytes=int(shared[1]) if shared else 0,
            local_bytes=int(frame[1]),
            spill_bytes=int(frame[2]) + int(frame[3]),
        )
    return found


def report() -> dict[str, dict[str, Use]]:
    """What each entry takes, by architecture and entry.

    Raises:
        as `compiled` does.
    """
    folder = compiled()
    return {name: parse((folder / f"{name}.txt").read_text()) for name in ARCHITECTURES}


def table(found: dict[str, dict[str, Use]]) -> str:
    """Registers of every entry."""
    names = sorted(found[ARCHITECTURES[0]])
    width = max(map(len, names))
    lines = [f"{'registers':{width}} " + " ".join(f"{each:>6}" for each in ARCHITECTURES)]
    lines += [
        f"{name:{width}} " + " ".join(f"{found[each][name].registers:6}" for each in ARCHITECTURES) for name in names
    ]
    return "\n".join(lines)


def main() -> None:
    found = report()
    print(table(found))
    ceilings = limits.load()
    above = [line for name, uses in found.items() for line in limits.violations(uses, name, ceilings)]
    if above:
        raise SystemExit("\n".join(above))


if __name__ == "__main__":
    main()
