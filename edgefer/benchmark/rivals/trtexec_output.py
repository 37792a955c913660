"""What trtexec says: how it ran, and how long each inference took.

Its defaults for copies, CUDA graph and waiting changed with TensorRT 11 and so did its flags, but every version prints
what it was set to before it runs, and writes the same times with `--exportTimes` (samples/common/sampleOptions.cpp and
sampleReporting.cpp of NVIDIA's TensorRT repository, releases 10.3 to 11.1). So the settings are those that it printed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from edgefer.benchmark.result import Switch, Wait
from edgefer.errors import EdgeferError

_PRINTED = re.compile(r"^(?:\[[^]]*\] \[[A-Z]\] )?(?P<name>[A-Za-z][A-Za-z -]*): (?P<value>.+?)\s*$")
_MARK = re.compile(r"\[TensorRT v(\d+)\]")
_SWITCHES: dict[str, Switch] = {"Enabled": "on", "Disabled": "off"}
_MOST_LINES = 20


@dataclass(frozen=True)
class Ran:
    """How trtexec ran. `version` is that of TensorRT, empty where it did not say."""

    copies: Switch
    graph: Switch
    wait: Wait
    streams: int
    version: str


def settings_of(printed: str) -> Ran:
    """The settings from what trtexec printed.

    Raises:
        EdgeferError: it did not say how it ran.
    """
    found: dict[str, str] = {}
    for line in printed.splitlines():
        match = _PRINTED.match(line)
        if match:
            found.setdefault(match["name"], match["value"])
    try:
        copies, graph, spin = (_SWITCHES[found[name]] for name in ("Data transfers", "CUDA Graph", "Spin-wait"))
        streams = int(found["Inference Streams"])
    except (KeyError, ValueError) as error:
        raise EdgeferError(
            f"trtexec did not say how it ran: {error} is missing in its output", details=tail(printed)
        ) from error
    return Ran(copies, graph, "spin" if spin == "on" else "block", streams, _version(printed, found))


def times_of(exported: str) -> tuple[float, ...]:
    """Seconds of each inference from the file of `--exportTimes`: copies and compute, without the time to enqueue.

    Raises:
        EdgeferError: the file does not hold them.
    """
    try:
        times = tuple(float(each["latencyMs"]) / 1e3 for each in json.loads(exported))
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeferError(f"trtexec exported no times that can be read: {error}", details=exported[:500]) from error
    if not times:
        raise EdgeferError("trtexec exported no times", hint="it needs a second or more of --duration")
    return times


def tail(printed: str) -> str:
    """The last lines."""
    return "\n".join(printed.strip().splitlines()[-_MOST_LINES:])


def _version(printed: str, found: dict[str, str]) -> str:
    if "TensorRT version" in found:
        return found["TensorRT version"]
    mark = _MARK.search(printed)
    if mark is None:
        return ""
    # 100300 since TensorRT 10, 8601 before.
    number = int(mark[1])
    major, minor = (number // 10000, number // 100 % 100) if number >= 100000 else (number // 1000, number // 100 % 10)
    return f"{major}.{minor}.{number % 100}"
