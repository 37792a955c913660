"""The main job at full width: `edgefer build-engine viri-fusion` at 224, 64 calibration and 200 evaluation pairs, INT8.

Whole child processes, against the same work written by hand with the libraries (`bare_build.py`), in turn in one run.
Goals: at most 60 s and 2 GiB on two cores, whatever the calibration method.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.interleaved import in_turn
from benchmarks.note import note

torch = pytest.importorskip("torch")

DATA = ["--calibration", "synthetic:64:101", "--evaluation", "synthetic:200:102"]
ROUNDS = 2
GOAL_SECONDS, GOAL_BYTES = 60.0, 2 << 30


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-width checkpoint. Untrained: the time of a build does not depend on the values of the weights."""
    from edgefer_export.checkpoint import metadata_of, save_checkpoint
    from edgefer_export.networks import registry

    torch.manual_seed(0)
    network = registry.create("viri-fusion")
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "full.pt", network.module, metadata_of(network))


@pytest.mark.parametrize("method", ["max", "entropy", "percentile"])
def test_int8(benchmark: Any, weights: Path, tmp_path: Path, method: str) -> None:
    bare: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []

    def build() -> None:
        command = ["-m", "edgefer", "build-engine", "viri-fusion", "--weights", str(weights), *DATA, "--method", method]
        command += ["--flavour", "auto", "--allow-over-budget", "--cache", str(tmp_path / f"cache{len(ours)}")]
        ours.append(_child([*command, "-o", str(tmp_path / "full.edgefer"), "--json"]))

    def by_hand() -> None:
        script = Path(__file__).with_name("bare_build.py")
        bare.append(_child([str(script), "--weights", str(weights), *DATA, "--method", method]))

    # A minute each: the other methods, whose goal is absolute, go without the work by hand.
    if method == "max":
        pair = in_turn(benchmark, build, by_hand, ROUNDS)
    else:
        benchmark.pedantic(build, rounds=1, iterations=1)
    seconds, peak = statistics.median(run["wall"] for run in ours), max(run["peak"] for run in ours)
    goal = f"at most {GOAL_SECONDS:.0f} s and {GOAL_BYTES >> 30} GiB"
    met = seconds <= GOAL_SECONDS and peak <= GOAL_BYTES
    details = {"peak_mib": peak / 2**20, "steps": _rounded(ours[-1])}
    if method == "max":
        details |= {"peak_mib_by_hand": max(run["peak"] for run in bare) / 2**20, "steps_by_hand": _rounded(bare[-1])}
        note(benchmark, pair, "the same steps by hand", goal=goal, met=met, **details)
    else:
        benchmark.extra_info.update(seconds=seconds, goal=goal, met=met, **details)
    print(f"\n{method}: {seconds:.1f} s, {peak / 2**20:.0f} MiB; {details}")


def _rounded(run: dict[str, Any]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in run["answer"]["seconds"].items()}


def _child(arguments: list[str]) -> dict[str, Any]:
    """Run one child; its answer, wall-clock seconds, and the peak resident bytes of the largest process under it."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=err, env=environment)
        # wait4 accounts for this child and its own children; the accounting of all children never goes down again.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        # An untrained network cannot pass the gate: 4 is the exit code that says so, and everything was done by then.
        assert process.returncode in (0, 4), err.read().decode(errors="replace")[-2000:]
        answer = json.loads(out.read().decode().strip().splitlines()[-1])
    return {"wall": wall, "peak": usage.ru_maxrss * 1024, "answer": answer}
