"""The bounds of this machine, measured: bytes a second from memory, and operations a second of matrix products.

A run cannot be faster than its operations at the measured rate, nor than its traffic at the measured bandwidth (the
roofline of Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009).
Bandwidth is that of copying arrays larger than the last cache, in as many threads as a session uses. A rate is that of
a square product through the library that runs the session, once in floating point and once in eight bits. Of both the
fastest pass counts: a bound is what the machine can do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefer import kernel_files
from edgefer.benchmark.layers.rates import ORDER, Library, Rate, product_of
from edgefer.benchmark.layers.rows import Profile, Row
from edgefer.benchmark.layers.work import INT8
from edgefer.benchmark.result import Roofline

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_LEAST, _MOST = 64 << 20, 512 << 20
"""Bytes of an array to copy: beyond small caches; not so many that a small board runs out of memory."""
_BUDGET = 0.5
"""Seconds for each of the three figures, at most; with what it takes to fill the arrays all is done in under 3 s."""


@dataclass(frozen=True)
class Bounds:
    """What this machine can do with so many threads. `rates` is by precision, "fp32" and "int8"."""

    bandwidth: float
    rates: dict[str, float]
    cache: int | None
    method: str


def measure_bounds(threads: int | None, precisions: Sequence[Rate], library: Library = "onnxruntime") -> Bounds:
    """Measure bandwidth and the rates of these precisions, with `threads` threads (None: one for each CPU).

    Raises:
        EnvironmentMismatch: the package `onnx`, which describes the product, or `library` is not installed.
    """
    count = threads or _cpus()
    cache = last_cache()
    bandwidth, size = copy_bandwidth(count, cache)
    rates: dict[str, float] = {precision: _rate(product_of(library, precision, count)) for precision in precisions}
    method = (
        f"bandwidth of copying {size >> 20} MiB (read and written) and rate of a product of order {ORDER} "
        f"in {library}, {count} threads, fastest pass"
    )
    return Bounds(bandwidth, rates, cache, method)


def copy_bandwidth(threads: int, cache: int | None) -> tuple[float, int]:
    """Bytes a second that a copy reads and writes, and the size of the array in bytes.

    The array is four times the last cache (`cache`, in bytes), within 64 and 512 MiB and an eighth of the free memory.
    """
    size = min(max(4 * (cache or 0), _LEAST), _MOST, max(_LEAST, (kernel_files.memory("MemAvailable") or _MOST) // 8))
    source, target = np.ones(size // 8), np.zeros(size // 8)  # written, so that every page is really there
    pieces = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))

    def copy(piece: tuple[Any, Any]) -> None:
        np.copyto(piece[1], piece[0])  # NumPy lets other threads run meanwhile

    with ThreadPoolExecutor(threads) as pool:
        fastest = _fastest(lambda: list(pool.map(copy, pieces)), _BUDGET)
    return 2 * source.nbytes / fastest, source.nbytes


def roofline(profile: Profile, bounds: Bounds) -> Roofline | None:
    """What the bounds say of a profile; None where operations or parameters are not known.

    The traffic is the least that a run can do with: the parameters, inputs and outputs once, every intermediate tensor
    staying in a cache.
    """
    operations = _by_precision(profile.rows)
    parameters = [row.parameters for row in profile.rows]
    if operations is None or profile.interface is None or None in parameters:
        return None
    slowest = min(bounds.rates.values())
    traffic = profile.interface + sum(filter(None, parameters))
    computing = sum(count / bounds.rates.get(precision, slowest) for precision, count in operations.items())
    moving = traffic / bounds.bandwidth
    method = bounds.method + "; traffic is parameters, inputs and outputs, once each"
    if bounds.cache is not None and traffic <= bounds.cache:
        method += f"; all of it fits the last cache of {bounds.cache >> 20} MiB, which may be faster than memory"
    return Roofline(
        bandwidth=bounds.bandwidth,
        rates=bounds.rates,
        operations=sum(operations.values()),
        traffic=traffic,
        floor=max(computing, moving),
        bound="compute" if computing >= moving else "memory",
        method=method,
    )


def precisions_of(rows: Sequence[Row]) -> tuple[Rate, ...]:
    """The rates that a profile asks for: of "fp32" always, of "int8" where a product runs in it."""
    return ("fp32", "int8") if any(row.product and row.precision in INT8 for row in rows) else ("fp32",)


def last_cache(folder: Path = _CACHES) -> int | None:
    """Bytes of the largest cache that the kernel tells of; None where it tells of none."""
    sizes = (kernel_files.text(index / "size") or "" for index in kernel_files.entries(folder, "index*"))
    return max((int(size[:-1]) << 10 for size in sizes if size[:-1].isdecimal() and size[-1] == "K"), default=None)


def _by_precision(rows: Sequence[Row]) -> Mapping[str, float] | None:
    """Operations by the rate that they run at: "int8" for products in it, "fp32" for everything else."""
    counted: dict[str, float] = {}
    for row in rows:
        if row.operations is None:
            return None
        rate = "int8" if row.product and row.precision in INT8 else "fp32"
        counted[rate] = counted.get(rate, 0.0) + row.operations
    return counted


def _rate(product: Callable[[], object]) -> float:
    return 2.0 * ORDER**3 / _fastest(product, _BUDGET)


def _fastest(step: Callable[[], object], budget: float) -> float:
    """Seconds of the fastest pass: one to warm up, then at least three, until the budget is spent."""
    step()
    fastest, done, started = float("inf"), 0, time.perf_counter()
    while done < 3 or time.perf_counter() - started < budget:
        before = time.perf_counter()
        step()
        fastest = min(fastest, time.perf_counter() - before)
        done += 1
    return fastest


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
