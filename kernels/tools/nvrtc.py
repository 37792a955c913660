"""NVIDIA's run-time compiler from pinned wheels, through ctypes: source in, cubin or PTX out, on any CPU.

`python -m kernels.tools.nvrtc TARGET SOURCE OUTPUT` compiles one file in a process of its own, so that two versions of
the compiler never meet in one and a crash of one is a failed command.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefer.atomic import write_bytes
from edgefer.errors import CompileError, EdgeferError, EnvironmentMismatch
from kernels.tools.wheels import side_folder

INCLUDE = Path(__file__).parents[1] / "include"

# What is not here is left at its default, and the result depends on nothing else: no line information, so no paths; the
# program's name is a constant; contraction of products and sums into fused multiply-adds stays on (--fmad), because it
# rounds once where two operations round twice, and the tolerances of the cases hold for both.
OPTIONS = (
    "-std=c++17",
    "-default-device",  # what the headers do not mark is for the GPU: there is no host side here
)
PROGRAM = "edgefer.cu"


@dataclass(frozen=True)
class Toolkit:
    """One release of the compiler: the wheels of compiler and headers, and the ABI bytes 7 and 8 of its cubins."""

    version: str
    wheels: tuple[str, ...]
    abi: tuple[int, int]

    def folder(self) -> Path:
        """Where its wheels are; installed there when they are not."""
        return side_folder(f"nvrtc/{self.version}", self.wheels)


CUDA_12_6 = Toolkit(
    "12.6.85",
    ("nvidia-cuda-nvrtc-cu12==12.6.85", "nvidia-cuda-runtime-cu12==12.6.77", "nvidia-cuda-cccl-cu12==12.6.77"),
    (0x33, 7),
)
"""That of JetPack 6.2. A driver of CUDA 12.6 takes nothing that a later major version made."""

CUDA_13_0 = Toolkit(
    "13.0.88",
    ("nvidia-cuda-nvrtc==13.0.88", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cccl==13.0.85"),
    (0x41, 8),
)
"""That of JetPack 7, and the first that knows Thor as sm_110."""


@dataclass(frozen=True)
class Target:
    """One binary: `name` is what the compiler calls its GPU."""

    name: str
    compute_capability: str
    toolkit: Toolkit
    exact: bool = False

    @property
    def kind(self) -> Literal["cubin", "ptx"]:
        """A virtual GPU is compiled to PTX."""
        return "ptx" if self.name.startswith("compute_") else "cubin"


TARGETS: tuple[Target, ...] = (
    Target("sm_87", "8.7", CUDA_12_6, exact=True),
    Target("sm_90", "9.0", CUDA_12_6),
    Target("sm_110", "11.0", CUDA_13_0, exact=True),
    Target("compute_80", "8.0", CUDA_12_6),
)
"""Orin, Hopper, Thor, and PTX for every other GPU from Ampere on. Jetsons take binaries made for exactly them."""


class Nvrtc:
    """The compiler of one toolkit, loaded into this process."""

    def __init__(self, toolkit: Toolkit) -> None:
        """
        Raises:
            EnvironmentMismatch: the wheels cannot be had, or hold another version.
        """
        folder = toolkit.folder()
        found = sorted(folder.glob("nvidia/*/lib/libnvrtc.so.*"))
        if not found:
            raise EnvironmentMismatch(f"there is no libnvrtc in {folder}", hint="delete the folder and try again")
        # cuda_fp16.h asks for nv/target, which lies one folder deeper from CUDA 13 on.
        self.includes = [
            path for name in ("include", "include/cccl") for path in sorted(folder.glob(f"nvidia/*/{name}"))
        ]
        # The compiler looks for this one by its bare name, and takes it where it is loaded already.
        for builtins in folder.glob("nvidia/*/lib/libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins))
        self._library = ctypes.CDLL(str(found[0]))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        if not toolkit.version.startswith(f"{major.value}.{minor.value}."):
            raise EnvironmentMismatch(
                f"{found[0]} is NVRTC {major.value}.{minor.value}, expected {toolkit.version}",
                hint=f"delete {folder} and try again",
            )

    def compile(self, source: str, target: Target) -> bytes:
        """The cubin or the PTX of `source`.

        Raises:
            CompileError: the compiler refused it; `details` has its log.
        """
        options = [*OPTIONS, f"-arch={target.name}", f"-I{INCLUDE}", *(f"-I{path}" for path in self.includes)]
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), PROGRAM.encode(), 0, None, None)
        try:
            arguments = (ctypes.c_char_p * len(options))(*map(str.encode, options))
            if self._library.nvrtcCompileProgram(program, len(options), arguments):
                log = self._text("nvrtcGetProgramLog", "nvrtcGetProgramLogSize", program).decode(errors="replace")
                raise CompileError(
                    f"NVRTC {target.toolkit.version} refuses the kernels for {target.name}", details=log.strip("\0\n")
                )
            if target.kind == "cubin":
                return self._text("nvrtcGetCUBIN", "nvrtcGetCUBINSize", program)
            return self._text("nvrtcGetPTX", "nvrtcGetPTXSize", program).rstrip(b"\0")
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _text(self, get: str, get_size: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(get_size, program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        self._call(get, program, buffer)
        return buffer.raw[: size.value]

    def _call(self, function: str, *arguments: object) -> None:
        code = int(getattr(self._library, function)(*arguments))
        if code:
            said = self._library.nvrtcGetErrorString(code)
            raise CompileError(f"{function} failed: {(said or b'').decode(errors='replace')} ({code})")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kernels.tools.nvrtc", description="Compile one file for one GPU.")
    parser.add_argument("target", choices=[target.name for target in TARGETS])
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parsed = parser.parse_args(arguments)
    target = next(each for each in TARGETS if each.name == parsed.target)
    try:
        write_bytes(parsed.output, Nvrtc(target.toolkit).compile(parsed.source.read_text(), target))
    except EdgeferError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
