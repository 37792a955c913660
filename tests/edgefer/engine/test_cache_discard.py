"""An engine that is refused when it is opened is not served for ever; and no engine is served under another's key."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from filelock import FileLock
from stand_in_engine import stand_in_engine

from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import PLAN
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.plugin_identity import PluginIdentity
from edgefer.errors import EnvironmentMismatch

ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
KEY = cache_key(b"graph", CompileRequest("tensorrt", way="plugin"), "10.3.0", ORIN)
OTHERS: dict[str, Any] = {"policy": "inline", "batches": (2,)} | dict.fromkeys(
    ("workspace_bytes", "multiprocessors", "rules", "schema"), -1
)


def engine(plan: bytes = b"plan" * 1000) -> CompiledEngine:
    return stand_in_engine(plan)


def never() -> CompiledEngine:
    raise AssertionError("nothing should have been built")


def changed(field: str) -> CacheKey:
    name, _, part = field.partition(".")
    if not part:
        return msgspec.structs.replace(KEY, **{name: OTHERS.get(name, "another")})
    value: Any = ("edgefer::Another",) if part == "operators" else "another"
    return msgspec.structs.replace(KEY, plugins=msgspec.structs.replace(KEY.plugins, **{part: value}))


FIELDS = [field for field in CacheKey.__struct_fields__ if field != "plugins"]
FIELDS += [f"plugins.{field}" for field in PluginIdentity.__struct_fields__]


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_in_a_single_field_is_another_engine_and_leaves_the_first(field: str, tmp_path: Path) -> None:
    cache, other = EngineCache(tmp_path), changed(field)
    first, report, _ = cache.fetch(KEY, engine)
    assert cache.find(other) is None
    path, _, hit = cache.fetch(other, lambda: engine(b"other"))
    assert (path.read_bytes(), hit) == (b"other", False)
    assert cache.fetch(KEY, never) == (first, report, True)
    assert cache.fetch(other, never)[0].read_bytes() == b"other"


@pytest.mark.parametrize("field", FIELDS)
def test_an_entry_that_lies_where_another_key_looks_is_not_served(field: str, tmp_path: Path) -> None:
    """As a folder that somebody copied, or two keys of one digest, would make it."""
    cache, other = EngineCache(tmp_path), changed(field)
    cache.put(other, engine(b"other"))
    (cache.directory / other.digest()).rename(cache.directory / KEY.digest())
    assert cache.find(KEY) is None
    path, _, hit = cache.fetch(KEY, engine)
    assert (path.read_bytes(), hit) == (b"plan" * 1000, False)


def test_a_discarded_engine_is_built_again(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    _, report, _ = cache.fetch(KEY, engine)
    assert cache.discard(KEY.digest(), report.plan_sha256) is True
    assert cache.find(KEY) is None
    assert [each.name for each in cache.directory.iterdir()] == [".locks"]
    path, _, hit = cache.fetch(KEY, lambda: engine(b"again"))
    assert (path.read_bytes(), hit) == (b"again", False)


def test_what_another_process_built_meanwhile_is_not_discarded(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    _, refused, _ = cache.fetch(KEY, engine)
    cache.put(KEY, engine(b"fleet"))
    assert cache.discard(KEY.digest(), refused.plan_sha256) is False
    assert cache.fetch(KEY, never)[0].read_bytes() == b"fleet"
    assert cache.discard("0" * 64, refused.plan_sha256) is False


def test_a_damaged_entry_is_nothing_to_discard(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path, report, _ = cache.fetch(KEY, engine)
    path.write_bytes(b"cut")
    assert cache.discard(KEY.digest(), report.plan_sha256) is False
    assert cache.fetch(KEY, engine)[2] is False


def test_discarding_from_a_cache_that_may_only_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> Any:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    cache = EngineCache(tmp_path)
    _, report, _ = cache.fetch(KEY, engine)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(EnvironmentMismatch, match="cannot be used"):
        cache.discard(KEY.digest(), report.plan_sha256)


_KILLED = """
import shutil, sys, time, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_cache_discard import KEY
from edgefer.engine.cache import EngineCache
folder = pathlib.Path(sys.argv[1])
cache, calls = EngineCache(folder), []
real = shutil.rmtree
def wait(path, **named):
    calls.append(path)
    if len(calls) == 2:  # the one after the rename
        (folder / "reached").write_text("")
        time.sleep(60)
    real(path, **named)
shutil.rmtree = wait
cache.discard(KEY.digest(), cache.find(KEY)[1].plan_sha256)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_killed_while_it_discards_leaves_nothing_to_be_served(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.fetch(KEY, engine)
    child = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path), str(Path(__file__).parent)])
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert cache.find(KEY) is None
    path, _, hit = cache.fetch(KEY, lambda: engine(b"again"))
    assert (path.name, path.read_bytes(), hit) == (PLAN, b"again", False)
    assert sorted(each.name for each in cache.directory.iterdir()) == sorted([".locks", KEY.digest()])


def test_two_processes_that_refuse_one_engine_build_it_once(tmp_path: Path) -> None:
    """The second one finds another plan than it was refused, and takes that."""
    first, second = EngineCache(tmp_path), EngineCache(tmp_path)
    _, refused, _ = first.fetch(KEY, engine)
    assert second.find(KEY) is not None
    assert first.discard(KEY.digest(), refused.plan_sha256)
    first.fetch(KEY, lambda: engine(b"again"))
    assert not second.discard(KEY.digest(), refused.plan_sha256)
    assert second.fetch(KEY, never)[0].read_bytes() == b"again"
