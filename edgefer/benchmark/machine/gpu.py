"""The GPU as NVML describes it: clocks, temperature, what holds its clocks down, and how it is set.

Names and units (MHz, mW, degrees Celsius, bit masks) from NVIDIA's NVML reference. Unmeasured: tested on fakes.
"""

from __future__ import annotations

from edgefer.benchmark.nvml import NvmlGpu
from edgefer.benchmark.result import Clock, Temperature

# nvmlClocksEventReasons of nvml.h (before driver 535: nvmlClocksThrottleReasons). That the GPU is idle is left out: it
# is no reason once there is work.
_REASONS = {
    0x002: "GPU: application clocks",
    0x004: "GPU: software power cap",
    0x008: "GPU: hardware slowdown",
    0x010: "GPU: sync boost",
    0x020: "GPU: software thermal slowdown",
    0x040: "GPU: hardware thermal slowdown",
    0x080: "GPU: power brake",
    0x100: "GPU: display clock",
    0x200: "GPU: board limit",
    0x400: "GPU: reliability voltage",
}
# Set on purpose by the owner of the machine, and what one wants for a measurement.
CHOSEN = frozenset({"GPU: application clocks", "GPU: sync boost"})


def clocks(gpu: NvmlGpu) -> tuple[Clock, ...]:
    """The clock of the multiprocessors ("gpu") and of the memory ("gpu-memory")."""
    found = []
    for name, kind in (("gpu", "NVML_CLOCK_SM"), ("gpu-memory", "NVML_CLOCK_MEM")):
        now = gpu.ask("nvmlDeviceGetClockInfo", gpu.constant(kind))
        most = gpu.ask("nvmlDeviceGetMaxClockInfo", gpu.constant(kind))
        if now is not None:
            found.append(Clock(name=name, hertz=now * 1e6, maximum=None if most is None else most * 1e6))
    return tuple(found)


def temperatures(gpu: NvmlGpu) -> tuple[Temperature, ...]:
    """The GPU's die."""
    value = gpu.ask("nvmlDeviceGetTemperature", gpu.constant("NVML_TEMPERATURE_GPU"))
    return () if value is None else (Temperature(name="gpu", celsius=float(value)),)


def throttle(gpu: NvmlGpu) -> tuple[str, ...]:
    """Why the clocks are lower than they could be, at this moment."""
    mask = gpu.ask("nvmlDeviceGetCurrentClocksEventReasons")
    if mask is None:
        mask = gpu.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    return tuple(reason for bit, reason in _REASONS.items() if mask is not None and int(mask) & bit)


def power_limit(gpu: NvmlGpu) -> float | None:
    """The limit in force, in watts."""
    milliwatts = gpu.ask("nvmlDeviceGetEnforcedPowerLimit")
    return None if milliwatts is None else milliwatts / 1e3


def settings(gpu: NvmlGpu) -> dict[str, str]:
    """Persistence mode and MIG, where the GPU has them."""
    found = {}
    persistence = gpu.ask("nvmlDeviceGetPersistenceMode")
    if persistence is not None:
        found["gpu-persistence"] = "on" if persistence else "off"
    mig = gpu.ask("nvmlDeviceGetMigMode")  # now, and after the next reset
    if mig is not None:
        found["gpu-mig"] = "on" if mig[0] else "off"
    return found
