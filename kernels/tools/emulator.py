"""Runs launch plans on the host: the same device code that a GPU gets, compiled by g++, each thread a fiber.

It is stricter than a GPU. Memory ends at pages that fault, nothing begins as zero, threads run in orders that let
missing barriers show, and whatever a GPU leaves undefined is an `EmulationFault`. docs/kernels-testing.md says what it
cannot see.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgefer.kernels.plan import HOPPER, Entry, Launch, Plan, fill
from kernels.cases.case import Buffer, Memory
from kernels.tools.faults import KINDS, EmulationFault
from kernels.tools.guarded import Guarded
from kernels.tools.host_build import BUILD, Variant, build_library
from kernels.tools.library import HostBuffer, HostLaunch, HostReport, Kernel, Library
from kernels.tools.sources import by_header
from kernels.tools.toolchain import INCLUDE

Schedule = Literal["forward", "backward", "random"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

# An element that a kernel leaves out must not pass for a right one: what is there before differs between schedules by
# more than the step that INT8 is allowed. Floating outputs are NaN.
_UNWRITTEN_INT8: dict[Schedule, int] = {"forward": 0xFF, "backward": 0x7F, "random": 0x80}
_GRID_LIMITS = (2**31 - 1, 65_535, 65_535)
_THREAD_LIMIT = 1024
_SHARED_LIMIT = HOPPER.shared_bytes  # that of a plan's own GPU is what the plan's tests hold it against

_libraries: dict[Path, Library] = {}
_one_launch = threading.Lock()


class Emulator:
    """A machine for the cases of kernels/cases, made by `build`."""

    mutant: int = 0
    """Which planted defect is on, in code made by kernels/tools/mutants.py."""

    def __init__(self, kernels: Mapping[str, Kernel], threads: Mapping[str, int], limit_s: float) -> None:
        self._kernels = kernels
        self._threads = threads
        self._limit_s = limit_s

    @classmethod
    def build(
        cls,
        entries: Iterable[Entry],
        *,
        sanitise: bool = False,
        coverage: bool = False,
        include: Path | None = None,
        variant: Variant | None = None,
        limit_s: float = 60.0,
    ) -> Emulator:
        """Compile `entries`, or load what was compiled before from the same sources.

        Args:
            entries: may be of several headers; each header's are a library.
            sanitise: check alignment, bounds, integer arithmetic, and every access for races (ten times slower).
            coverage: count lines for gcov, without optimisation.
            include: a folder that is searched for headers before kernels/include.
            variant: takes the place of the three above.
            limit_s: processor time of one launch.

        Raises:
            EnvironmentMismatch: no g++ or no CUDA headers on this machine.
            CompileError: g++ refused the code.
        """
        chosen = variant or Variant(sanitise, coverage, include or INCLUDE, BUILD)
        wanted = tuple(entries)
        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(lambda group: build_library(group, chosen), by_header(wanted).values()))
        kernels: dict[str, Kernel] = {}
        for path in paths:
            if path not in _libraries:
                _libraries[path] = Library(path)
            kernels |= _libraries[path].kernels()
        return cls(kernels, {entry.name: entry.threads for entry in wanted}, limit_s)

    def run(
        self,
        plan: Plan,
        structure: type[ctypes.Structure],
        inputs: Memory,
        outputs: Mapping[str, Buffer],
        *,
        schedule: Schedule = "forward",
        seed: int = 0,
    ) -> dict[str, NDArray[Any]]:
        """Run the plan's launches in order and return the outputs.

        Raises:
            EmulationFault: a kernel did what a GPU does not allow, or a launch is none that a GPU takes.
        """
        read = {name: Guarded(name, array.nbytes) for name, array in inputs.items()}
        written: dict[str, Guarded] = {}
        for name, buffer in outputs.items():
            dtype = np.dtype(buffer.dtype)
            unwritten = _UNWRITTEN_INT8[schedule] if dtype.itemsize == 1 else 0xFF
            written[name] = Guarded(name, int(np.prod(buffer.shape)) * dtype.itemsize, unwritten)
        if plan.workspace_bytes:
            written["workspace"] = Guarded("workspace", plan.workspace_bytes)
        try:
            for name, array in inputs.items():
                read[name].put(array)
            addresses = {name: each.address for name, each in (read | written).items()}
            for index, launch in enumerate(plan.launches):
                # A structure of its own for each launch, as a GPU has it.
                self._launch(launch, fill(structure, plan, addresses), read, written, (schedule, seed + index))
            return {name: written[name].get(buffer.shape, buffer.dtype) for name, buffer in outputs.items()}
        finally:
            for each in (read | written).values():
                each.close()

    def reached(self) -> frozenset[int]:
        """The planted defects that any kernel came by, on or off, since this was asked last."""
        libraries = {kernel.library.path: kernel.library for kernel in self._kernels.values()}
        return frozenset().union(*(library.reached() for library in libraries.values()))

    def _launch(
        self,
        launch: Launch,
        parameters: ctypes.Structure,
        read: Mapping[str, Guarded],
        written: Mapping[str, Guarded],
        order: tuple[Schedule, int],
    ) -> None:
        kernel = self._checked(launch, ctypes.sizeof(parameters))
        watched = (HostBuffer * len(written))(*(HostBuffer(each.address, each.size) for each in written.values()))
        schedule, seed = order
        asked = HostLaunch(
            kernel=kernel.address,
            parameters=ctypes.addressof(parameters),
            buffers=watched,
            shared_bytes=launch.shared_bytes,
            seed=seed,
            limit_s=self._limit_s,
            grid=launch.grid,
            block=launch.block,
            buffer_count=len(written),
            schedule=SCHEDULES.index(schedule),
            mutant=self.mutant,
        )
        with _one_launch:  # signal handlers belong to the whole process
            report = kernel.library.run(asked)
        if report.kind:
            raise _fault(kernel, report, {**read, **written})
        for each in written.values():
            if each.stray():
                raise EmulationFault("out of bounds", launch.entry, f"bytes next to `{each.name}` were written")

    def _checked(self, launch: Launch, parameter_bytes: int) -> Kernel:
        if launch.entry not in self._kernels:
            raise EmulationFault("launch", launch.entry, f"not among the {len(self._kernels)} entries that were built")
        kernel = self._kernels[launch.entry]
        found = ""
        if launch.block != self._threads[launch.entry]:
            found = f"{launch.block} threads, but the entry is made for {self._threads[launch.entry]}"
        elif not 0 < launch.block <= _THREAD_LIMIT:
            found = f"{launch.block} threads, beyond 1..{_THREAD_LIMIT}"
        elif any(not 0 < size <= limit for size, limit in zip(launch.grid, _GRID_LIMITS, strict=True)):
            found = f"grid {launch.grid}, beyond 1..{_GRID_LIMITS}"
        elif not 0 <= launch.shared_bytes <= _SHARED_LIMIT:
            found = f"{launch.shared_bytes} bytes of shared memory, beyond {_SHARED_LIMIT}"
        elif kernel.parameter_bytes != parameter_bytes:
            found = f"parameters of {parameter_bytes} bytes in Python, of {kernel.parameter_bytes} in C++"
        if found:
            raise EmulationFault("launch", launch.entry, found)
        return kernel


def _fault(kernel: Kernel, report: HostReport, buffers: Mapping[str, Guarded]) -> EmulationFault:
    found = [report.message.decode(errors="replace")]
    kind = KINDS[report.kind - 1]
    if report.address or report.pc:
        found += [place for place in (each.place(report.address) for each in buffers.values()) if place][:1]
        if report.address < 4096 and kind == "out of bounds":
            found.append("a null pointer: an input that was left out?")
    if report.access >= 0:
        found.append("a write" if report.access else "a read")
    place = f"{report.file.decode()}:{report.line}" if report.file else kernel.library.line_of(report.pc)
    if place:
        found.append(f"at {place}")
    if report.other_pc:
        found.append(f"the other at {kernel.library.line_of(report.other_pc)}")
    block = (report.block[0], report.block[1], report.block[2])
    return EmulationFault(kind, kernel.name, "; ".join(found), block=block, thread=report.thread)
