"""What only a Jetson has: the board's name, the power mode (nvpmodel), GPU and memory clocks in devfreq, jetson_clocks.

NVIDIA's Jetson Linux Developer Guide ("Platform Power and Performance"); Documentation/ABI/testing/sysfs-class-devfreq
of the kernel (hertz). Written from these and not yet run on a Jetson.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from edgefer.benchmark.result import Clock
from edgefer.kernel_files import entries, integer, text

_QUERY = re.compile(r"NV Power Mode:\s*(?P<name>\S+)(?:\s+(?P<number>\d+)\b)?")
_STATUS = re.compile(r"pmode:\s*(?P<number>\d+)")
_MODEL = re.compile(r"<\s*POWER_MODEL\s+ID=(?P<number>\d+)\s+NAME=(?P<name>\S+?)\s*>")
_DEFAULT = re.compile(r"<\s*PM_CONFIG\s+DEFAULT=(?P<number>\d+)\s*>")

# The GPU is named by its address and by what it is: 17000000.ga10b, 17000000.gpu, 57000000.gpu, gpu-gpc-0.
_GPU = re.compile(r"gpu|g[amvbp]\d\d\w?$")
_EMC = re.compile(r"emc|actmon")


def board(root: Path) -> str | None:
    """The board's name in the device tree, such as "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"."""
    return text(root / "proc/device-tree/model") or None


def run_command(command: Sequence[str]) -> str | None:
    """What a command prints; None where it is missing, fails or takes longer than 5 seconds."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def power_mode(root: Path, ask: Callable[[Sequence[str]], str | None]) -> str | None:
    """The power mode as "MAXN (0)": from `nvpmodel -q`, else from the file that nvpmodel leaves and its table."""
    match = _QUERY.search(ask(("nvpmodel", "-q")) or "")
    if match is not None:
        return f"{match['name']} ({match['number']})" if match["number"] else match["name"]
    table = text(root / "etc/nvpmodel.conf") or ""
    # The file is written by the first change of mode; until then the table's default holds.
    chosen = _STATUS.search(text(root / "var/lib/nvpmodel/status") or "") or _DEFAULT.search(table)
    if chosen is None:
        return None
    number = int(chosen["number"])
    names = {int(each["number"]): each["name"] for each in _MODEL.finditer(table)}
    return f"{names[number]} ({number})" if number in names else f"mode {number}"


def clocks(root: Path) -> tuple[Clock, ...]:
    """The clocks of GPU ("gpu") and memory ("emc"). The latter is often readable by root alone (debugfs)."""
    found: dict[str, Clock] = {}
    for device in entries(root / "sys/class/devfreq", "*"):
        kind = "emc" if _EMC.search(device.name) else "gpu" if _GPU.search(device.name) else None
        if kind is not None:
            name = kind if kind not in found else f"{kind} {device.name}"
            found[name] = Clock(
                name=name,
                hertz=_hertz(device / "cur_freq"),
                minimum=_hertz(device / "min_freq"),
                maximum=_hertz(device / "max_freq"),
                governor=text(device / "governor"),
            )
    emc = root / "sys/kernel/debug/bpmp/debug/clk/emc"
    rate = _hertz(emc / "rate")
    if "emc" not in found and rate is not None:
        minimum, maximum = _hertz(emc / "min_rate"), _hertz(emc / "max_rate")
        found["emc"] = Clock(name="emc", hertz=rate, minimum=minimum, maximum=maximum)
    return tuple(found.values())


def locked(clocks: Sequence[Clock]) -> bool | None:
    """Whether every clock's lower bound is its upper one, which is what jetson_clocks sets; None where none has bounds.

    The memory clock is left out: jetson_clocks locks it by other means than its bounds.
    """
    bounded = [each for each in clocks if each.minimum is not None and each.maximum and not each.name.startswith("emc")]
    return all(each.minimum == each.maximum for each in bounded) if bounded else None


def _hertz(path: Path) -> float | None:
    value = integer(path)
    return None if value is None else float(value)
