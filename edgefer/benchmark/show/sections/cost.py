"""What a bundle costs beside time while it answers: the start, memory and power."""

from __future__ import annotations

from edgefer.benchmark.result import ColdStart, Result
from edgefer.benchmark.show.absent import absent
from edgefer.benchmark.show.quantity import energies, number, percent, sizes, span, times
from edgefer.benchmark.show.table import Section, Table, columns
from edgefer.page.text import count

REST = "unaccounted for"

_NEGLIGIBLE = 0.001  # of the total

_SOURCES = {
    "ina3221": "the board's INA3221 sensors",
    "nvml": "NVML",
    "rapl": "RAPL, the processor's own counters",
}


def cold_start(result: Result) -> Section:
    """From a new process to the first answer, stage by stage."""
    title = "Cold start"
    found = result.cold_start
    if found is None:
        return absent(result, "cold-start", title, ("cold-start",))
    scale = times([found.total])
    scale = scale.finer([stage.seconds for stage in found.stages], digits=2)
    rows = [
        (stage.name, scale(stage.seconds), span(scale, stage.low, stage.high), percent(stage.seconds / found.total))
        for stage in found.stages
    ]
    rest = unaccounted(found)
    if rest:
        rows.append((REST, scale(rest), "", percent(rest / found.total)))
    rows.append(("total, seen from outside", scale(found.total), "", percent(1.0)))
    header = columns(("stage", "name"), (f"median ({scale.unit})", "key"), f"range ({scale.unit})", "share")
    notes = [f"{stage.name}: {stage.note}" for stage in found.stages if stage.note]
    return Section(
        "cold-start",
        title,
        lead=f"From a new process to its first answer, {_times(found.repeats)}.",
        tables=(Table(header, tuple(rows)),),
        notes=tuple(note for note in (found.note, *notes) if note),
    )


def unaccounted(found: ColdStart) -> float:
    """The seconds of the total that are in no stage; 0 where they are negligible."""
    rest = found.total - sum(stage.seconds for stage in found.stages)
    return rest if abs(rest) > _NEGLIGIBLE * found.total else 0.0


def memory(result: Result) -> Section:
    """Resident memory, device memory and files."""
    title = "Memory and size"
    found = result.memory
    if found is None:
        return absent(result, "memory", title, ("memory",))
    write = sizes([])
    taken = None if None in (found.host_open, found.host_before) else (found.host_open or 0) - (found.host_before or 0)
    rows = (
        ("process before the session", write(found.host_before)),
        ("process with the session open", write(found.host_open)),
        ("of that, taken by the session", write(taken)),
        ("process at its peak while running", write(found.host_peak)),
        ("device memory", write(found.device)),
        ("bundle, on disk", write(found.bundle)),
        ("graph, in the bundle", write(found.graph)),
        ("engine, in the cache", write(found.engine)),
    )
    return Section(
        "memory",
        title,
        tables=(Table(columns(("", "name"), "size (MB)"), rows),),
        notes=(found.note,) if found.note else (),
    )


def power(result: Result) -> Section:
    """Watts by rail, and the energy of one run."""
    title = "Power and energy"
    found = result.power
    if found is None:
        return absent(result, "power", title, ("power",))
    rails = Table(
        columns(("rail", "name"), "idle (W)", ("mean (W)", "key"), "peak (W)", ("in the energy", "text")),
        tuple(
            (
                rail.name,
                "–" if rail.idle is None else number(rail.idle, 2),
                number(rail.mean, 2),
                number(rail.peak, 2),
                "yes" if rail.total else "no: part of another",
            )
            for rail in found.rails
        ),
    )
    energy = energies([found.gross, found.per_inference])
    one = Table(
        columns(("energy of one run", "name"), f"({energy.unit})"),
        (("above idle", energy(found.per_inference)), ("with idle included", energy(found.gross))),
    )
    return Section(
        "power",
        title,
        lead=f"From {_SOURCES[found.source]}: {count(len(found.samples))} samples beside {count(found.inferences)} "
        "runs of the closed loop.",
        tables=(rails, one),
        notes=(found.note,) if found.note else (),
    )


def _times(repeats: int) -> str:
    return "once" if repeats == 1 else f"median of {repeats}"
