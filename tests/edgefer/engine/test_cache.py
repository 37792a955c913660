"""The engine cache: what settles a key, whole entries only, one build for many, bounded size, and disks that fail."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from filelock import FileLock
from folder_rights import needs_rights
from stand_in_engine import stand_in_engine

from edgefer import atomic
from edgefer.engine import cache_key as cache_keys
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import ENTRY, GRAPH, PLAN, REPORT
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.report import EngineReport
from edgefer.errors import CompileError, EnvironmentMismatch
from edgefer.progress import Silent

ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
KEY = cache_key(b"graph", CompileRequest("tensorrt"), "10.3.0", ORIN)


def engine(plan: bytes = b"plan" * 1000) -> CompiledEngine:
    return stand_in_engine(plan)


class Builder:
    """Counts how often it is asked."""

    def __init__(self, plan: bytes = b"plan" * 1000) -> None:
        self.calls = 0
        self.plan = plan

    def __call__(self) -> CompiledEngine:
        self.calls += 1
        return engine(self.plan)


def never() -> CompiledEngine:
    raise AssertionError("nothing should have been built")


def test_a_second_fetch_finds_what_the_first_built(tmp_path: Path) -> None:
    cache, build = EngineCache(tmp_path), Builder()
    path, report, hit = cache.fetch(KEY, build)
    assert (path.read_bytes(), report.version, hit) == (build.plan, "10.3.0", False)
    assert path.with_name(GRAPH).read_bytes() == b"graph"
    assert EngineCache(tmp_path).fetch(KEY, never) == (path, report, True)
    assert build.calls == 1


def test_looking_builds_nothing(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    assert cache.find(KEY) is None
    path, report, _ = cache.fetch(KEY, Builder())
    assert cache.find(KEY) == (path, report)
    path.write_bytes(b"damaged")
    assert cache.find(KEY) is None


@pytest.mark.parametrize(
    "change",
    [
        {"onnx": b"other"},
        {"request": CompileRequest("tensorrt_rtx")},
        {"request": CompileRequest("tensorrt", batches=(1, 4))},
        {"request": CompileRequest("tensorrt", workspace_bytes=1 << 29)},
        {"request": CompileRequest("tensorrt", way="plugin")},
        {"policy": "auto"},
        {"judged_by": "golden answers"},
        {"version": "10.3.1"},
        {"driver": CudaDriver(version="13.0", gpus=ORIN.gpus)},
        {"driver": CudaDriver(version=None)},
        {"driver": CudaDriver(version="12.6", gpus=(msgspec.structs.replace(ORIN.gpus[0], name="Orin NX"),))},
        {
            "driver": CudaDriver(
                version="12.6", gpus=(msgspec.structs.replace(ORIN.gpus[0], compute_capability="11.0"),)
            )
        },
        {"driver": CudaDriver(version="12.6", gpus=(msgspec.structs.replace(ORIN.gpus[0], multiprocessors=16),))},
    ],
    ids=lambda change: "-".join(f"{name}={str(value)[:60]}" for name, value in change.items()),
)
def test_everything_that_an_engine_depends_on_changes_the_key(change: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "onnx": b"graph",
        "request": CompileRequest("tensorrt"),
        "version": "10.3.0",
        "driver": ORIN,
    }
    assert cache_key(**given).digest() == KEY.digest()
    assert cache_key(**{**given, **change}).digest() != KEY.digest()


@pytest.mark.parametrize("field", ["operators", "kernels", "code", "library"])
def test_engines_with_plugins_depend_on_these_and_others_do_not(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> dict[str, str]:
        requests = {way: CompileRequest("tensorrt", way=way) for way in ("plugin", "inline")}  # type: ignore[arg-type]
        found = {way: cache_key(b"graph", request, "10.3.0", ORIN) for way, request in requests.items()}
        found["auto"] = cache_key(b"graph", requests["plugin"], "10.3.0", ORIN, policy="auto")
        return {way: key.digest() for way, key in found.items()}

    before, identity = keys(), cache_keys.plugin_identity()
    other: Any = (*identity.operators, "edgefer::Another") if field == "operators" else "another"
    monkeypatch.setattr(cache_keys, "plugin_identity", lambda: msgspec.structs.replace(identity, **{field: other}))
    after = keys()
    assert {way for way in before if before[way] != after[way]} == {"plugin", "auto"}


def test_the_plugins_of_this_edgefer_are_told_by_their_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEFER_PLUGIN_LIBRARY", raising=False)
    identity = cache_keys.plugin_identity()
    assert "edgefer::CbamAttention" in identity.operators
    assert len(identity.code) == 64
    assert identity.library == ""
    library = tmp_path / "libedgefer_plugins.so"
    monkeypatch.setenv("EDGEFER_PLUGIN_LIBRARY", str(library))
    assert cache_keys.plugin_identity().library == ""
    library.write_bytes(b"one")
    one = cache_keys.plugin_identity().library
    library.write_bytes(b"two")
    assert len(one) == 64
    assert cache_keys.plugin_identity().library not in ("", one)


@pytest.mark.parametrize("field", ["platform", "rules", "schema"])
def test_platform_and_schemas_are_in_the_key(field: str) -> None:
    other: Any = "Linux-riscv64" if field == "platform" else 99
    assert msgspec.structs.replace(KEY, **{field: other}).digest() != KEY.digest()


def test_the_key_is_the_same_in_another_process() -> None:
    code = (
        "import sys, msgspec; from edgefer.engine.cache_key import CacheKey;"
        "print(msgspec.json.decode(sys.stdin.buffer.read(), type=CacheKey).digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=msgspec.json.encode(KEY), capture_output=True, check=True)
    assert done.stdout.decode().strip() == KEY.digest()


def _truncate(folder: Path) -> None:
    (folder / PLAN).write_bytes((folder / PLAN).read_bytes()[:100])


def _flip(folder: Path) -> None:
    data = bytearray((folder / PLAN).read_bytes())
    data[7] ^= 1
    (folder / PLAN).write_bytes(data)


def _other_report(folder: Path) -> None:
    report = msgspec.json.decode((folder / REPORT).read_bytes(), type=EngineReport)
    (folder / REPORT).write_bytes(msgspec.json.encode(msgspec.structs.replace(report, version="99")))


def _other_key(folder: Path) -> None:
    (folder / ENTRY).write_bytes((folder / ENTRY).read_bytes().replace(b"10.3.0", b"10.3.9"))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _flip,
        _other_report,
        _other_key,
        lambda folder: (folder / PLAN).unlink(),
        lambda folder: (folder / ENTRY).unlink(),
        lambda folder: (folder / ENTRY).write_bytes(b""),
        lambda folder: (folder / ENTRY).write_bytes(b"\xff\xfe{}"),
        lambda folder: (folder / REPORT).write_text('{"flavour": 5}'),
    ],
    ids=[
        "plan cut",
        "plan changed",
        "report changed",
        "key changed",
        "no plan",
        "no entry",
        "empty entry",
        "entry not text",
        "report of another schema",
    ],
)
def test_a_damaged_entry_is_built_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    cache, build = EngineCache(tmp_path), Builder()
    path, _, _ = cache.fetch(KEY, build)
    damage(path.parent)
    again, _, hit = cache.fetch(KEY, build)
    assert (again, hit, build.calls) == (path, False, 2)
    assert path.read_bytes() == build.plan
    assert cache.fetch(KEY, never)[2]


def test_a_failed_build_leaves_nothing_and_the_next_one_builds(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)

    def fail() -> CompiledEngine:
        raise CompileError("refused")

    with pytest.raises(CompileError, match="refused"):
        cache.fetch(KEY, fail)
    assert [each.name for each in cache.directory.iterdir()] == [".locks"]
    assert cache.fetch(KEY, Builder())[2] is False


def test_what_an_interrupted_write_left_is_cleared(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    half = cache.directory / f".part-{KEY.digest()}"
    half.mkdir(parents=True)
    (half / PLAN).write_bytes(b"half")
    path, _, _ = cache.fetch(KEY, Builder())
    assert not half.exists()
    assert path.read_bytes() == b"plan" * 1000


def test_two_processes_build_once(tmp_path: Path) -> None:
    code = """
