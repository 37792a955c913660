"""One table of ratios from pytest-benchmark's JSON: `python -m benchmarks.table bench-output/suite.json`.

A ratio is of medians taken in the same run; below 1, edgefer is faster. Ends with 1 when a goal is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fingerprint import fingerprint
from benchmarks.rows import Measured, Row, read_run
from benchmarks.units import duration
from edgefer.errors import EdgeferError

WIDTH = 160
_RIGHT = {"median", "ratio", "now", "stored"}


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 when a goal was missed."""
    rows = read_run(Path(arguments[0])).rows
    # Names have brackets, which would be taken for markup.
    console = Console(width=WIDTH, markup=False, highlight=False)
    console.print(ratios(rows, f"medians on {fingerprint()}"))
    missed = [row.name for row in rows if row.met is False]
    if missed:
        console.print(f"goals missed: {'; '.join(missed)}")
    return 1 if missed else 0


def ratios(rows: Sequence[Row], title: str) -> Table:
    """The rows as a table."""
    table = columns(title, "benchmark", "median", "against", "ratio", "interval", "goal", "met")
    for row in rows:
        measured = row.measured
        table.add_row(
            row.name,
            duration(row.seconds),
            row.against,
            f"{measured.ratio:.2f}" if measured else "",
            interval(measured) if measured else "",
            row.goal,
            {None: "", True: "yes", False: "NO"}[row.met],
        )
    return table


def columns(title: str, *names: str) -> Table:
    """An empty table, numbers to the right."""
    table = Table(title=title)
    for name in names:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=name == "benchmark")
    return table


def interval(measured: Measured) -> str:
    return f"{measured.low:.2f} to {measured.high:.2f}"


def ending(main: Callable[[Sequence[str]], int]) -> int:
    """Run a command on this process's arguments; an error in a line instead of a traceback, and 2."""
    try:
        return main(sys.argv[1:])
    except EdgeferError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(ending(main))
