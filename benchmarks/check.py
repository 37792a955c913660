"""The last run's ratios against those stored for this machine: `python -m benchmarks.check bench-output/suite.json`.

Ends with 1 when a ratio has fallen behind the stored one by more than the measured noise. `--is-stored` in place of the
file only says whether there is something to hold against, before minutes of measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fingerprint import Fingerprint, fingerprint
from benchmarks.rows import Run, read_run
from benchmarks.stored import FOLDER, State, Stored, load, path_of, state_of
from benchmarks.table import WIDTH, columns, ending, interval
from edgefer.errors import InputError


def main(arguments: Sequence[str], *, machine: Fingerprint | None = None, folder: Path = FOLDER) -> int:
    """Print how each ratio compares; 1 when one is worse.

    Raises:
        InputError: nothing is stored for this machine.
    """
    here = machine or fingerprint()
    stored = load(here, folder)
    if stored is None:
        raise InputError(
            f"nothing is stored for this machine ({here}): there is no {path_of(here, folder)}",
            hint="measure and store first: make bench, then make bench-store",
        )
    if arguments[0] == "--is-stored":
        return 0
    run = read_run(Path(arguments[0]))
    found = states(run, stored)
    # Names have brackets, which would be taken for markup.
    console = Console(width=WIDTH, markup=False, highlight=False)
    console.print(_table(run, stored, found))
    worse = [name for name, state in found.items() if state == "worse"]
    console.print(
        f"fallen behind by more than the measured noise: {'; '.join(worse)}" if worse else "no ratio has fallen behind"
    )
    return 1 if worse else 0


def states(run: Run, stored: Stored) -> dict[str, State]:
    """The state of every ratio of either, by name."""
    now = {row.name: row for row in run.rows}
    found = {name: state_of(now.get(name), stored.rows.get(name)) for name in sorted(now.keys() | stored.rows.keys())}
    return {name: state for name, state in found.items() if state is not None}


def _table(run: Run, stored: Stored, found: dict[str, State]) -> Table:
    now = {row.name: row.measured for row in run.rows}
    table = columns(
        f"ratios on {stored.machine}", "benchmark", "now", "interval", "stored", "noise", "repeats", "state"
    )
    for name, state in found.items():
        measured, before = now.get(name), stored.rows.get(name)
        table.add_row(
            name,
            f"{measured.ratio:.3f}" if measured else "",
            interval(measured) if measured else "",
            f"{before.ratio:.3f}" if before else "",
            f"{before.low:.2f} to {before.high:.2f}" if before else "",
            str(len(before.repeats)) if before else "",
            state.upper() if state == "worse" else state,
        )
    return table


if __name__ == "__main__":
    raise SystemExit(ending(main))
