"""TensorRT's timing cache over builds: begun with, added to, carried; never a reason for a build to fail."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from folder_rights import needs_rights

from edgefer import atomic
from edgefer.engine import timing_store
from edgefer.engine.archive import ArchivedEngine, EngineArchive
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_key import cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest, compile_onnx
from edgefer.engine.driver import CudaDriver
from edgefer.engine.timing_file import MOST_BYTES, TimingKey, Unusable, packed, unpacked
from edgefer.engine.timing_store import MOST_FILES, MOST_IMPORTS, Stored, TimingStore, remove_cache
from edgefer.engine.transfer import import_engines
from edgefer.errors import CompileError
from edgefer.progress import Silent

pytest.importorskip("onnx")
BUILDING = Path(__file__).parents[1] / "stand_ins" / "building"
REQUEST = CompileRequest("tensorrt")
NODES = ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
KEY = TimingKey.here("tensorrt", "10.3.0", None)


def ways(monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    """What the stand-in for TensorRT does in the children from here on."""
    monkeypatch.setenv("STAND_IN_TENSORRT", json.dumps(said))


@pytest.fixture(autouse=True)
def stand_in_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BUILDING))
    ways(monkeypatch)


@pytest.fixture
def compiled(make_graph: Callable[..., bytes], tmp_path: Path) -> Callable[..., tuple[CompiledEngine, list[str]]]:
    """Build a graph in a child with the timing caches of `tmp_path`; the engine, and what the reporter was told."""

    def build(kind: str = "fp32") -> tuple[CompiledEngine, list[str]]:
        told = Silent()
        return compile_onnx(make_graph(kind), REQUEST, reporter=told, timing=tmp_path), told.notes

    return build


def timed(engine: CompiledEngine) -> list[str]:
    """The nodes whose times a build did not find in its cache."""
    found: list[str] = json.loads(engine.plan)["timed"]
    return found


def times(store: TimingStore) -> list[str]:
    return sorted(json.loads(store.read().main)["times"])


def blob(*names: str, device: str = "Orin") -> bytes:
    return json.dumps({"device": device, "times": dict.fromkeys(names, 1.0)}, sort_keys=True).encode()


def put(folder: Path, *names: str, device: str = "Orin") -> TimingStore:
    store = TimingStore(folder, KEY)
    assert store.offer(packed(KEY, blob(*names, device=device))) == ""
    return store


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_build_begins_with_what_the_last_one_measured(compiled: Callable[..., Any], tmp_path: Path) -> None:
    first, notes = compiled()
    assert timed(first) == NODES
    assert notes == []
    assert first.report.timing_cache.before_bytes == 0
    assert files(tmp_path) == [".locks", KEY.name]
    second, notes = compiled("int8")  # another graph, of which only what is new is measured
    assert timed(second) == ["QuantizeLinear", "DequantizeLinear"]
    assert notes == []
    assert second.report.timing_cache.before_bytes == first.report.timing_cache.after_bytes > 0
    assert unpacked(KEY, second.timing) == TimingStore(tmp_path, KEY).read().main
    assert timed(compiled()[0]) == []


def test_without_a_folder_there_is_no_timing_cache(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    engine = compile_onnx(make_graph(), REQUEST)
    assert (engine.timing, engine.report.timing_cache) == (b"", None)
    assert timed(engine) == NODES


def test_tensorrt_rtx_is_given_none(
    make_graph: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    engine = compile_onnx(make_graph(), CompileRequest("tensorrt_rtx"), timing=tmp_path / "timing")
    assert (engine.timing, engine.report.timing_cache) == (b"", None)
    assert not (tmp_path / "timing").exists()


def _cut(data: bytes) -> bytes:
    return data[:-3]


def _flipped(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


def _of_another(data: bytes) -> bytes:
    return packed(msgspec.structs.replace(KEY, version="10.7.0"), blob("Conv"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "damaged"),
        (_flipped, "damaged"),
        (_of_another, "10.7.0"),
        (lambda data: b"", "not a timing cache"),
        (lambda data: b"\x00" * 5000, "not a timing cache"),
        (lambda data: data[:30], "head cannot be read"),
        (lambda data: data + b" " * (2 * MOST_BYTES), "too large"),
        (lambda data: packed(KEY, b"not what TensorRT wrote"), "did not take it"),
        (lambda data: packed(KEY, blob("Conv", device="Thor")), "TensorRT refused it"),
    ],
    ids=["cut", "changed", "another release's", "empty", "noughts", "half a head", "huge", "no cache", "foreign"],
)
def test_a_damaged_or_foreign_cache_is_a_note_and_is_replaced(
    damage: Callable[[bytes], bytes], said: str, compiled: Callable[..., Any], tmp_path: Path
) -> None:
    compiled()
    path = tmp_path / KEY.name
    path.write_bytes(damage(path.read_bytes()))
    engine, notes = compiled()
    assert timed(engine) == NODES
    assert any(said in note for note in notes), notes
    assert engine.report.timing_cache.notes
    again, notes = compiled()
    assert (timed(again), notes) == ([], [])


@pytest.mark.parametrize("refused", ["create", "set", "serialize"])
def test_a_tensorrt_that_refuses_builds_without(
    refused: str, compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled()
    before = (tmp_path / KEY.name).read_bytes()
    ways(monkeypatch, refuse=[refused])
    engine, notes = compiled()
    assert engine.plan
    assert engine.timing == b""
    assert notes
    assert (tmp_path / KEY.name).read_bytes() == before


@pytest.mark.parametrize("stage", ["create", "combine"])
def test_a_tensorrt_that_dies_of_a_cache_builds_without_it_and_it_is_gone(
    stage: str, compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "Conv")
    put(tmp_path, "Relu")
    ways(monkeypatch, die=stage)
    engine, notes = compiled()
    assert timed(engine) == NODES
    assert "died of the timing cache" in notes[0]
    assert files(tmp_path) == [".locks"]


def test_a_tensorrt_that_dies_of_something_else_is_not_built_with_again(
    compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "Conv")
    ways(monkeypatch, die="build")
    with pytest.raises(CompileError, match="SIGSEGV"):
        compiled()
    assert times(TimingStore(tmp_path, KEY)) == ["Conv"]


def test_what_another_process_measured_meanwhile_stays(
    compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways(monkeypatch, seconds=1.5)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda kind=kind: results.append(compiled(kind))) for kind in ("fp32", "fp16")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert [notes for _, notes in results] == [[], []]
    assert all(len(timed(engine)) >= 5 for engine, _ in results)  # neither waited for the other
    assert times(TimingStore(tmp_path, KEY)) == sorted([*NODES, "Cast"])


def test_a_foreign_cache_that_another_process_wrote_meanwhile_is_replaced(
    compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, go = tmp_path, tmp_path.parent / f"{tmp_path.name}.go"
    ways(monkeypatch, pause={"built": str(go)})
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(compiled()))
    thread.start()
    wait_until(Path(f"{go}.reached").exists)
    put(folder, "Flatten", device="Thor")
    go.write_text("")
    thread.join()
    ((engine, notes),) = results
    assert timed(engine) == NODES
    assert any("could not be added to" in note for note in notes)
    assert times(TimingStore(folder, KEY)) == sorted(NODES)


_MERGE = """
import sys, json, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_timing_cache import KEY, blob
from edgefer.engine.timing_store import TimingStore
store, name = TimingStore(pathlib.Path(sys.argv[1]), KEY), sys.argv[3]
for index in range(25):
    before = store.read()
    known = json.loads(before.main)["times"] if before.main else {}
    def combine(theirs):
        return blob(*json.loads(theirs)["times"], *known, f"{name}{index}")
    _, notes = store.merge(blob(*known, f"{name}{index}"), before, combine)
    assert notes == [], notes
