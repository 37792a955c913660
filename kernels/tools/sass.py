"""Reads the machine code of the shipped cubins: that global memory is accessed 16 bytes at a time and local memory not
at all.

`python -m kernels.tools.sass` disassembles every cubin of edgefer/cubins and ends with 1 where an entry does not do
what kernels/limits.toml says. The disassembler is a wheel of the package index.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from edgefer.errors import CompileError
from edgefer.kernels import cubins
from kernels.tools import limits
from kernels.tools.limits import Limits
from kernels.tools.wheels import side_folder

WHEEL = "nvidia-cuda-nvdisasm==13.2.78"

_SECTION = re.compile(r"^\s*\.section\s+\.text\.(\w+)", re.MULTILINE)
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9_.]*)")
_WIDE_LOAD = re.compile(r"(LDG|LDGSTS)\..*128")
_WIDE_STORE = re.compile(r"STG\..*128")
_LOCAL = re.compile(r"(LDL|STL)\b")


def disassemble(cubin: bytes) -> dict[str, Counter[str]]:
    """How often each instruction with its modifiers (LDG.E.128) occurs in each entry.

    Raises:
        EnvironmentMismatch: the disassembler cannot be had.
        CompileError: it refuses the file.
    """
    folder = side_folder("nvdisasm", (WHEEL,))
    (tool,) = folder.glob("nvidia/*/bin/nvdisasm")
    tool.chmod(0o755)  # a wheel installed to a folder of one's own loses it
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        done = subprocess.run([str(tool), "-c", file.name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError("nvdisasm refuses a cubin", details=done.stderr.strip())
    return parse(done.stdout)


def parse(listing: str) -> dict[str, Counter[str]]:
    """The instructions of nvdisasm's listing, by entry."""
    parts = _SECTION.split(listing)
    return {name: Counter(_INSTRUCTION.findall(code)) for name, code in zip(parts[1::2], parts[2::2], strict=True)}


def violations(found: Mapping[str, Counter[str]], ceilings: Limits) -> list[str]:
    """What entries do that they must not, or do not that they must."""
    lines = []
    for entry, instructions in sorted(found.items()):
        local = sorted(each for each in instructions if _LOCAL.match(each))
        if local:
            lines.append(f"{entry}: uses local memory ({', '.join(local)})")
        if _listed(entry, ceilings.wide.loads) and not any(map(_WIDE_LOAD.match, instructions)):
            lines.append(f"{entry}: loads nothing 16 bytes at a time")
        if _listed(entry, ceilings.wide.stores) and not any(map(_WIDE_STORE.match, instructions)):
            lines.append(f"{entry}: stores nothing 16 bytes at a time")
    return lines


def _listed(entry: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(entry, pattern) for pattern in patterns)


def main() -> None:
    ceilings = limits.load()
    bad = []
    for binary in cubins.index().binaries:
        if binary.kind == "cubin":
            found = disassemble(cubins.read(binary))
            bad += [f"{binary.file}: {line}" for line in violations(found, ceilings)]
            print(f"{binary.file}: {len(found)} entries, {sum(map(Counter.total, found.values()))} instructions")
    if bad:
        raise SystemExit("\n".join(bad))


if __name__ == "__main__":
    main()
