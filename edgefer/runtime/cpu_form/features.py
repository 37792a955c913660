"""Whether this CPU has the instructions that make 8-bit products fast, and exact in the kernels of onnxruntime."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

_X86 = ("x86_64", "amd64", "i686", "i386")
_ARM = ("aarch64", "arm64")
_X86_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni"})
_ARM_PRODUCTS = frozenset({"asimddp"})


@dataclass(frozen=True)
class CpuFeatures:
    """The architecture as the system calls it, and the flags of the CPU as the Linux kernel does; empty elsewhere."""

    architecture: str
    flags: frozenset[str]

    @property
    def dot_product(self) -> str | None:
        """The instruction for sums of 8-bit products in 32 bits; None where there is none, or none is known of."""
        wanted = _X86_PRODUCTS if self.is_x86 else _ARM_PRODUCTS if self.architecture in _ARM else frozenset()
        return min(self.flags & wanted, default=None)

    @property
    def is_x86(self) -> bool:
        return self.architecture in _X86

    @property
    def measured(self) -> bool:
        """Whether the integer form was measured on this architecture by those who wrote it."""
        return self.is_x86


def cpu_features(cpuinfo: Path = CPUINFO, architecture: str | None = None) -> CpuFeatures:
    """Those of this machine. `cpuinfo` is read as the Linux kernel writes it; where it is missing, no flag is known."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    flags: set[str] = set()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags.update(value.split())
            break
    return CpuFeatures((architecture or platform.machine()).lower(), frozenset(flags))
