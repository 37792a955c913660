"""Quantising to INT8 beside NVIDIA's Model Optimizer: `make bench-modelopt`.

The peer lives in an environment of its own, because it needs other versions of onnx and onnxruntime. Whole child
processes are timed in turn, each from the same simplified graph and the same 64 images to an ONNX file with Q/DQ, by
the same method; the answers of the two files are then compared image by image in one onnxruntime, evaluated literally.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).resolve().parents[1]
if str(_ROOT) not in sys.path:
    # Run by its path, a script finds its own folder and not the one above.
    sys.path.insert(0, str(_ROOT))

from benchmarks.peer_networks import Prepared, full_width, trained  # noqa: E402
from edgefer import atomic  # noqa: E402
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner  # noqa: E402
from edgefer_export.intervals import Discordance, paired_difference  # noqa: E402

NETWORKS = ("cbam-early-fusion", "viri-fusion")
FORMS = ("full", "trained")
GOALS = {"max": 3.0, "entropy": 1.3}
RESULTS = _ROOT / "benchmarks" / "results" / "modelopt.json"
POLL = 0.02
"""Seconds between two looks at a child's memory."""


@dataclass(frozen=True)
class Run:
    """One child process: wall-clock seconds and peak resident bytes."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Row:
    """One network by one method. `lost` and `gained` are images that the peer has right and ours has not, and the
    other way round; `low` and `high` bound what ours loses, as a share, at 95 % (Tango 1998)."""

    network: str
    method: str
    ours_seconds: tuple[float, ...]
    peer_seconds: tuple[float, ...]
    speedup: float
    ours_peak: int
    peer_peak: int
    images: int
    right: str
    ours_right: int
    peer_right: int
    lost: int
    gained: int
    low: float
    high: float
    goal: float | None

    @property
    def met(self) -> bool:
        """As fast as asked for, and not worse beyond the interval."""
        return (self.goal is None or self.speedup >= self.goal) and self.low <= 0


def main(argv: list[str] | None = None) -> int:
    """Measure, write the results and print the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the Python that has nvidia-modelopt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=300, help="test images at full width; four times as many reduced")
    parser.add_argument("--minutes", type=float, default=2.0, help="training of each reduced network")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS, help="the others keep their figures")
    parser.add_argument("--work", type=Path, default=_ROOT / "build" / "modelopt")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    arguments.work.mkdir(parents=True, exist_ok=True)
    version = subprocess.check_output(
        [arguments.peer, "-c", "import importlib.metadata as m; print(m.version('nvidia-modelopt'))"], text=True
    ).strip()
    kept = _kept(arguments.results, version)
    for name, form in itertools.product(arguments.networks, arguments.forms):
        if form == "full":
            prepared = full_width(name, arguments.work, arguments.images)
        else:
            prepared = trained(name, arguments.work, 4 * arguments.images, arguments.minutes)
        for method, goal in GOALS.items():
            full = form == "full"
            row = _row(prepared, method, arguments.peer, arguments.rounds if full else 1, goal if full else None)
            kept[row.network, row.method] = row
            _store(arguments.results, version, list(kept.values()))
    rows = list(kept.values())
    print(markdown(rows, version))
    return 0 if all(row.met for row in rows) else 1


def _kept(results: Path, version: str) -> dict[tuple[str, str], Row]:
    """The rows of an earlier run with the same release of the peer; none where there was no such run."""
    if not results.is_file():
        return {}
    found = json.loads(results.read_text())
    if found["modelopt"] != version:
        return {}
    rows = [Row(**{key: value for key, value in row.items() if key != "met"}) for row in found["rows"]]
    return {(row.network, row.method): row for row in rows}


def _store(results: Path, version: str, rows: list[Row]) -> None:
    found = {
        "modelopt": version,
        "processor": platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "rows": [{**asdict(row), "met": row.met} for row in rows],
    }
    atomic.write_text(results, json.dumps(found, indent=1) + "\n")


