"""The cache over the years: listed, pruned, killed in the middle of a build, and under a clock that was set back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from stand_in_engine import stand_in_engine

from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import ENTRY, GRAPH, PLAN
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu

ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
KEY = cache_key(b"graph", CompileRequest("tensorrt"), "10.3.0", ORIN)


def engine(plan: bytes = b"plan" * 1000) -> CompiledEngine:
    return stand_in_engine(plan)


def never() -> CompiledEngine:
    raise AssertionError("nothing should have been built")


def keys(count: int) -> list[CacheKey]:
    return [msgspec.structs.replace(KEY, version=f"10.{index}") for index in range(count)]


def used(cache: EngineCache, key: CacheKey, when: float) -> None:
    os.utime(cache.directory / key.digest() / ENTRY, (when, when))


def test_the_list_says_what_is_there_and_what_is_not_sound(tmp_path: Path) -> None:
    cache, (one, two, three) = EngineCache(tmp_path), keys(3)
    assert cache.entries() == ()
    for index, key in enumerate((one, two, three)):
        cache.put(key, engine())
        used(cache, key, 1_000_000_000 + index)
    (cache.directory / two.digest() / PLAN).write_bytes(b"cut")
    (cache.directory / one.digest()).rename(cache.directory / ("f" * 64))  # a folder that somebody renamed
    found = cache.entries()
    assert [(entry.digest, entry.sound, entry.key) for entry in found] == [
        (three.digest(), True, three),
        (two.digest(), False, None),
        ("f" * 64, False, None),
    ]
    assert found[0].used == 1_000_000_002
    assert found[0].bytes > 4000


def test_an_entry_whose_graph_is_damaged_is_listed_as_such_and_not_exported(tmp_path: Path) -> None:
    cache, (one, two) = EngineCache(tmp_path), keys(2)
    cache.put(one, engine())
    cache.put(two, engine())
    (cache.directory / one.digest() / GRAPH).write_bytes(b"after a power cut")
    (cache.directory / two.digest() / GRAPH).unlink()
    assert [entry.sound for entry in cache.entries()] == [False, False]
    assert sorted(cache.prune()) == sorted([one.digest(), two.digest()])


def test_whoever_looks_while_an_entry_is_replaced_finds_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, seen, real = EngineCache(tmp_path), [], Path.rename
    cache.put(KEY, engine())
    started = threading.Event()

    def slow(path: Path, to: Path) -> Path:
        if path.name.startswith(".part-"):
            started.set()
            time.sleep(0.2)
        return real(path, to)

    def look() -> None:
        started.wait(10)
        seen.append(cache.find(KEY))

    monkeypatch.setattr(Path, "rename", slow)
    thread = threading.Thread(target=look)
    thread.start()
    cache.put(KEY, engine(b"fleet"))
    thread.join(10)
    assert [each is not None for each in seen] == [True]


def test_folders_of_others_are_none_of_the_caches(tmp_path: Path) -> None:
    """`--cache FOLDER` may name one that has had a folder `engines` before."""
    cache = EngineCache(tmp_path, max_bytes=100)
    for name in ("resnet", ".part-time", ".old-models", "A" * 64):
        (cache.directory / name).mkdir(parents=True)
        (cache.directory / name / "engine.plan").write_bytes(b"x" * 1000)
    cache.fetch(KEY, engine)
    assert [entry.digest for entry in cache.entries()] == [KEY.digest()]
    assert cache.prune(0) == (KEY.digest(),)
    left = sorted(each.name for each in cache.directory.iterdir())
    assert left == sorted([".locks", "resnet", ".part-time", ".old-models", "A" * 64])


def test_pruning_takes_what_is_of_no_use_and_then_the_oldest(tmp_path: Path) -> None:
    cache, (one, two, three, four) = EngineCache(tmp_path), keys(4)
    for index, key in enumerate((one, two, three, four)):
        cache.put(key, engine(bytes([index]) * 100_000))
        used(cache, key, 1_000_000_000 + index)
    (cache.directory / four.digest() / PLAN).write_bytes(b"cut")
    half = cache.directory / f".part-{one.digest()}"
    half.mkdir()
    assert cache.prune() == (four.digest(),)
    assert not half.exists()
    assert cache.prune(210_000) == (one.digest(),)
    assert cache.prune(0, keep=[two.digest()]) == (three.digest(),)
    assert cache.prune(0) == (two.digest(),)
    assert cache.entries() == cache.prune() == ()
    assert EngineCache(tmp_path / "none").prune() == ()


def test_what_another_process_is_writing_is_not_pruned(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.put(KEY, engine())
    half = cache.directory / f".part-{KEY.digest()}"
    half.mkdir()
    (cache.directory / KEY.digest() / PLAN).write_bytes(b"cut")
    with cache._lock(KEY.digest()):
        assert cache.prune(0) == ()
    assert half.exists()
    assert cache.prune(0) == (KEY.digest(),)


_BUILD = """
import os, sys, time, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_cache_upkeep import KEY, engine
from edgefer.engine.cache import EngineCache
from edgefer import atomic
folder, stage = pathlib.Path(sys.argv[1]), sys.argv[3]
def wait(*arguments, **named):
    (folder / "reached").write_text("")
    time.sleep(60)
