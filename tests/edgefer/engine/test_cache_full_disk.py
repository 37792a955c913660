"""A disk that is full for real: the kernel lets no file of a process grow beyond a limit, whichever file it is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stand_in_engine import stand_in_engine

from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import ENTRY, GRAPH, PLAN, REPORT
from edgefer.engine.cache_key import cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver
from edgefer.engine.timing_file import TimingKey, packed
from edgefer.engine.timing_store import TimingStore

NO_GPU = CudaDriver(version=None)
KEY = cache_key(b"graph", CompileRequest("tensorrt"), "10.3.0", NO_GPU)
TIMING = TimingKey.of(KEY)
OLD, NEW = 1000, 100_000
"""Sizes of what is there and of what is written now."""


def engine_of(part: str) -> CompiledEngine:
    """An engine of which that part alone is large."""
    sizes = {name: NEW if name == part else OLD for name in ("plan", "graph", "timing")}
    timing = packed(TIMING, b"t" * sizes["timing"])
    return stand_in_engine(part.encode() + b"p" * sizes["plan"], onnx=b"g" * sizes["graph"], timing=timing)


_LIMITED = """
import resource, signal, sys, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_cache_full_disk import KEY, TIMING, engine_of
from edgefer.engine.cache import EngineCache
from edgefer.engine.timing_store import TimingStore
from edgefer.errors import EnvironmentMismatch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an OSError takes its place
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
folder, part = pathlib.Path(sys.argv[1]), sys.argv[3]
if part == "times":
    store = TimingStore(folder / "timing", TIMING)
    ours, notes = store.merge(b"t" * 100_000, store.read(), None)
    assert ours == b"t" * 100_000, "the engine carries it all the same"
    assert "cannot be written" in notes[0], notes
    sys.exit(0)
try:
    EngineCache(folder).put(KEY, engine_of(part))
    if part == "timing":
        sys.exit(0)
except EnvironmentMismatch as error:
    assert "cannot be used" in error.message, error
    sys.exit(0)
sys.exit("it was stored")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "an engine there"])
@pytest.mark.parametrize("part", ["plan", "graph"])
def test_what_does_not_fit_leaves_what_was_there(part: str, there: bool, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    if there:
        cache.put(KEY, engine_of("none"))
    run_limited(tmp_path, part)
    found = cache.engine(KEY)
    assert (found is not None) == there
    assert found is None or found == engine_of("none")
    assert sorted(each.name for each in cache.directory.iterdir()) == sorted([".locks", *([KEY.digest()] * there)])
    assert cache.put(KEY, engine_of(part)) == ("replaced" if there else "stored")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_an_engine_is_kept_without_times_that_do_not_fit(tmp_path: Path) -> None:
    run_limited(tmp_path, "timing")
    cache = EngineCache(tmp_path)
    assert cache.engine(KEY) == replace(engine_of("timing"), timing=b"")
    assert [entry.sound for entry in cache.entries()] == [True]
    assert sorted(each.name for each in (cache.directory / KEY.digest()).iterdir()) == sorted(
        [ENTRY, GRAPH, PLAN, REPORT]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_times_that_do_not_fit_leave_those_that_were_there(tmp_path: Path) -> None:
    store = TimingStore(tmp_path / "timing", TIMING)
    assert store.offer(packed(TIMING, b"times")) == ""
    run_limited(tmp_path, "times")
    assert (store.read().main, store.read().notes) == (b"times", [])
    assert sorted(each.name for each in store.folder.iterdir()) == [".locks", TIMING.name]


def run_limited(folder: Path, part: str) -> None:
    command = [sys.executable, "-c", _LIMITED, str(folder), str(Path(__file__).parent), part]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
