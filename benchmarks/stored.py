"""The ratios stored for a machine, `results/<machine>.json`, which `make bench-check` holds new ones against.

A ratio is stored with up to five repeats of its measurement. Each has its interval, which knows what differs from round
to round; between the repeats lies what differs from run to run (where code and data come to lie in memory, what a
rented machine's neighbours do). The noise of a stored ratio is the range of both.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.fingerprint import Fingerprint
from benchmarks.rows import Measured, Row, Run
from edgefer.atomic import write_bytes
from edgefer.benchmark.compare import BETWEEN_RUNS
from edgefer.benchmark.statistics import SMALLEST
from edgefer.errors import InputError

FOLDER = Path(__file__).with_name("results")
ENOUGH_REPEATS, MOST_REPEATS = 3, 5

State = Literal["ok", "worse", "better", "new", "missing"]


class Repeat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ratio as one run found it, and the median seconds of ours."""

    measured: Measured
    seconds: float
    created: str
    commit: str


class StoredRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benchmark's ratio: what it is against, and its repeats, oldest first, at least one."""

    against: str
    repeats: tuple[Repeat, ...]

    @property
    def ratio(self) -> float:
        """The median of the repeats."""
        return statistics.median(repeat.measured.ratio for repeat in self.repeats)

    @property
    def low(self) -> float:
        return min(repeat.measured.low for repeat in self.repeats)

    @property
    def high(self) -> float:
        return max(repeat.measured.high for repeat in self.repeats)


class Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is stored for a machine: rows by name."""

    schema: Literal[1] = 1
    machine: Fingerprint
    rows: dict[str, StoredRow] = {}


def path_of(machine: Fingerprint, folder: Path = FOLDER) -> Path:
    """Where a machine's ratios are stored."""
    return folder / f"{machine.slug}.json"


def load(machine: Fingerprint, folder: Path = FOLDER) -> Stored | None:
    """What is stored for a machine; None where nothing is.

    Raises:
        InputError: the file is not one of these, or of another machine.
    """
    path = path_of(machine, folder)
    if not path.exists():
        return None
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=Stored)
    except msgspec.DecodeError as error:
        raise InputError(
            f"{path} does not hold stored ratios", details=str(error), hint="restore it, or delete it and store anew"
        ) from error
    if stored.machine != machine:
        raise InputError(f"{path} is of {stored.machine}, and this is {machine}", hint="give it its own name")
    return stored


def state_of(row: Row | None, stored: StoredRow | None) -> State | None:
    """How a row compares with what is stored for it; None where neither has a ratio.

    It is worse where its whole interval lies above the stored noise, better where it lies below, by more than a margin:
    what runs may differ by beyond their intervals as long as that is not measured here, which takes three repeats, and
    then half a per cent. A row that is now measured against something else is new.
    """
    measured = None if row is None else row.measured
    if measured is None or row is None:
        return None if stored is None else "missing"
    if stored is None or stored.against != row.against:
        return "new"
    margin = SMALLEST if len(stored.repeats) >= ENOUGH_REPEATS else BETWEEN_RUNS
    if measured.low > stored.high * (1 + margin):
        return "worse"
    return "better" if measured.high < stored.low * (1 - margin) else "ok"


def with_run(stored: Stored | None, machine: Fingerprint, run: Run) -> Stored:
    """What is to be stored after another run: a repeat more where a ratio is within its noise, a new beginning where it
    is not. What the run did not measure stays."""
    rows = dict(stored.rows) if stored is not None else {}
    for row in run.rows:
        if row.measured is None:
            continue
        before = rows.get(row.name)
        repeat = Repeat(measured=row.measured, seconds=row.seconds, created=run.created, commit=run.commit)
        kept = before.repeats if before is not None and state_of(row, before) == "ok" else ()
        # The same run twice is no repeat.
        kept = tuple(each for each in kept if each.created != run.created)
        rows[row.name] = StoredRow(against=row.against, repeats=(*kept, repeat)[-MOST_REPEATS:])
    return Stored(machine=machine, rows=dict(sorted(rows.items())))


def save(stored: Stored, folder: Path = FOLDER) -> Path:
    """Write what is stored for a machine; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(stored), indent=2)
    return write_bytes(path_of(stored.machine, folder), content + b"\n")