import sys, time, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_cache import KEY, engine
from edgefer.engine.cache import EngineCache
folder = pathlib.Path(sys.argv[1])
def build():
    with open(folder / "builds", "a") as log:
        log.write("built\\n")
    time.sleep(1)
    return engine()
print(EngineCache(folder).fetch(KEY, build)[2])
"""
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    assert sorted(output.strip() for output, _ in outputs) == ["False", "True", "True"]
    assert (tmp_path / "builds").read_text() == "built\n"


def test_two_threads_build_once_and_the_one_that_waits_says_so(tmp_path: Path) -> None:
    reporter, results, building = Silent(), [], threading.Event()

    def slow() -> CompiledEngine:
        building.set()
        time.sleep(0.5)
        return engine()

    first = threading.Thread(target=lambda: results.append(EngineCache(tmp_path).fetch(KEY, slow)[2]))
    first.start()
    assert building.wait(10)
    results.append(EngineCache(tmp_path).fetch(KEY, never, reporter)[2])
    first.join()
    assert sorted(results) == [False, True]
    assert any("another process" in note for note in reporter.notes)


def keys(count: int) -> list[CacheKey]:
    return [msgspec.structs.replace(KEY, version=f"10.{index}") for index in range(count)]


def age(path: Path, seconds: float) -> None:
    os.utime(path.with_name(ENTRY), (time.time() - seconds,) * 2)


def test_the_least_recently_used_goes_when_the_bound_is_passed(tmp_path: Path) -> None:
    cache, (one, two, three) = EngineCache(tmp_path, max_bytes=250_000), keys(3)
    plan = b"x" * 100_000
    age(cache.fetch(one, Builder(plan))[0], 100)
    age(cache.fetch(two, Builder(plan))[0], 200)
    assert cache.fetch(two, never)[2]  # used now, so the first is the oldest
    cache.fetch(three, Builder(plan))
    again = Builder(plan)
    assert cache.fetch(two, never)[2]
    assert cache.fetch(three, never)[2]
    assert cache.fetch(one, again)[2] is False


def test_an_engine_larger_than_the_bound_is_kept_alone(tmp_path: Path) -> None:
    cache, (one, two) = EngineCache(tmp_path, max_bytes=1000), keys(2)
    first = cache.fetch(one, Builder(b"x" * 5000))[0]
    second = cache.fetch(two, Builder(b"x" * 5000))[0]
    assert not first.exists()
    assert second.exists()


def test_an_engine_is_not_lost_to_one_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Told(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    cache, (one, two) = EngineCache(tmp_path, max_bytes=1000), keys(2)
    cache.fetch(one, Builder(b"x" * 5000))
    real = shutil.rmtree

    def refuse(path: Path, *more: Any, **named: Any) -> None:
        if Path(path).name == one.digest():
            raise PermissionError(errno.EACCES, "it belongs to another user")
        real(path, *more, **named)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    path, _, hit = cache.fetch(two, Builder(b"y" * 5000), Told())
    assert (path.read_bytes(), hit) == (b"y" * 5000, False)
    assert "another user" in said[-1]


def test_an_entry_that_is_being_built_is_not_evicted(tmp_path: Path) -> None:
    cache, (one, two) = EngineCache(tmp_path, max_bytes=1000), keys(2)
    first = cache.fetch(one, Builder(b"x" * 5000))[0]
    with cache._lock(one.digest()):
        cache.fetch(two, Builder(b"x" * 5000))
    assert first.exists()


def test_the_folder_is_the_one_given_then_the_variable_then_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFER_CACHE", str(tmp_path / "named"))
    assert EngineCache(tmp_path / "given").directory == tmp_path / "given" / "engines"
    assert EngineCache().directory == tmp_path / "named" / "engines"
    monkeypatch.delenv("EDGEFER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert tmp_path in EngineCache().directory.parents
    assert "edgefer" in EngineCache().directory.parts


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentMismatch, match="cannot be used") as caught:
        EngineCache(tmp_path / "file").fetch(KEY, never)
    assert "EDGEFER_CACHE" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_read_only_cache_serves_hits_and_refuses_to_store(tmp_path: Path) -> None:
    needs_rights(tmp_path)
    cache, (one, two) = EngineCache(tmp_path), keys(2)
    path, report, _ = cache.fetch(one, Builder())
    for folder in (path.parent, cache.directory, cache.directory / ".locks"):
        folder.chmod(0o500)
    try:
        assert cache.fetch(one, never) == (path, report, True)
        with pytest.raises(EnvironmentMismatch, match="cannot be used"):
            cache.fetch(two, never)
    finally:
        for folder in (cache.directory, cache.directory / ".locks", path.parent):
            folder.chmod(0o700)


def test_a_hit_takes_no_lock_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> Any:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    cache = EngineCache(tmp_path)
    path, report, _ = cache.fetch(KEY, Builder())
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert cache.fetch(KEY, never) == (path, report, True)
    with pytest.raises(EnvironmentMismatch, match="cannot be used"):
        cache.fetch(keys(1)[0], never)


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    cache = EngineCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_bytes", full)
        with pytest.raises(EnvironmentMismatch, match="is full"):
            cache.fetch(KEY, Builder())
    assert [each.name for each in cache.directory.iterdir()] == [".locks"]
    assert cache.fetch(KEY, Builder())[2] is False
