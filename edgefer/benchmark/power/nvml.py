"""Power of an NVIDIA GPU with its memory, from NVML.

NVIDIA's NVML reference: nvmlDeviceGetTotalEnergyConsumption counts millijoules since the driver was loaded (Volta and
later); nvmlDeviceGetPowerUsage is in milliwatts and, on Ampere (but GA100) and later, a mean over one second. The
counter is preferred: a mean over a second smears a run's edges. Tested on fakes; unmeasured on hardware.
"""

from __future__ import annotations

from edgefer.benchmark.nvml import NvmlGpu
from edgefer.benchmark.power.source import SourceName, SourceRail

_ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
_POWER = "nvmlDeviceGetPowerUsage"


class NvmlPower:
    """The whole GPU board as one rail. `find` makes one; `close` releases NVML.

    Raises, from `read`: what the binding raises, when a GPU that has answered no longer does.
    """

    name: SourceName = "nvml"

    def __init__(self, gpu: NvmlGpu, *, cumulative: bool) -> None:
        self._gpu = gpu
        self.rails: tuple[SourceRail, ...] = (SourceRail("gpu", True),)
        self.cumulative = cumulative
        self.note = "Energy of the GPU board (NVML's counter); the host is not in it."
        if not cumulative:
            self.note = "Power of the GPU board as NVML states it, often a mean over one second; the host is not in it."

    @classmethod
    def find(cls, gpu: NvmlGpu) -> NvmlPower | None:
        """The energy counter of `gpu`, else its power; None where it tells neither (a part of a divided GPU)."""
        if gpu.ask(_ENERGY) is not None:
            return cls(gpu, cumulative=True)
        return cls(gpu, cumulative=False) if gpu.ask(_POWER) is not None else None

    def read(self) -> tuple[float | None, ...]:
        """Joules since the driver was loaded, or watts."""
        return (self._gpu.demand(_ENERGY if self.cumulative else _POWER) / 1e3,)

    def close(self) -> None:
        """Release NVML."""
        self._gpu.close()
