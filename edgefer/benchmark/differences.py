"""What differs between two results besides their figures, and whether that makes the figures incomparable.

Three kinds: "unlike" is a condition that alone can make one faster (another machine, power mode, number of threads);
"worth-knowing" is one that may (a driver, a package, a warning); "purpose" is what people compare for: another
precision of the same network, or another runner.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from edgefer.benchmark.result import Clock, Conditions, Machine, Result, Settings, Subject

Kind = Literal["unlike", "worth-knowing", "purpose"]

CLOCK_SHARE = 0.05
"""By how much clocks may differ: less is the granularity of the steps that they are set in, and their measurement."""

LOAD_SHARE = 0.1
"""By how much the load of other processes may differ, as a share of all CPUs."""

WARMER = 10.0
"""From how many degrees on a temperature is worth knowing."""

_NOT_KNOWN = "not known"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same in both, as text."""

    kind: Kind
    name: str
    base: str
    other: str

    def __str__(self) -> str:
        return f"{self.name}: {self.base} against {self.other}"


def differences(base: Result, other: Result) -> tuple[Difference, ...]:
    """What differs between two results as a whole; how a single figure was measured is in `of_settings`."""
    return (
        *_of_subject(base.subject, other.subject),
        *_of_machine(base.conditions.machine, other.conditions.machine),
        *_of_state(base.conditions, other.conditions),
        *_each("worth-knowing", {"edgefer": base.edgefer}, {"edgefer": other.edgefer}),
    )


def of_settings(base: Settings, other: Settings) -> tuple[Difference, ...]:
    """What differs in how two figures were measured."""
    unlike = ("measured", "threads", "batch", "streams", "copies", "graph", "wait")
    names = {"threads": "threads of one inference", "graph": "CUDA graph", "wait": "wait for the device"}

    def fields(settings: Settings, which: tuple[str, ...]) -> dict[str, str]:
        return {names.get(field, field): _text(getattr(settings, field)) for field in which}

    same_runner = base.runner == other.runner
    return (
        *_each("unlike", fields(base, unlike), fields(other, unlike)),
        *_each("purpose", fields(base, ("precision", "runner")), fields(other, ("precision", "runner"))),
        *(_each("worth-knowing", _named("version of", base.versions), _named("version of", other.versions))
          if same_runner else ()),
    )  # fmt: skip


def _of_subject(base: Subject, other: Subject) -> Iterator[Difference]:
    def unlike(subject: Subject) -> dict[str, str]:
        shapes = {name: " × ".join(map(str, shape)) for name, shape in sorted(subject.inputs.items())}
        return {
            "network": subject.network,
            **_named("option", subject.options),
            "graph of the bundle": subject.graph,
            **_named("shape of", shapes),
        }

    found = list(_each("unlike", unlike(base), unlike(other)))
    yield from found
    yield from _each("purpose", {"precision": base.precision}, {"precision": other.precision})
    if not found and base.precision == other.precision and base.digest != other.digest:
        yield Difference(kind="worth-knowing", name="bundle", base=base.digest[:12], other=other.digest[:12])


def _of_machine(base: Machine, other: Machine) -> Iterator[Difference]:
    unlike = {
        "cpu": "CPU",
        "architecture": "architecture",
        "cpus": "number of CPUs",
        "gpu": "GPU",
        "board": "board",
        "power_mode": "power mode",
        "power_limit": "power limit (W)",
        "virtual": "virtual machine",
    }
    worth = {
        "memory": "memory",
        "gpu_memory": "GPU memory",
        "system": "system",
        "python": "Python",
        "container": "container",
        "driver": "driver",
        "cuda": "CUDA",
        "tensorrt": "TensorRT",
        "l4t": "L4T",
        "jetpack": "JetPack",
    }

    def fields(machine: Machine, names: Mapping[str, str]) -> dict[str, str]:
        return {name: _text(getattr(machine, field)) for field, name in names.items()}

    yield from _each("unlike", fields(base, unlike), fields(other, unlike))
    yield from _each("unlike", base.settings, other.settings)
    yield from _each("worth-knowing", fields(base, worth), fields(other, worth))
    yield from _each("worth-knowing", _named("package", base.packages), _named("package", other.packages))
    if base.cpu_features != other.cpu_features and base.cpu == other.cpu:
        apart = sorted(set(base.cpu_features) ^ set(other.cpu_features))
        mine, theirs = (" ".join(name for name in apart if name in each.cpu_features) for each in (base, other))
        yield Difference(kind="unlike", name="CPU features", base=mine or "none", other=theirs or "none")


