"""Which of a machine's power sources to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgefer.benchmark.nvml import NvmlGpu, open_nvml
from edgefer.benchmark.power.ina3221 import Ina3221
from edgefer.benchmark.power.nvml import NvmlPower
from edgefer.benchmark.power.rapl import Rapl
from edgefer.benchmark.power.source import PowerSource
from edgefer.kernel_files import ROOT


def find_source(
    root: Path = ROOT, *, gpu: bool = True, nvml: Callable[[], tuple[NvmlGpu | None, str]] = open_nvml
) -> tuple[PowerSource | None, str]:
    """A Jetson's rails, else the GPU's (where the work is done on one, `gpu`), else the CPU's; or None and why.

    The caller closes what it gets. On a machine with a GPU, a run on the CPU is measured by the CPU's counters, since
    the GPU's would show idleness.
    """
    jetson = Ina3221.find(root)
    if jetson is not None:
        return jetson, ""
    reasons = ["no INA3221 monitor (a Jetson has them)"]
    if gpu:
        device, reason = nvml()
        source = NvmlPower.find(device) if device is not None else None
        if source is not None:
            return source, ""
        if device is not None:
            device.close()
            reason = "the GPU tells NVML neither its power nor its energy"
        reasons.append(reason)
    rapl, reason = Rapl.find(root)
    if rapl is not None:
        return rapl, ""
    return None, "power cannot be read: " + "; ".join([*reasons, reason])
