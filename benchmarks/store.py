"""Store the last run's ratios for this machine: `python -m benchmarks.store bench-output/suite.json`.

Storing several runs of the same code makes the stored noise that of runs, not of rounds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.fingerprint import Fingerprint, fingerprint
from benchmarks.rows import read_run
from benchmarks.stored import FOLDER, load, save, with_run
from benchmarks.table import ending


def main(arguments: Sequence[str], *, machine: Fingerprint | None = None, folder: Path = FOLDER) -> int:
    """Store, and say where; 0."""
    here, run = machine or fingerprint(), read_run(Path(arguments[0]))
    stored = with_run(load(here, folder), here, run)
    path = save(stored, folder)
    repeats = sorted(len(row.repeats) for row in stored.rows.values())
    spread = f", with {repeats[0]} to {repeats[-1]} repeats each" if repeats else ""
    print(f"{len(stored.rows)} ratios are stored for {here}{spread}: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(ending(main))