def _row(prepared: Prepared, method: str, peer: str, rounds: int, goal: float | None) -> Row:
    folder = prepared.portable.parent
    ours, theirs = folder / f"{prepared.name}-{method}-ours.onnx", folder / f"{prepared.name}-{method}-peer.onnx"
    script = str(Path(__file__).with_name("peer_ours.py"))
    our_command = [sys.executable, script, str(prepared.portable), str(prepared.calibration), method, str(ours)]
    peer_command = [peer, "-m", "modelopt.onnx.quantization", f"--onnx_path={prepared.inlined}"]
    peer_command += ["--quantize_mode=int8", f"--calibration_method={method}", "--high_precision_dtype=fp32"]
    peer_command += [f"--calibration_data_path={prepared.calibration}", f"--output_path={theirs}", "--log_level=ERROR"]
    runs: dict[str, list[Run]] = {"ours": [], "peer": []}
    for index in range(rounds):
        turn = (("ours", our_command), ("peer", peer_command))
        for who, command in turn if index % 2 == 0 else turn[::-1]:
            runs[who].append(_child(command))
            print(f"{prepared.name} {method} {who}: {runs[who][-1].seconds:.1f} s", file=sys.stderr)
    our_right, their_right = (_answers(path, prepared.images) == prepared.right for path in (ours, theirs))
    lost, gained = int((their_right & ~our_right).sum()), int((our_right & ~their_right).sum())
    interval = paired_difference(Discordance(lost, gained, len(our_right)))
    seconds = {who: tuple(run.seconds for run in each) for who, each in runs.items()}
    return Row(
        network=prepared.name,
        method=method,
        ours_seconds=seconds["ours"],
        peer_seconds=seconds["peer"],
        speedup=statistics.median(seconds["peer"]) / statistics.median(seconds["ours"]),
        ours_peak=max(run.peak for run in runs["ours"]),
        peer_peak=max(run.peak for run in runs["peer"]),
        images=len(our_right),
        right="as FP32 answers" if prepared.name.endswith("full") else "as labelled",
        ours_right=int(our_right.sum()),
        peer_right=int(their_right.sum()),
        lost=lost,
        gained=gained,
        low=interval.low,
        high=interval.high,
        goal=goal,
    )


def _child(command: list[str]) -> Run:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        peak = 0
        while True:
            # The accounting of a child that has ended begins with the memory of this process, from which it was forked.
            peak = max(peak, _highest(process.pid))
            try:
                process.wait(POLL)
            except subprocess.TimeoutExpired:
                continue
            break
        seconds = time.perf_counter() - started
        log.seek(0)
        if process.returncode:
            tail = log.read().decode(errors="replace")[-3000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    return Run(seconds, peak)


def _highest(process: int) -> int:
    """The highest resident memory of a process so far, in bytes; 0 where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) * 1024 if found else 0


def _answers(graph: Path, images: dict[str, np.ndarray]) -> np.ndarray:
    runner = OnnxRuntimeRunner(graph.read_bytes(), threads=os.cpu_count(), optimise=False)
    count = len(next(iter(images.values())))
    logits = [
        next(iter(runner.run({name: values[index : index + 1] for name, values in images.items()}).values()))
        for index in range(count)
    ]
    return np.concatenate(logits).argmax(1)


def markdown(rows: list[Row], version: str) -> str:
    """The results as a table for a page."""
    lines = [
        f"nvidia-modelopt {version}; medians of whole processes in turn.",
        "",
        "| network | method | ours s | peer s | times faster | goal | peak MiB, ours / peer | right, ours / peer | "
        "ours loses, points | met |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        ours, peer = statistics.median(row.ours_seconds), statistics.median(row.peer_seconds)
        goal = "" if row.goal is None else f"{row.goal:g}"
        lines.append(
            f"| {row.network} | {row.method} | {ours:.1f} | {peer:.1f} | {row.speedup:.1f} | {goal} | "
            f"{row.ours_peak >> 20} / {row.peer_peak >> 20} | {row.ours_right} / {row.peer_right} of {row.images} "
            f"{row.right} | {100 * (row.lost - row.gained) / row.images:+.2f} "
            f"[{100 * row.low:+.2f}, {100 * row.high:+.2f}] | {'yes' if row.met else 'no'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