"""


def test_processes_that_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MERGE, str(tmp_path), str(Path(__file__).parent)]
    children = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "abc"]
    outputs = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    assert times(TimingStore(tmp_path, KEY)) == sorted(f"{name}{index}" for name in "abc" for index in range(25))
    assert files(tmp_path) == [".locks", KEY.name]


_KILLED = """
import sys, time, pathlib
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../stand_ins"]
from test_timing_cache import KEY, blob
from edgefer.engine.timing_store import TimingStore
folder, stage = pathlib.Path(sys.argv[1]), sys.argv[3]
def wait(*arguments):
    (folder.parent / "reached").write_text("")
    time.sleep(60)
if stage == "rename":
    pathlib.Path.replace = wait
store = TimingStore(folder, KEY)
before = store.read()
before.main = b"older"  # as if another process had written since
store.merge(blob("Relu"), before, wait if stage == "combine" else lambda theirs: blob("Conv", "Relu"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("stage", ["combine", "rename"])
def test_a_process_killed_in_a_merge_leaves_the_old_cache_and_no_lock(stage: str, tmp_path: Path) -> None:
    folder = tmp_path / "timing"
    store = put(folder, "Conv")
    child = subprocess.Popen([sys.executable, "-c", _KILLED, str(folder), str(Path(__file__).parent), stage])
    try:
        wait_until(lambda: (tmp_path / "reached").exists() or child.poll() is not None)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (tmp_path / "reached").exists()
    before = store.read()
    assert (before.notes, json.loads(before.main)["times"]) == ([], {"Conv": 1.0})
    started = time.monotonic()
    assert store.merge(blob("Conv", "Gemm"), before, never)[1] == []
    assert time.monotonic() - started < 5
    assert files(folder) == [".locks", KEY.name]  # nor what was half written
    assert times(store) == ["Conv", "Gemm"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
@pytest.mark.parametrize("stage", ["build", "built", "serialize"])
def test_a_build_killed_at_any_stage_leaves_the_cache_for_the_next(
    stage: str,
    compiled: Callable[..., Any],
    make_graph: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(tmp_path, "Conv")
    reached = tmp_path / "reached"
    ways(monkeypatch, hold={stage: str(reached)})
    code = (
        "import sys, pathlib; from edgefer.engine.compile import CompileRequest, compile_onnx;"
        "compile_onnx(sys.stdin.buffer.read(), CompileRequest('tensorrt'), timing=pathlib.Path(sys.argv[1]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE)
    try:
        assert parent.stdin is not None
        parent.stdin.write(make_graph())
        parent.stdin.close()
        wait_until(lambda: reached.exists() and bool(reached.read_text()))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not Path(f"/proc/{reached.read_text()}").exists())
    reached.unlink()
    ways(monkeypatch)
    engine, notes = compiled()
    assert (timed(engine), notes) == (NODES[1:], [])
    assert files(tmp_path) == [".locks", KEY.name]


def test_a_full_disk_loses_nothing_and_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    store = put(tmp_path, "Conv")
    before = store.read()
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_bytes", full)
        ours, notes = store.merge(blob("Conv", "Gemm"), before, never)
        assert store.offer(packed(KEY, blob("Relu"))).startswith("the timing cache")
    assert ours == blob("Conv", "Gemm")  # the engine carries it all the same
    assert any("no room left" in note for note in notes)
    assert times(store) == ["Conv"]
    assert files(tmp_path) == [".locks", KEY.name]


def test_a_folder_that_may_only_be_read_is_read(
    compiled: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = put(tmp_path, "Conv")

    def refuse(*arguments: object, **named: object) -> Any:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(timing_store.FileLock, "acquire", refuse)
    monkeypatch.setattr(atomic, "write_bytes", refuse)
    before = store.read()
    assert (before.main, before.notes) == (blob("Conv"), [])
    _, notes = store.merge(blob("Conv", "Gemm"), before, never)
    assert any("cannot be written" in note for note in notes)
    assert times(store) == ["Conv"]
    assert "could not be removed" in remove_cache(store.path)


def test_a_build_with_a_read_only_folder_is_told_and_works(compiled: Callable[..., Any], tmp_path: Path) -> None:
    needs_rights(tmp_path)
    put(tmp_path, "Conv")
    for folder in (tmp_path / ".locks", tmp_path):
        folder.chmod(0o500)
    try:
        engine, notes = compiled()
    finally:
        for folder in (tmp_path, tmp_path / ".locks"):
            folder.chmod(0o700)
    assert timed(engine) == NODES[1:]
    assert engine.timing
    assert any("cannot be written" in note for note in notes)


def test_a_folder_that_is_a_file_is_a_note(
    make_graph: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timing").write_text("in the way")
    told = Silent()
    engine = compile_onnx(make_graph(), REQUEST, reporter=told, timing=tmp_path / "timing")
    assert timed(engine) == NODES
    assert any("cannot be written" in note for note in told.notes)


def test_a_lock_that_somebody_keeps_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = put(tmp_path, "Conv")
    monkeypatch.setattr(timing_store, "LOCK_SECONDS", 0.2)
    with timing_store.FileLock(tmp_path / ".locks" / f"{KEY.name}.lock"):
        _, notes = store.merge(blob("Gemm"), store.read(), never)
        assert "locked" in store.offer(packed(KEY, blob("Relu")))
    assert any("locked" in note for note in notes)
    assert times(store) == ["Conv"]


def test_the_caches_are_bounded_in_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing_store, "MOST_BYTES", 200)
    store = put(tmp_path, "Conv")
    _, notes = store.merge(blob(*map(str, range(100))), store.read(), never)
    assert any("begins anew" in note for note in notes)
    assert store.read() == Stored()
    for index in range(MOST_FILES + 3):
        key = msgspec.structs.replace(KEY, version=f"10.{index}")
        TimingStore(tmp_path, key).offer(packed(key, blob("Conv")))
        os.utime(tmp_path / key.name, (1e9 + index, 1e9 + index))
    left = [name for name in files(tmp_path) if name != ".locks"]
    assert len(left) == MOST_FILES
    assert not any(name.startswith(("tensorrt-10.0-", "tensorrt-10.1-", "tensorrt-10.2-")) for name in left)


def test_files_of_others_are_none_of_the_caches(tmp_path: Path) -> None:
    others = [tmp_path / f"trained-{index}.cache" for index in range(MOST_FILES)]
    for path in others:
        path.write_bytes(b"of somebody else")
        os.utime(path, (1e9, 1e9))
    put(tmp_path, "Conv")
    assert all(path.exists() for path in others)


def test_a_clock_that_was_set_back_does_not_lose_the_cache_in_use(tmp_path: Path) -> None:
    for index in range(MOST_FILES):
        key = msgspec.structs.replace(KEY, version=f"10.{index}")
        TimingStore(tmp_path, key).offer(packed(key, blob("Conv")))
        os.utime(tmp_path / key.name, (4e9, 4e9))  # from before the clock was set back
    store = put(tmp_path, "Conv")
    os.utime(store.path, (0, 0))
    assert store.merge(blob("Conv", "Gemm"), store.read(), never)[1] == []
    assert times(store) == ["Conv", "Gemm"]


@pytest.mark.parametrize("field", TimingKey.__struct_fields__)
def test_every_field_of_the_key_has_a_file_of_its_own(field: str, tmp_path: Path) -> None:
    other = msgspec.structs.replace(KEY, **{field: "another"})
    put(tmp_path, "Conv")
    assert other.name != KEY.name
    assert TimingStore(tmp_path, other).read() == Stored()
    with pytest.raises(Unusable, match="another"):
        unpacked(other, packed(KEY, b"x"))
    assert "is of" in TimingStore(tmp_path, other).offer(packed(KEY, b"x"))


def test_imported_caches_are_added_by_the_next_build(compiled: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("Conv", "Relu", "Relu", "Gemm"):
        put(tmp_path, name)
    assert len(files(tmp_path)) == 4
    put(tmp_path, "Flatten", device="Thor")  # which TensorRT will not add
    engine, notes = compiled()
    assert timed(engine) == ["GlobalAveragePool", "Flatten"]
    assert len(notes) == 1
    assert "did not add it" in notes[0]
    assert files(tmp_path) == [".locks", KEY.name]
    assert times(TimingStore(tmp_path, KEY)) == sorted(NODES)


def test_what_one_machine_measured_spares_another_the_time(
    make_graph: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built, kept in the cache, exported, imported and built with again, all by the real paths."""
    key = cache_key(make_graph(), REQUEST, "10.3.0", CudaDriver(version=None))
    one, two = EngineCache(tmp_path / "one"), EngineCache(tmp_path / "two")
    one.fetch(key, lambda: compile_onnx(make_graph(), REQUEST, timing=one.timing_folder))
    kept = one.engine(key)
    assert kept is not None
    written = EngineArchive.of("tiny", "d" * 64, [(ArchivedEngine(role="fused", key=key), kept)]).to_bytes()
    told = Silent()
    import_engines(EngineArchive.from_bytes(written), two, any_machine=True, reporter=told)
    assert told.notes == []
    assert timed(compile_onnx(make_graph("int8"), REQUEST, timing=two.timing_folder)) == [
        *("QuantizeLinear", "DequantizeLinear")
    ]


def test_imported_caches_are_bounded_in_number(tmp_path: Path) -> None:
    for index in range(MOST_IMPORTS + 4):
        put(tmp_path, f"node {index}")
    assert len(files(tmp_path)) == 2 + MOST_IMPORTS


def test_a_name_says_what_it_is_of() -> None:
    key = TimingKey(
        flavour="tensorrt",
        version="10.3.0",
        gpu="Orin (nvgpu)/x",
        compute_capability="8.7",
        multiprocessors=8,
        platform="Linux-aarch64",
    )
    assert key.name.startswith("tensorrt-10.3.0-Orin_nvgpu_x-")
    assert "/" not in key.name


def never(theirs: bytes) -> bytes:
    raise AssertionError("no other process has written")


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
