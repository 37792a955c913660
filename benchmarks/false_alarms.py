"""How often the comparison errs: 100 comparisons of a session with itself, and 100 with 5 % of delay added to one side.

    python -m benchmarks.false_alarms results.json [--comparisons 100] [--rounds 400] [--threads 1] [--seconds 80]

The delay is a busy wait inside the measured call, of 5 % of the median. Results are written after every comparison, and
a file that is there is gone on with, so that a long run can be done in pieces of `--seconds`. Exits with 1 when it is
complete and has more than 2 false alarms or fewer than 95 delays found in 100, with 2 while comparisons are missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.two_towers import SIZE, small
from edgefer import atomic
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.result import Ratio
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.runtime.session import Session

CONFIDENCE = 0.99
DELAY = 0.05
MOST_FALSE, LEAST_FOUND = 0.02, 0.95


class Findings(msgspec.Struct):
    """The comparisons so far, and how they were made."""

    rounds: int
    threads: int
    confidence: float
    delay: float
    medians: list[float] = []
    same: list[Ratio] = []
    delayed: list[Ratio] = []

    @property
    def false_alarms(self) -> int:
        return sum(ratio.verdict != "within-noise" for ratio in self.same)

    @property
    def found(self) -> int:
        return sum(ratio.verdict == "slower" for ratio in self.delayed)


def busy(action: Callable[[], object], seconds: float) -> Callable[[], None]:
    """The action, and then a wait that keeps the processor."""

    def run() -> None:
        action()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    return run


def compare_once(action: Callable[[], object], findings: Findings) -> None:
    """One comparison of the action with itself and one with the delayed action."""
    effort = Effort(findings.rounds, 0, most_seconds=600)
    patience = Patience(runs=20, seconds=0, most_runs=20)
    same = interleaved({"ours": busy(action, 0.0), "theirs": busy(action, 0.0)}, effort=effort, patience=patience)
    median = float(np.median(same.durations["theirs"]))
    findings.medians.append(median)
    findings.same.append(same.ratio("ours", "theirs", confidence=CONFIDENCE))
    delayed = interleaved(
        {"ours": busy(action, DELAY * median), "theirs": busy(action, 0.0)}, effort=effort, patience=patience
    )
    findings.delayed.append(delayed.ratio("ours", "theirs", confidence=CONFIDENCE))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--comparisons", type=int, default=100, help="how many of each kind")
    parser.add_argument("--rounds", type=int, default=400, help="runs of each side in one comparison")
    parser.add_argument("--threads", type=int, default=1, help="threads of the session")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long, to be gone on with")
    arguments = parser.parse_args()
    findings = Findings(arguments.rounds, arguments.threads, CONFIDENCE, DELAY)
    if arguments.results.exists():
        earlier = msgspec.json.decode(arguments.results.read_bytes(), type=Findings)
        if (earlier.rounds, earlier.threads) != (findings.rounds, findings.threads):
            parser.error(f"{arguments.results} has {earlier.rounds} rounds and {earlier.threads} threads; remove it")
        findings = earlier
    session = Session(small(), threads=arguments.threads)
    generator = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        role: generator.random((1, 3, SIZE, SIZE), np.float32) for role in ("visible", "infrared")
    }
    until = time.monotonic() + arguments.seconds
    while len(findings.same) < arguments.comparisons and time.monotonic() < until:
        compare_once(lambda: session.infer(**tensors), findings)
        atomic.write_bytes(arguments.results, msgspec.json.encode(findings))
    return report(findings, arguments.comparisons)


def report(findings: Findings, wanted: int) -> int:
    """Print the counts; the exit code."""
    done = len(findings.same)
    widths = [100 * (ratio.interval.high - ratio.interval.low) / 2 for ratio in (*findings.same, *findings.delayed)]
    print(
        f"with itself: {findings.false_alarms} false alarms in {done}; 5 % slower: found {findings.found} of {done}; "
        f"{100 * CONFIDENCE:.0f} % intervals of ±{np.median(widths):.2f} % (median), ±{max(widths):.2f} % (widest); "
        f"{findings.rounds} rounds of {1e3 * np.median(findings.medians):.2f} ms, {findings.threads} threads"
    )
    if done < wanted:
        return 2
    return int(findings.false_alarms > MOST_FALSE * done or findings.found < LEAST_FOUND * done)


if __name__ == "__main__":
    raise SystemExit(main())
