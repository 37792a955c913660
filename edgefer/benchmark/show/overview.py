"""Several results beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgefer.benchmark.result import ClosedLoop, Result
from edgefer.benchmark.show.plots.frontier import Candidate
from edgefer.benchmark.show.quantity import NONE, energies, percent, sizes, times
from edgefer.benchmark.show.settings import apart, described
from edgefer.benchmark.show.table import Section, Table, columns

# Settings without which two latencies are not of the same thing.
_ALIKE = ("measured", "runner", "threads", "batch", "streams", "copies", "graph", "wait", "versions")


def names(results: Sequence[Result]) -> tuple[str, ...]:
    """A name for each: network and precision, and what else is needed to tell it from the others."""
    plain = [f"{result.subject.network} {result.subject.precision.upper()}" for result in results]
    for further in (_runner, _threads, _place, _date):
        counts = Counter(plain)
        if max(counts.values(), default=1) == 1:
            break
        told = [further(result) for result in results]
        plain = [
            f"{name}, {more}" if counts[name] > 1 and len(_others(plain, told, name)) > 1 else name
            for name, more in zip(plain, told, strict=True)
        ]
    counts = Counter(plain)
    return tuple(f"{name} ({index + 1})" if counts[name] > 1 else name for index, name in enumerate(plain))


def beside_each_other(results: Sequence[Result]) -> Section:
    """One line a result: accuracy, latency of its first closed loop, size, energy, and under what settings."""
    labels = names(results)
    firsts = [next(iter(result.closed), None) for result in results]
    time = times([None if loop is None else loop.latency.p50 for loop in firsts])
    energy = energies([None if result.power is None else result.power.per_inference for result in results])
    size = sizes([])
    rows = []
    for name, result, loop in zip(labels, results, firsts, strict=True):
        latency = None if loop is None else loop.latency
        memory = result.memory
        rows.append(
            (
                name,
                percent(result.subject.accuracy, 2),
                percent(result.subject.agreement, 2),
                time(None if latency is None else latency.p50),
                time(None if latency is None else latency.p99),
                size(None if memory is None else memory.bundle),
                size(None if memory is None else memory.host_peak),
                energy(None if result.power is None else result.power.per_inference),
                result.subject.verdict,
            )
        )
    header = columns(
        ("result", "name"),
        "accuracy",
        "agreement",
        (f"p50 ({time.unit})", "key"),
        f"p99 ({time.unit})",
        "bundle (MB)",
        "peak (MB)",
        f"energy ({energy.unit})",
        ("verdict", "text"),
    )
    loops = [loop for loop in firsts if loop is not None]
    told = apart([loop.settings for loop in loops], columns=("precision",), named=())
    own = [", ".join(part for part in parts if part) for parts in zip(told.names, told.details, strict=True)]
    places = [_place(result) for result in results]
    if any(own) or len(loops) < len(results) or len(set(places)) > 1:
        lines = zip(labels, _aligned(firsts, own), places, strict=True)
        notes = [f"{name}: {' · '.join(part for part in parts if part)}" for name, *parts in lines]
    else:
        notes = [f"All were measured on the same kind of machine: {places[0]}."]
    return Section(
        "overview",
        "All results",
        lead=f"Latency is that of each result's first closed loop, all: {told.common}. Peak: of the "
        f"process; energy: of one run above idle; {NONE}: not measured.",
        tables=(Table(header, tuple(rows)),),
        notes=tuple(notes),
    )


def unlike(results: Sequence[Result]) -> tuple[str, ...]:
    """What makes figures of these results differ for other reasons than the networks, in sentences."""
    found = []
    words = [described(result.closed[0].settings) for result in results if result.closed]
    for key in _ALIKE:
        values = list(dict.fromkeys(each.get(key, "not stated") for each in words))
        if len(values) > 1:
            found.append(f"These results differ in more than the network: {'; '.join(values)}.")
    places = list(dict.fromkeys(_place(result) for result in results))
    if len(places) > 1:
        found.append(f"They were measured on different machines: {'; '.join(places)}.")
    return tuple(found)


def carrying(results: Sequence[Result]) -> tuple[str, ...]:
    """The warnings of all results, each once with the results that it is of."""
    carriers: dict[str, list[str]] = {}
    for name, result in zip(names(results), results, strict=True):
        for warning in dict.fromkeys(result.conditions.warnings):
            carriers.setdefault(warning, []).append(name)
    return tuple(
        f"{'All results' if len(those) == len(results) else ', '.join(those)}: {warning}"
        for warning, those in carriers.items()
    )


def candidates(results: Sequence[Result]) -> tuple[Candidate, ...]:
    """Those results of which accuracy, latency and size are known."""
    found = []
    for name, result in zip(names(results), results, strict=True):
        accuracy, loop, memory = result.subject.accuracy, next(iter(result.closed), None), result.memory
        if accuracy is not None and loop is not None and memory is not None:
            size = memory.graph if memory.bundle is None else memory.bundle
            found.append(Candidate(name, result.subject.precision, accuracy, loop.latency.p50, size))
    return tuple(found)


def _aligned(loops: Sequence[ClosedLoop | None], names: Sequence[str]) -> list[str]:
    rest = iter(names)
    return ["no closed loop" if loop is None else next(rest) for loop in loops]


def _others(names: Sequence[str], told: Sequence[str], name: str) -> set[str]:
    return {more for each, more in zip(names, told, strict=True) if each == name}


def _runner(result: Result) -> str:
    return result.closed[0].settings.runner if result.closed else "no closed loop"


def _threads(result: Result) -> str:
    return described(result.closed[0].settings)["threads"] if result.closed else "no closed loop"


def _place(result: Result) -> str:
    machine = result.conditions.machine
    mode = f", {machine.power_mode}" if machine.power_mode else ""
    return f"{machine.board or machine.cpu}{mode}"


def _date(result: Result) -> str:
    return result.created[:16].replace("T", " ")
