"""Answering over and over takes no more memory: a line through what is resident, after the warm-up, hardly rises.

`make soak` takes minutes; the quick form of it finds a leak of some forty bytes an inference.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgefer import kernel_files
from edgefer.benchmark.growth import Growth, growth

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CHILD = Path(__file__).with_name("soak_child.py")
MIB, RUNS = 1 << 20, 100_000
MOST_PER_RUN = MIB / RUNS
"""Of the long form: a MiB in 100,000 inferences."""
QUICK_PER_RUN = 4 * MIB / RUNS
"""Of the quick one, in which a single step of an allocator weighs ten times as much."""
WAYS = ("infer", "out", "async", "images")
RUNNERS = ("onnxruntime", "openvino")

pytestmark = pytest.mark.skipif(
    not (kernel_files.ROOT / "proc/self/status").exists(), reason="only Linux tells what is resident"
)


@dataclass(frozen=True)
class Soak:
    """How much is asked: inferences, those of them that are warm-up, and how many lie between two samples."""

    count: int
    warm_up: int
    every: int


LONG, QUICK = Soak(200_000, 20_000, 1_000), Soak(20_000, 4_000, 200)


def soaked(bundle: Path, runner: str, way: str, soak: Soak) -> Growth:
    """The growth of a process of its own, and a line about it on standard output."""
    needed = {"openvino": "openvino", "onnxruntime": "onnxruntime"}[runner]
    for package in (needed, *(["cv2"] if way == "images" else [])):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(CHILD), str(bundle), runner, way, str(soak.count), str(soak.every)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["runner"] == runner
    kept = [(runs, size) for runs, size in zip(told["runs"], told["sizes"], strict=True) if runs > soak.warm_up]
    found = growth([runs for runs, _ in kept], [size for _, size in kept])
    print(f"\n{runner}, {way}: {found.text()}, {(time.monotonic() - started):.0f} s, {found.last / MIB:.1f} MiB held")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("runner", RUNNERS)
def test_memory_stays_for_200_000_inferences(tiny_bundle_path: Path, runner: str, way: str) -> None:
    found = soaked(tiny_bundle_path, runner, way, LONG)
    assert found.per_run <= MOST_PER_RUN, found.text()


@pytest.mark.parametrize(("runner", "way"), [*(("onnxruntime", way) for way in WAYS), ("openvino", "infer")])
def test_memory_stays_for_20_000_inferences(tiny_bundle_path: Path, runner: str, way: str) -> None:
    found = soaked(tiny_bundle_path, runner, way, QUICK)
    assert found.per_run <= QUICK_PER_RUN, found.text()


def test_a_leak_is_found(tiny_bundle_path: Path) -> None:
    found = soaked(tiny_bundle_path, "onnxruntime", "kept", Soak(6_000, 2_000, 100))
    assert found.low > 2 * QUICK_PER_RUN, found.text()
