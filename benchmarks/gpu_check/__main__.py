"""Check edgefer on this machine's GPU: `python -m benchmarks.gpu_check [-o FILE] [--parts cases,graphs]`.

Writes results/DEVICE.json after every part. Exits with 1 where something is wrong, with 3 where there is no GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.gpu_check.figures import Care
from benchmarks.gpu_check.gpu import opened
from benchmarks.gpu_check.report import WIDTH, show
from benchmarks.gpu_check.result import GpuCheck
from benchmarks.gpu_check.run import all_parts, chosen, path_of, run
from benchmarks.gpu_check.soak import INFERENCES, SAMPLES
from edgefer.errors import EdgeferError
from edgefer.kernels.driver import Driver


def main(arguments: Sequence[str], driver: Driver | None = None) -> int:
    """Run the check; `driver` is the machine's where None."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__.split("\n\n")[1])
    parser.add_argument("-o", "--output", type=Path, help="the file to write, otherwise results/DEVICE.json")
    parser.add_argument("--parts", default="", help="only those whose names contain one of these words: cases,graphs")
    parser.add_argument("--rounds", type=int, default=Care.rounds, help="rounds of every timing")
    parser.add_argument("--inferences", type=int, default=INFERENCES, help="how many the soak makes of each session")
    asked = parser.parse_args(arguments)
    if asked.inferences < SAMPLES:
        parser.error(f"argument --inferences: {asked.inferences} inferences; expected {SAMPLES} or more")
    if asked.rounds < 1:
        parser.error(f"argument --rounds: {asked.rounds} rounds; expected 1 or more")
    if asked.output is not None and not asked.output.parent.is_dir():
        parser.error(f"argument -o: there is no folder {asked.output.parent}; make it, or name another")
    console = Console(width=WIDTH, markup=False, highlight=False)
    progress = Console(stderr=True, markup=False, highlight=False)
    check: GpuCheck | None = None
    try:
        with opened(driver) as gpu:
            parts = chosen(all_parts(gpu, Care(rounds=asked.rounds), asked.inferences), asked.parts)
            path = asked.output or path_of(gpu)
            check = run(gpu, parts, path, progress.print)
    except EdgeferError as error:
        print(error, file=sys.stderr)
        if check is None:
            return error.exit_code
        # After a kernel's fault the context cannot even be given back; what was found is shown all the same.
    show(check, console)
    console.print(f"written to {path}")
    return 1 if check.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
