"""The parts in their order, each kept as soon as it is done; what fails in one does not lose the others."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.gpu_check.binaries import binaries_part
from benchmarks.gpu_check.catalogue import OPERATIONS
from benchmarks.gpu_check.correctness import cases_part, graphs_part
from benchmarks.gpu_check.engines import engines_part
from benchmarks.gpu_check.figures import Care
from benchmarks.gpu_check.goals import goals
from benchmarks.gpu_check.gpu import Gpu
from benchmarks.gpu_check.result import GpuCheck, Part
from benchmarks.gpu_check.sanitiser import sanitiser_part
from benchmarks.gpu_check.sessions import runtime_part, session_part, soak_part
from benchmarks.gpu_check.soak import INFERENCES
from benchmarks.gpu_check.timings import baselines_part, timings_part
from edgefer import atomic
from edgefer.benchmark.machine import describe
from edgefer.errors import EdgeferError, UsageError
from edgefer.version import __version__

FOLDER = Path(__file__).parents[1] / "results"
_ROOT = Path(__file__).parents[2]

PartOf = Callable[[], Part]
Tell = Callable[[str], None]


def all_parts(gpu: Gpu, care: Care, inferences: int = INFERENCES) -> dict[str, PartOf]:
    """Every part by name. Correctness comes first, and what another process does last.

    Args:
        inferences: how many the soak part makes of each session.
    """
    return {
        "cases": lambda: cases_part(gpu),
        "binaries": lambda: binaries_part(gpu),
        "graphs": lambda: graphs_part(gpu),
        "baselines": lambda: baselines_part(gpu, care),
        **{f"timings of {operation}": partial(timings_part, gpu, operation, care) for operation in OPERATIONS},
        "runtime": partial(runtime_part, inferences),
        "sanitiser": sanitiser_part,
        "engines": engines_part,
        "session": partial(session_part, inferences),
        "soak": partial(soak_part, inferences),
    }


def chosen(parts: Mapping[str, PartOf], words: str) -> dict[str, PartOf]:
    """Those whose name contains one of the words, which are separated by commas; all for no word.

    Raises:
        UsageError: a word is in no name.
    """
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [word for word in wanted if not any(word in name for name in parts)]
    if unknown:
        raise UsageError(f"there is no part {', '.join(unknown)}", hint=f"there are {', '.join(parts)}")
    return {name: part for name, part in parts.items() if not wanted or any(word in name for word in wanted)}


def run(gpu: Gpu, parts: Mapping[str, PartOf], path: Path, tell: Tell) -> GpuCheck:
    """Runs the parts and writes the file after each."""
    check = GpuCheck(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgefer=__version__,
        commit=_commit(),
        machine=describe(),
        device=gpu.device,
    )
    for name, part in parts.items():
        tell(f"{name} ...")
        done = _done(part)
        tell(f"{name}: {done.state} in {done.seconds:.0f} s{f' ({done.reason})' if done.reason else ''}")
        found = {**check.parts, name: done}
        check = msgspec.structs.replace(check, parts=found, goals=goals(found))
        _write(path, check)
    return check


def path_of(gpu: Gpu, folder: Path = FOLDER) -> Path:
    """results/DEVICE.json: `nvidia-h200.json`."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', gpu.device.name.lower()).strip('-')}.json"


def _done(part: PartOf) -> Part:
    started = time.monotonic()
    try:
        done = part()
    except EdgeferError as error:
        done = Part(state="failed", reason=str(error))
    except Exception as error:  # an error of this check itself; what the other parts find must not go with it
        done = Part(state="failed", reason=f"{type(error).__name__}: {error}")
    return msgspec.structs.replace(done, seconds=time.monotonic() - started)


def _write(path: Path, check: GpuCheck) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(check), indent=2) + b"\n")


def _commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()