def _of_state(base: Conditions, other: Conditions) -> Iterator[Difference]:
    mine, theirs = _clocks(base), _clocks(other)
    for name in sorted(mine.keys() & theirs.keys()):
        if abs(mine[name] - theirs[name]) > CLOCK_SHARE * max(mine[name], theirs[name]):
            hertz = [f"{each[name] / 1e9:.2f} GHz" for each in (mine, theirs)]
            yield Difference(kind="unlike", name=f"clock of {name}", base=hertz[0], other=hertz[1])
    reasons = [sorted({reason for moment in each.moments for reason in moment.throttle}) for each in (base, other)]
    if reasons[0] != reasons[1]:
        texts = [", ".join(each) or "no" for each in reasons]
        yield Difference(kind="unlike", name="throttled", base=texts[0], other=texts[1])
    loads = [_median([moment.load for moment in each.moments]) for each in (base, other)]
    if loads[0] is not None and loads[1] is not None and abs(loads[0] - loads[1]) > LOAD_SHARE:
        yield Difference(kind="unlike", name="load of other processes", base=f"{loads[0]:.0%}", other=f"{loads[1]:.0%}")
    warm, warmer = _warmest(base), _warmest(other)
    for name in sorted(warm.keys() & warmer.keys()):
        if abs(warm[name] - warmer[name]) >= WARMER:
            yield Difference(
                kind="worth-knowing",
                name=f"temperature of {name}",
                base=f"{warm[name]:.0f} °C",
                other=f"{warmer[name]:.0f} °C",
            )
    for warning in dict.fromkeys((*base.warnings, *other.warnings)):
        held = [warning in each.warnings for each in (base, other)]
        if held[0] != held[1]:
            yield Difference(
                kind="worth-knowing",
                name=f"warning '{warning}'",
                base="yes" if held[0] else "no",
                other="yes" if held[1] else "no",
            )


def _clocks(conditions: Conditions) -> dict[str, float]:
    """The median frequency of each kind of clock ("cpu", "gpu") over the time and the clocks of that kind."""
    found: dict[str, list[float]] = {}
    for moment in conditions.moments:
        for clock in moment.clocks:
            if clock.hertz is not None:
                found.setdefault(_kind_of(clock), []).append(clock.hertz)
    return {name: statistics.median(values) for name, values in found.items()}


def _kind_of(clock: Clock) -> str:
    return re.sub(r"[\d-]+$", "", clock.name) or clock.name


def _warmest(conditions: Conditions) -> dict[str, float]:
    found: dict[str, float] = {}
    for moment in conditions.moments:
        for temperature in moment.temperatures:
            found[temperature.name] = max(found.get(temperature.name, -273.15), temperature.celsius)
    return found


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _each(kind: Kind, base: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
    for name in dict.fromkeys((*base, *other)):
        mine, theirs = base.get(name, _NOT_KNOWN), other.get(name, _NOT_KNOWN)
        if mine != theirs:
            yield Difference(kind=kind, name=name, base=mine, other=theirs)


def _named(what: str, values: Mapping[str, str]) -> dict[str, str]:
    return {f"{what} {name}": value for name, value in values.items()}


def _text(value: object) -> str:
    if value is None:
        return _NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
