"""The machine that a benchmark ran on, as far as it does not change meanwhile."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgefer.benchmark.machine import cpu, gpu, jetson, virtual
from edgefer.benchmark.nvml import NvmlGpu, as_text, open_nvml
from edgefer.benchmark.result import Machine
from edgefer.engine.driver import CudaDriver, cuda_driver
from edgefer.environment import available_cpus, installed_version, look_up
from edgefer.kernel_files import ROOT, memory, text
from edgefer.needs import PACKAGES
from edgefer.tegra import RELEASE_FILE, tegra

# Beside those that edgefer's own verbs need.
_RIVALS = ("openvino", "tensorrt_rtx", "nvidia-ml-py")


def describe(
    root: Path = ROOT,
    *,
    driver: CudaDriver | None = None,
    nvml: NvmlGpu | None = None,
    ask: Callable[[Sequence[str]], str | None] = jetson.run_command,
) -> Machine:
    """Look at the machine below `root`. What is missing or unreadable is None; nothing is raised for it.

    `driver` and `nvml` are asked for when not given; `ask` runs a command (nvpmodel, on a Jetson only) and returns what
    it printed. Nothing heavy is imported: versions come from package metadata.
    """
    driver = cuda_driver() if driver is None else driver
    opened = None if nvml is not None else open_nvml()[0]
    try:
        return _describe(root, driver, nvml if nvml is not None else opened, ask)
    finally:
        if opened is not None:
            opened.close()


def _describe(
    root: Path, driver: CudaDriver, nvml: NvmlGpu | None, ask: Callable[[Sequence[str]], str | None]
) -> Machine:
    first = driver.gpus[0] if driver.gpus else None
    name = nvml.ask("nvmlDeviceGetName") if nvml is not None else None
    release = tegra(root / RELEASE_FILE.relative_to("/"))
    return Machine(
        cpu=cpu.model(root),
        architecture=platform.machine(),
        cpus=len(cpu.allowed(root)) or available_cpus(),
        cpu_features=cpu.features(root),
        memory=memory("MemTotal", root),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        virtual=virtual.hypervisor(root),
        container=virtual.in_container(root),
        gpu=first.name if first is not None else as_text(name) if name is not None else None,
        compute_capability=first.compute_capability if first is not None else None,
        gpu_memory=first.memory_bytes if first is not None else None,
        driver=(nvml.driver() if nvml is not None else None) or text(root / "sys/module/nvidia/version"),
        cuda=driver.version,
        tensorrt=_tensorrt(),
        board=jetson.board(root),
        l4t=release.l4t if release is not None else None,
        jetpack=release.jetpack if release is not None else None,
        power_mode=jetson.power_mode(root, ask) if release is not None else None,
        power_limit=gpu.power_limit(nvml) if nvml is not None else None,
        settings=_settings(root, nvml, release is not None),
        packages=_packages(),
    )


def _settings(root: Path, nvml: NvmlGpu | None, is_jetson: bool) -> dict[str, str]:
    found = cpu.settings(root)
    online = cpu.online(root)
    if online:
        found["cpus-online"] = str(len(online))
    quota = virtual.cpu_quota(root)
    if quota is not None:
        found["cpu-quota"] = f"{quota:g}"
    supply = virtual.power_supply(root)
    if supply is not None:
        found["power-supply"] = supply
    if is_jetson:
        locked = jetson.locked((*cpu.clocks(root), *jetson.clocks(root)))
        if locked is not None:
            found["jetson-clocks"] = "on" if locked else "off"
    if nvml is not None:
        found |= gpu.settings(nvml)
    return found


def _tensorrt() -> str | None:
    # JetPack's package may come without metadata; once imported, the module itself tells.
    loaded = getattr(sys.modules.get("tensorrt"), "__version__", None)
    return str(loaded) if loaded else installed_version(("tensorrt",))


def _packages() -> dict[str, str]:
    versions = {name: look_up(name).version for name in PACKAGES}
    versions |= {name: installed_version((name,)) for name in _RIVALS}
    return {name: version for name, version in versions.items() if version is not None}
