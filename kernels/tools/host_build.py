"""Building device code for the host: a shared library for the entries of each header, kept by its digest."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from edgefer.kernels.plan import Entry
from kernels.tools.includes import included
from kernels.tools.sources import include_path, translation_unit
from kernels.tools.toolchain import HOST, INCLUDE, ROOT, Toolchain, toolchain

BUILD = ROOT / "build/kernels"

_COMMON = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-g1", f"-I{HOST}"]
# nvcc does not assume that pointers to different types lie apart, and device code relies on that for 16-byte accesses.
_DEVICE = [
    "-DEDGEFER_HOST",
    "-fno-strict-aliasing",
    "-fstack-clash-protection",  # a large frame steps on the page below its stack, not over it
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
]
_UNDEFINED = "alignment,bounds,shift,integer-divide-by-zero,signed-integer-overflow"


@dataclass(frozen=True)
class Variant:
    """How device code is compiled: with sanitisers and race detection, with line counters, or with neither.

    `include` is looked at before kernels/include; `root` is where libraries are kept.
    """

    sanitise: bool = False
    coverage: bool = False
    include: Path = INCLUDE
    root: Path = BUILD
    ucontext: bool = False

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where device code looks for headers."""
        return (self.include, INCLUDE, HOST) if self.include != INCLUDE else (INCLUDE, HOST)

    def flags(self, tools: Toolchain) -> list[str]:
        """Of the compiler, for device code."""
        flags = [*_COMMON, *_DEVICE, "-O0" if self.coverage else "-O1"]
        if int(tools.version.split(".")[0]) >= 12:
            # A local array that is read before it is written has no lucky zeros.
            flags.append("-ftrivial-auto-var-init=pattern")
        if self.sanitise:
            flags += [f"-fsanitize={_UNDEFINED}", "-fno-sanitize-recover=all", "-fsanitize=thread"]
        if self.coverage:
            flags += ["--coverage", "-fprofile-abs-path"]
        return flags


def build_library(entries: Sequence[Entry], variant: Variant) -> Path:
    """The library of `entries`, all of one header.

    Raises:
        EnvironmentMismatch: no compiler or no CUDA headers.
        CompileError: the compiler refused the code.
    """
    tools = toolchain()
    unit = translation_unit(entries, host=True)
    runtime = _runtime(variant, tools)
    flags = variant.flags(tools)
    files: dict[str, Path] = {}
    for header in {entry.header for entry in entries}:
        files |= included(include_path(header), variant.folders)
    files |= included("edgefer_host.hpp", variant.folders)
    files |= included("launch.hpp", variant.folders)
    folder = variant.root / _digest([unit, *flags, str(runtime), str(tools.cuda)], files)
    library = folder / "device.so"
    if library.exists():
        return library
    variant.root.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if library.exists():
            return library
        folder.mkdir(exist_ok=True)
        source = folder / "device.cpp"
        source.write_text(unit)
        includes = [f"-I{each}" for each in variant.folders]
        tools.compile([*flags, *includes, *tools.system_includes, "-c", str(source), "-o", str(folder / "device.o")])
        # Not linked with the sanitisers' libraries: kernels/host has what they would be asked for.
        parts = [str(folder / "device.o"), *sorted(str(each) for each in runtime.glob("*.o"))]
        coverage = ["--coverage"] if variant.coverage else []
        temporary = folder / "linked.so"
        tools.compile(["-shared", *coverage, "-o", str(temporary), *parts, "-lrt", "-ldl"])
        temporary.replace(library)
    return library


def _runtime(variant: Variant, tools: Toolchain) -> Path:
    """The folder of the objects of kernels/host, which know nothing of any kernel."""
    flags = [*_COMMON, "-O2", "-Wall", "-Wextra", *(["-DEDGEFER_UCONTEXT"] if variant.ucontext else [])]
    files = {each.name: each for each in sorted(HOST.glob("*.[ch]pp"))}
    folder = BUILD / f"runtime-{_digest([*flags, tools.version], files)}"
    if folder.exists():
        return folder
    BUILD.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return folder
        with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
            objects = Path(temporary) / "objects"
            objects.mkdir()
            for source in files.values():
                if source.suffix == ".cpp":
                    tools.compile([*flags, "-c", str(source), "-o", str(objects / f"{source.stem}.o")])
            shutil.move(objects, folder)
    return folder


def _digest(texts: Sequence[str], files: dict[str, Path]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode() + b"\0")
    for name in sorted(files):
        whole.update(name.encode() + b"\0" + files[name].read_bytes() + b"\0")
    return whole.hexdigest()[:20]
