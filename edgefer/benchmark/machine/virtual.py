"""What stands between this process and the machine: a hypervisor, a container, its CPU quota, a battery.

Files: /sys/class/dmi/id and /sys/hypervisor (Documentation/ABI), cgroups (Documentation/admin-guide/cgroup-v2.rst and
cgroup-v1), Documentation/ABI/testing/sysfs-class-power of the kernel.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgefer.benchmark.machine.cpu import under_hypervisor
from edgefer.kernel_files import entries, field, integer, text

_VENDORS = (
    ("qemu", "QEMU/KVM"),
    ("kvm", "KVM"),
    ("vmware", "VMware"),
    ("innotek", "VirtualBox"),
    ("virtualbox", "VirtualBox"),
    ("xen", "Xen"),
    ("virtual machine", "Hyper-V"),
    ("amazon ec2", "Amazon EC2"),
    ("google compute engine", "Google Compute Engine"),
    ("openstack", "OpenStack"),
    ("parallels", "Parallels"),
)
_CONTAINERS = re.compile(r"docker|kubepods|containerd|libpod|lxc|garden|machine\.slice")


def hypervisor(root: Path) -> str | None:
    """The hypervisor's name, "unnamed hypervisor" where only the CPU tells of it, None on bare metal.

    A cloud's bare-metal machine carries the cloud's name without a hypervisor, hence on x86 the CPU decides.
    """
    named = _named(root)
    if field(root / "proc/cpuinfo", "flags") is not None:
        return (named or "unnamed hypervisor") if under_hypervisor(root) else None
    return named


def in_container(root: Path) -> bool:
    """Whether this process is in a container, by the marks that container runtimes leave."""
    if any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv", "run/systemd/container")):
        return True
    return _CONTAINERS.search(text(root / "proc/1/cgroup") or "") is not None


def cpu_quota(root: Path) -> float | None:
    """How many CPUs' time the control group allows (1.5 is 150 ms in each 100 ms); None without a limit."""
    words = (text(root / "sys/fs/cgroup/cpu.max") or "").split()
    if len(words) == 2 and all(word.isdecimal() for word in words):
        return int(words[0]) / int(words[1])
    quota = integer(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = integer(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def power_supply(root: Path) -> str | None:
    """What feeds the machine: "battery" while one is discharged, "mains" where that is plugged in, else None."""
    supplies = entries(root / "sys/class/power_supply", "*")
    kinds = [(text(each / "type"), each) for each in supplies if text(each / "scope") != "Device"]
    if any(kind == "Battery" and text(each / "status") == "Discharging" for kind, each in kinds):
        return "battery"
    if any(kind in ("Mains", "USB") and integer(each / "online") for kind, each in kinds):
        return "mains"
    return None


def _named(root: Path) -> str | None:
    kind = text(root / "sys/hypervisor/type")
    if kind:
        return kind.capitalize()
    stated = " ".join(text(root / "sys/class/dmi/id" / name) or "" for name in ("sys_vendor", "product_name")).lower()
    stated += " " + (text(root / "proc/device-tree/hypervisor/compatible") or "").lower()
    return next((name for mark, name in _VENDORS if mark in stated), None)
