"""The state of the machine at moments along a benchmark."""

from __future__ import annotations

from pathlib import Path

from edgefer.benchmark.machine import cpu, gpu, jetson, thermal
from edgefer.benchmark.machine.load import load_average, share, ticks
from edgefer.benchmark.nvml import NvmlGpu
from edgefer.benchmark.result import Clock, Moment, Temperature
from edgefer.kernel_files import ROOT, memory


class Observer:
    """Looks at the machine again and again; load and throttling are of the time since it last looked, or was made.

    Args:
        root: the folder that stands for "/".
        nvml: the GPU, where NVML is to be asked about it; the caller closes it.
    """

    def __init__(self, root: Path = ROOT, nvml: NvmlGpu | None = None) -> None:
        self._root = root
        self._nvml = nvml
        self._ticks = ticks(root)
        self._events = thermal.event_counters(root)

    def moment(self, at: float) -> Moment:
        """The state now, said to be `at` seconds since the start of the benchmark. Never raises."""
        root = self._root
        now, events = ticks(root), thermal.event_counters(root)
        others = share(self._ticks, now)
        slowed = (*thermal.slowed_now(root), *thermal.slowed_since(self._events, events))
        if others is not None or self._ticks is None:  # after too short a time, go on counting from before
            self._ticks = now
        self._events = events
        return Moment(
            at=at,
            clocks=self._clocks(),
            temperatures=self._temperatures(),
            throttle=(*slowed, *(gpu.throttle(self._nvml) if self._nvml is not None else ())),
            load=others.load if others is not None else None,
            stolen=others.stolen if others is not None else None,
            load_average=load_average(root),
            memory_available=memory("MemAvailable", root),
            swap_used=_swap_used(root),
        )

    def _clocks(self) -> tuple[Clock, ...]:
        found = (*cpu.clocks(self._root), *jetson.clocks(self._root))
        if self._nvml is None:
            return found
        known = {each.name for each in found}  # a Jetson's driver may tell its clocks both ways
        return (*found, *(each for each in gpu.clocks(self._nvml) if each.name not in known))

    def _temperatures(self) -> tuple[Temperature, ...]:
        zones = thermal.temperatures(self._root)
        return zones if self._nvml is None else (*zones, *gpu.temperatures(self._nvml))


def moment(at: float, root: Path = ROOT, *, nvml: NvmlGpu | None = None) -> Moment:
    """The state of the machine at one moment. Load is not known from a single look: for that, keep an `Observer`."""
    return Observer(root, nvml).moment(at)


def _swap_used(root: Path) -> int | None:
    total, free = memory("SwapTotal", root), memory("SwapFree", root)
    return total - free if total is not None and free is not None else None
