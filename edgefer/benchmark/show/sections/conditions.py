"""Where it was measured and in what state the machine was."""

from __future__ import annotations

from collections.abc import Iterable

from edgefer.benchmark.result import Machine, Moment, Result
from edgefer.benchmark.show.quantity import NONE, number, percent, significant
from edgefer.benchmark.show.table import Section, Table, columns

_DETAIL = 200  # lines of the state along the way; a page holds no more


def conditions(result: Result) -> Section:
    """The machine and its state before, at its worst and after."""
    moments = result.conditions.moments
    tables = [Table(columns(("machine", "name"), ("", "text")), tuple(machine_facts(result.conditions.machine)))]
    if moments:
        tables.append(_state(moments))
    if len(moments) > 2:
        tables.append(_along(moments))
    return Section("conditions", "Where it was measured", tables=tuple(tables), warnings=result.conditions.warnings)


def machine_facts(machine: Machine) -> list[tuple[str, str]]:
    """Names and values; what the machine does not have is left out."""
    place = ", ".join(
        each for each in (f"virtual ({machine.virtual})" if machine.virtual else "",
                          "in a container" if machine.container else "") if each
    )  # fmt: skip
    pairs = [
        ("board", machine.board),
        ("processor", f"{machine.cpu}, {machine.cpus} CPUs, {machine.architecture}"),
        ("features", ", ".join(machine.cpu_features)),
        ("memory", _gigabytes(machine.memory)),
        ("runs in", place),
        ("GPU", machine.gpu),
        ("GPU memory", _gigabytes(machine.gpu_memory)),
        ("compute capability", machine.compute_capability),
        ("driver", machine.driver),
        ("CUDA", machine.cuda),
        ("TensorRT", machine.tensorrt),
        ("JetPack", machine.jetpack),
        ("L4T", machine.l4t),
        ("power mode", machine.power_mode),
        ("power limit", None if machine.power_limit is None else f"{significant(machine.power_limit)} W"),
        ("system", f"{machine.system}, Python {machine.python}"),
        *machine.settings.items(),
        ("packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items())),
    ]
    return [(name, value) for name, value in pairs if value]


def _state(moments: tuple[Moment, ...]) -> Table:
    first, last = moments[0], moments[-1]
    rows = []
    for name in dict.fromkeys(clock.name for moment in moments for clock in moment.clocks):
        clocks = [_clock(moment, name) for moment in moments]
        bounds = next((clock for moment in moments for clock in moment.clocks if clock.name == name), None)
        limit = "" if bounds is None or bounds.maximum is None else f", at most {number(bounds.maximum / 1e9, 2)}"
        policy = f", {bounds.governor}" if bounds is not None and bounds.governor else ""
        rows.append((f"{name} (GHz{limit}{policy})", *_four(clocks, clocks[0], clocks[-1], 1e9, 2)))
    for name in dict.fromkeys(each.name for moment in moments for each in moment.temperatures):
        degrees = [_degrees(moment, name) for moment in moments]
        rows.append((f"{name} (°C)", *_four(degrees, degrees[0], degrees[-1], 1, 1)))
    loads = [moment.load for moment in moments]
    rows.append(("used by others (% of all CPUs)", *_four(loads, first.load, last.load, 0.01, 1)))
    stolen = [moment.stolen for moment in moments]
    rows.append(("taken by the hypervisor (% of all CPUs)", *_four(stolen, first.stolen, last.stolen, 0.01, 1)))
    averages = [moment.load_average for moment in moments]
    rows.append(("load average", *_four(averages, first.load_average, last.load_average, 1, 2)))
    free = [None if moment.memory_available is None else float(moment.memory_available) for moment in moments]
    rows.append(("memory available (GB)", *_four(free, free[0], free[-1], 1e9, 2)))
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    reasons = list(dict.fromkeys(reason for moment in moments for reason in moment.throttle))
    if reasons:
        seen = sum(bool(moment.throttle) for moment in moments)
        rows.append((f"throttled: {', '.join(reasons)}", "", "", "", f"{seen} of {len(moments)} looks"))
    return Table(columns(("state of the machine", "name"), "before", "after", "lowest", "highest"), tuple(rows))


def _along(moments: tuple[Moment, ...]) -> Table:
    step = -(-len(moments) // _DETAIL)
    shown = [*moments[::step], *([] if (len(moments) - 1) % step == 0 else [moments[-1]])]
    clocks = list(dict.fromkeys(clock.name for moment in moments for clock in moment.clocks))
    sensors = list(dict.fromkeys(each.name for moment in moments for each in moment.temperatures))
    header = columns(
        "at (s)",
        *(f"{name} (GHz)" for name in clocks),
        *(f"{name} (°C)" for name in sensors),
        "others",
        ("throttled", "text"),
    )
    rows = tuple(
        (
            number(moment.at, 1),
            *(_written(_clock(moment, name), 1e9, 2) for name in clocks),
            *(_written(_degrees(moment, name), 1, 1) for name in sensors),
            percent(moment.load),
            ", ".join(moment.throttle),
        )
        for moment in shown
    )
    every = "" if step == 1 else f", every {step}th"
    return Table(header, rows, title=f"The state along the way{every}", detail=True)


def _clock(moment: Moment, name: str) -> float | None:
    return next((clock.hertz for clock in moment.clocks if clock.name == name), None)


def _degrees(moment: Moment, name: str) -> float | None:
    return next((each.celsius for each in moment.temperatures if each.name == name), None)


def _four(
    values: Iterable[float | None], first: float | None, last: float | None, unit: float, decimals: int
) -> tuple[str, str, str, str]:
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (None, None)
    before, after, least, most = (_written(each, unit, decimals) for each in (first, last, low, high))
    return before, after, least, most


def _written(value: float | None, unit: float, decimals: int) -> str:
    return NONE if value is None else number(value / unit, decimals)


def _gigabytes(size: int | None) -> str:
    return "" if size is None else f"{number(size / 1e9, 1)} GB"