if stage == "build":
    build = wait
else:
    build = engine
    # After plan and graph, before what makes the entry whole; or between the old entry and the new.
    if stage == "store":
        atomic.write_bytes = wait
    else:
        real = pathlib.Path.rename
        pathlib.Path.rename = lambda path, to: wait() if path.name.startswith(".part-") else real(path, to)
if stage == "replace":
    EngineCache(folder).put(KEY, engine(b"fleet"))
else:
    EngineCache(folder).fetch(KEY, build)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("stage", ["build", "store", "rename", "replace"])
def test_a_killed_process_leaves_no_lock_and_no_wrong_engine(stage: str, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    if stage == "replace":
        cache.put(KEY, engine())
    command = [sys.executable, "-c", _BUILD, str(tmp_path), str(Path(__file__).parent), stage]
    child = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert cache.find(KEY) is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    # Also for whoever may build nothing, and so only looks.
    assert (cache.find(KEY) is not None) == (stage == "replace")
    path, _, hit = cache.fetch(KEY, never if stage == "replace" else engine)
    assert (path.read_bytes(), hit) == (b"plan" * 1000, stage == "replace")
    assert cache.prune() == ()
    assert sorted(each.name for each in cache.directory.iterdir()) == sorted([".locks", KEY.digest()])
    assert cache.fetch(KEY, never)[2]


_PUT = """
import sys, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_cache_upkeep import KEY, engine
from edgefer.engine.cache import EngineCache
cache, plan = EngineCache(pathlib.Path(sys.argv[1])), sys.argv[3].encode() * 50_000
for _ in range(30):
    assert cache.put(KEY, engine(plan)) in ("stored", "replaced", "there")
    found = cache.engine(KEY)
    assert found is None or len(found.plan) == 50_000 and len(set(found.plan)) == 1
"""


def test_processes_that_store_different_engines_under_one_key_leave_one_of_them_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PUT, str(tmp_path), str(Path(__file__).parent)]
    children = [subprocess.Popen([*command, plan], stderr=subprocess.PIPE, text=True) for plan in "abc"]
    outputs = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    cache = EngineCache(tmp_path)
    found = cache.engine(KEY)
    assert found is not None
    assert found.plan[:1] in (b"a", b"b", b"c")
    assert [entry.sound for entry in cache.entries()] == [True]
    assert sorted(each.name for each in cache.directory.iterdir()) == sorted([".locks", KEY.digest()])


def test_pruning_puts_back_what_a_killed_process_was_replacing(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.put(KEY, engine())
    (cache.directory / KEY.digest()).rename(cache.directory / f".old-{KEY.digest()}")
    assert cache.prune() == ()
    assert cache.fetch(KEY, never)[2]


@pytest.mark.parametrize("clock", [-1e9, 0.0, 1.0, 4e9], ids=["before 1970", "1970", "a second later", "2096"])
def test_a_clock_that_is_wrong_loses_no_engine_that_is_in_use(
    clock: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, (one, two) = EngineCache(tmp_path, max_bytes=10_000_000), keys(2)
    cache.put(one, engine())
    monkeypatch.setattr(time, "time", lambda: clock)
    path, _, hit = cache.fetch(two, engine)
    assert not hit
    used(cache, two, clock)  # as the file system of such a machine would have stamped it
    assert cache.fetch(one, never)[2]
    assert cache.fetch(two, never)[0] == path
    assert {entry.key for entry in cache.entries()} == {one, two}


def test_the_entry_just_stored_stays_though_the_clock_was_set_back(tmp_path: Path) -> None:
    cache, (one, two) = EngineCache(tmp_path, max_bytes=5000), keys(2)
    cache.put(one, engine())
    used(cache, one, time.time() + 1e8)  # from before the clock was set back
    path, _, _ = cache.fetch(two, engine)
    assert path.exists()
    assert [entry.key for entry in cache.entries()] == [two]
