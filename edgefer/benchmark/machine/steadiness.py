"""What about the machine makes its figures move, each as one sentence: what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgefer.benchmark.machine.gpu import CHOSEN
from edgefer.benchmark.result import Clock, Machine, Moment
from edgefer.kernel_files import numbers

CLOCK_CHANGE = 0.05
CLOCK_SPREAD = 0.10
TEMPERATURE_RISE = 10.0
HOT = 85.0
OTHER_LOAD = 0.05
STOLEN = 0.01
SWAP_USED = 64 << 20
LITTLE_MEMORY = 0.05


def warnings(machine: Machine, moments: Sequence[Moment]) -> tuple[str, ...]:
    """All that was not as it should be for a measurement, from the machine and its state along the benchmark.

    `moments` run from before to after; with fewer than two, nothing is said about change.
    """
    return tuple(sentence for check in _CHECKS for sentence in check(machine, moments))


def _governor(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    found = {each.governor for moment in moments for each in _cpu(moment.clocks) if each.governor is not None}
    wrong = sorted(found - {"performance"})
    if wrong:
        how = "sudo jetson_clocks" if machine.l4t else "sudo cpupower frequency-set -g performance"
        yield (
            f"The CPU governor is {' and '.join(wrong)}, so that clocks follow the load; set performance ({how}) and "
            "measure again."
        )


def _changed_clocks(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    series: dict[str, list[float]] = {}
    for each in (clock for moment in moments for clock in moment.clocks):
        if each.hertz:
            series.setdefault(each.name, []).append(each.hertz)
    moved = {name: values for name, values in series.items() if _change(values) > CLOCK_CHANGE}
    cpus, others = [name for name in moved if name.startswith("cpu")], [n for n in moved if not n.startswith("cpu")]
    for names, what in ((cpus, "CPU"), *(([name], name) for name in others)):
        if names:
            worst = max(names, key=lambda name: _change(moved[name]))
            low, high = min(moved[worst]), max(moved[worst])
            yield (
                f"The {what} clock moved between {low / 1e9:.2f} and {high / 1e9:.2f} GHz during the benchmark; "
                f"{_lock(machine, what)} and measure again."
            )


def _spread(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    worst: tuple[float, float] | None = None
    for moment in moments:
        by_maximum: dict[float | None, list[float]] = {}
        for each in _cpu(moment.clocks):
            if each.hertz:
                by_maximum.setdefault(each.maximum, []).append(each.hertz)
        for values in by_maximum.values():
            if _change(values) > CLOCK_SPREAD and (worst is None or _change(values) > _change(worst)):
                worst = (min(values), max(values))
    if worst is not None:
        yield (
            f"CPUs of the same kind ran at {worst[0] / 1e9:.2f} to {worst[1] / 1e9:.2f} GHz at the same moment; "
            f"{_lock(machine, 'CPU')}, or pin the benchmark to some of them with taskset."
        )


def _temperature(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    if not moments:
        return
    first = {each.name: each.celsius for each in moments[0].temperatures}
    last = {each.name: each.celsius for each in moments[-1].temperatures}
    rises = {name: value - first[name] for name, value in last.items() if name in first}
    if rises and max(rises.values()) >= TEMPERATURE_RISE:
        name = max(rises, key=lambda each: rises[each])
        yield (
            f"The sensor {name} rose from {first[name]:.0f} to {last[name]:.0f} °C during the benchmark; warm up for "
            "longer, until the temperature stands still."
        )
    highest = [(each.celsius, each.name) for moment in moments for each in moment.temperatures]
    if highest and max(highest)[0] >= HOT:
        celsius, name = max(highest)
        yield f"The sensor {name} reached {celsius:.0f} °C, near where chips slow themselves down; improve the cooling."


def _throttle(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for moment in moments:
        for reason in {each.rsplit(" at ", 1)[0] for each in moment.throttle} - CHOSEN:
            seen[reason] = seen.get(reason, 0) + 1
    for reason, count in sorted(seen.items()):
        yield (
            f"The hardware was slowed down ({reason}, at {count} of {len(moments)} moments); cool it, raise its power "
            "limit or power mode, or lower its clocks to what it can hold."
        )


def _other_load(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    loads = [moment.load for moment in moments if moment.load is not None]
    if loads and max(loads) > OTHER_LOAD:
        yield (
            f"Other processes used up to {max(loads):.0%} of the CPUs; stop them, or compare only what was measured in "
            "turn in one run (--against)."
        )


def _stolen(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    stolen = [moment.stolen for moment in moments if moment.stolen is not None]
    mean = sum(stolen) / len(stolen) if stolen else 0.0  # a single tick is more than STOLEN of a short time
    if mean > STOLEN:
        yield (
            f"The hypervisor gave {mean:.1%} of this machine's CPU time to other guests; use a machine of "
            "your own, or compare only what was measured in turn in one run (--against)."
        )


def _virtual(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    if machine.virtual is not None:
        yield (
            f"This is a virtual machine ({machine.virtual}): clocks, temperature and neighbours of the host are out of "
            "sight; do not set its times beside those of another machine."
        )


def _container(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    quota = machine.settings.get("cpu-quota")
    if quota is not None:
        yield (
            f"The control group is limited to the time of {quota} CPUs, which stops all threads for parts of each "
            "period; give it whole CPUs instead (docker run --cpuset-cpus)."
        )
    affinity = len(numbers(machine.settings.get("affinity", "")))
    online = machine.settings.get("cpus-online", "")
    if machine.container and online.isdecimal() and affinity >= int(online):
        yield (
            "This is a container whose CPUs are not pinned, so that others may run on the same ones; pin them (docker "
            "run --cpuset-cpus)."
        )


def _battery(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    if machine.settings.get("power-supply") == "battery":
        yield "The machine runs on its battery, which limits clocks and power; plug it in."


def _memory(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    swap = max((moment.swap_used for moment in moments if moment.swap_used is not None), default=0)
    if swap > SWAP_USED:
        yield (
            f"{swap / 2**20:.0f} MiB of swap are in use, and a page that comes back from it costs milliseconds; free "
            "memory and switch swap off (sudo swapoff -a)."
        )
    left = min((moment.memory_available for moment in moments if moment.memory_available is not None), default=None)
    if left is not None and machine.memory and left < LITTLE_MEMORY * machine.memory:
        yield f"Only {left / 2**20:.0f} MiB of memory were left; stop other programs."


def _jetson(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    if machine.settings.get("jetson-clocks") == "off":
        yield "The clocks of this Jetson are not locked; run sudo jetson_clocks and measure again."
    if machine.l4t is not None and machine.power_mode is None:
        yield "The power mode of this Jetson is not readable; run sudo nvpmodel -q and note its answer with the result."


def _nvidia(machine: Machine, moments: Sequence[Moment]) -> Iterator[str]:
    if machine.settings.get("gpu-persistence") == "off":
        yield (
            "Persistence mode of the GPU is off, so that the driver may go to sleep between runs; switch it on (sudo "
            "nvidia-smi -pm 1)."
        )
    if machine.settings.get("gpu-mig") == "on":
        yield "The GPU is divided (MIG): memory bandwidth and power are shared with the other parts; state it."


_CHECKS: tuple[Callable[[Machine, Sequence[Moment]], Iterator[str]], ...] = (
    _jetson,
    _governor,
    _changed_clocks,
    _spread,
    _throttle,
    _temperature,
    _other_load,
    _stolen,
    _virtual,
    _container,
    _battery,
    _memory,
    _nvidia,
)


def _cpu(clocks: Sequence[Clock]) -> Iterator[Clock]:
    return (each for each in clocks if each.name.startswith("cpu"))


def _change(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / max(values)


def _lock(machine: Machine, what: str) -> str:
    if machine.l4t is not None:
        return "lock the clocks (sudo jetson_clocks)"
    if what == "CPU":
        return "lock the clocks (performance governor, turbo off)"
    return "lock the clock (sudo nvidia-smi -lgc)" if what == "gpu" else "lock it (sudo nvidia-smi -lmc)"
