"""The CPU: its name, the instructions that matter to a network, its clocks and what governs them.

Files: /proc/cpuinfo; Documentation/ABI/testing/sysfs-devices-system-cpu and Documentation/admin-guide/pm/cpufreq.rst of
the kernel. Frequencies there are in kHz.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

from edgefer.benchmark.result import Clock
from edgefer.kernel_files import entries, field, integer, numbers, text

# In the order in which they are shown: x86, then Arm (names as in /proc/cpuinfo).
FEATURES = (
    *("sse4_1", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx_vnni_int8"),
    *(
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "amx_tile",
        "amx_int8",
        "amx_bf16",
    ),
    *("asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme"),
)

# Implementer and part of MIDR_EL1, as in arch/arm64/include/asm/cputype.h; Arm's /proc/cpuinfo has no model name.
_ARM_PARTS = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD83): "Neoverse-V3AE",
    (0x41, 0xD84): "Neoverse-V3",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
}

_CPUS = "sys/devices/system/cpu"


def model(root: Path) -> str:
    """The CPU's name: of x86 as it states it, of Arm from its part number; the architecture where neither is told."""
    cpuinfo = root / "proc/cpuinfo"
    stated = field(cpuinfo, "model name")
    if stated:
        return " ".join(stated.split())
    keys = zip(_all(cpuinfo, "CPU implementer"), _all(cpuinfo, "CPU part"), strict=False)
    parts = sorted({_arm_part(*each) for each in keys})
    return " + ".join(parts) or platform.processor() or platform.machine()


def features(root: Path) -> tuple[str, ...]:
    """Those of `FEATURES` that every CPU has."""
    cpuinfo = root / "proc/cpuinfo"
    lines = [set(line.split()) for name in ("flags", "Features") for line in _all(cpuinfo, name)]
    common = set.intersection(*lines) if lines else set()
    return tuple(name for name in FEATURES if name in common)


def under_hypervisor(root: Path) -> bool:
    """Whether an x86 CPU says that a hypervisor is below it."""
    return "hypervisor" in (field(root / "proc/cpuinfo", "flags") or "").split()


def online(root: Path) -> tuple[int, ...]:
    """The CPUs that the kernel runs; empty where it does not say."""
    return numbers(text(root / _CPUS / "online") or "")


def allowed(root: Path) -> tuple[int, ...]:
    """The CPUs that this process may run on; empty where the kernel does not say."""
    return numbers(field(root / "proc/self/status", "Cpus_allowed_list") or "")


def clocks(root: Path) -> tuple[Clock, ...]:
    """The clocks of the CPUs that this process may run on, one for each frequency domain.

    Without cpufreq (a virtual machine), what /proc/cpuinfo states, which may be a constant.
    """
    found = tuple(_cpufreq(root))
    if found:
        return found
    mine = allowed(root)
    stated = [(cpu, _hertz(value)) for cpu, value in enumerate(_all(root / "proc/cpuinfo", "cpu MHz"))]
    return tuple(Clock(name=f"cpu{cpu}", hertz=hertz) for cpu, hertz in stated if not mine or cpu in mine)


def settings(root: Path) -> dict[str, str]:
    """What is set about the CPUs: governor, driver, turbo, SMT, affinity; only what the kernel tells."""
    cpus = root / _CPUS
    found = {
        "cpu-governor": _distinct(text(each / "scaling_governor") for each in _policies(root)),
        "cpu-driver": _distinct(text(each / "scaling_driver") for each in _policies(root)),
        "energy-preference": _distinct(text(each / "energy_performance_preference") for each in _policies(root)),
        "turbo": _turbo(cpus),
        "smt": text(cpus / "smt/control"),
        "affinity": field(root / "proc/self/status", "Cpus_allowed_list"),
        "isolated": text(cpus / "isolated"),
    }
    return {name: value for name, value in found.items() if value}


def _cpufreq(root: Path) -> Iterator[Clock]:
    mine = set(allowed(root))
    for policy in _policies(root):
        related = (text(policy / "related_cpus") or text(policy / "affected_cpus") or "").replace(" ", ",")
        cpus = numbers(related)
        if mine and cpus and not mine & set(cpus):
            continue
        yield Clock(
            name=_name(policy, cpus),
            hertz=_kilohertz(policy / "scaling_cur_freq"),
            minimum=_kilohertz(policy / "scaling_min_freq"),
            maximum=_kilohertz(policy / "scaling_max_freq"),
            governor=text(policy / "scaling_governor"),
        )


def _policies(root: Path) -> tuple[Path, ...]:
    # Kernels before 4.9 have the folder below each CPU only.
    return entries(root / _CPUS / "cpufreq", "policy*") or entries(root / _CPUS, "cpu[0-9]*/cpufreq")


def _name(policy: Path, cpus: tuple[int, ...]) -> str:
    if cpus:
        return f"cpu{cpus[0]}" if len(cpus) == 1 else f"cpu{cpus[0]}-{cpus[-1]}"
    return policy.parent.name if policy.name == "cpufreq" else policy.name


def _kilohertz(path: Path) -> float | None:
    value = integer(path)
    return None if value is None else value * 1e3


def _hertz(megahertz: str) -> float | None:
    try:
        return float(megahertz) * 1e6
    except ValueError:
        return None


def _turbo(cpus: Path) -> str | None:
    off = integer(cpus / "intel_pstate/no_turbo")
    if off is not None:
        return "off" if off else "on"
    on = integer(cpus / "cpufreq/boost")
    return None if on is None else "on" if on else "off"


def _all(path: Path, name: str) -> list[str]:
    pairs = (line.partition(":") for line in (text(path) or "").splitlines())
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _arm_part(implementer: str, part: str) -> str:
    try:
        key = (int(implementer, 16), int(part, 16))
    except ValueError:
        return f"Arm {implementer}/{part}"
    return _ARM_PARTS.get(key, f"Arm {implementer}/{part}")


def _distinct(values: Iterator[str | None]) -> str:
    return ", ".join(sorted({value for value in values if value}))
