"""The builder's scratch memory: in the key as asked for, bounded on devices that share memory with the GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_in_engine import stand_in_engine

from edgefer.engine import bundle_engine, bundle_work, worker
from edgefer.engine.bundle_engine import cached_report, compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.compile import DEFAULT_WORKSPACE_BYTES, CompiledEngine, CompileRequest, compile_onnx
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.flavours import Flavour
from edgefer.engine.workspace import LEAST_FREE_BYTES, SHARE, Workspace, bounded, free_memory
from edgefer.errors import EnvironmentMismatch, UsageError
from edgefer.size import size
from edgefer_export.spec import BuildSpec

GIB = 1 << 30
ORIN = Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 * GIB, integrated=True)
DESKTOP = Gpu(name="RTX", compute_capability="8.9", memory_bytes=24 * GIB)


def meminfo(folder: Path, free_bytes: int) -> Path:
    path = folder / "meminfo"
    path.write_text(f"MemTotal: 7801234 kB\nMemFree: 100 kB\nMemAvailable: {free_bytes // 1024} kB\nSwapFree: 9 kB\n")
    return path


def test_a_device_that_shares_its_memory_gives_a_share_of_what_is_free(tmp_path: Path) -> None:
    found = bounded(GIB, ORIN, meminfo(tmp_path, GIB))
    assert found == Workspace(asked_bytes=GIB, given_bytes=int(GIB * SHARE), free_bytes=GIB)
    assert "bounded to 512 MiB of the 1024 MiB asked for" in found.warning


def test_where_enough_is_free_it_gets_what_was_asked_for(tmp_path: Path) -> None:
    found = bounded(GIB, ORIN, meminfo(tmp_path, 4 * GIB))
    assert (found.given_bytes, found.warning) == (GIB, "")


@pytest.mark.parametrize("gpu", [DESKTOP, None])
def test_the_hosts_memory_does_not_matter_to_others(gpu: Gpu | None, tmp_path: Path) -> None:
    assert bounded(GIB, gpu, meminfo(tmp_path, 1 << 20)) == Workspace(asked_bytes=GIB, given_bytes=GIB)


def test_too_little_to_try_is_said_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMismatch, match="255 MiB of memory are free") as caught:
        bounded(GIB, ORIN, meminfo(tmp_path, LEAST_FREE_BYTES - (1 << 20)))
    assert "at least 256 MiB" in caught.value.message
    assert "edgefer cache import" in caught.value.hint
    assert bounded(GIB, ORIN, meminfo(tmp_path, LEAST_FREE_BYTES)).given_bytes == LEAST_FREE_BYTES * SHARE


@pytest.mark.parametrize("text", ["", "MemFree: 1 kB\n", "MemAvailable:\n", "MemAvailable: much kB\n"])
def test_where_nobody_says_what_is_free_nothing_is_bounded(text: str, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert free_memory(tmp_path / "meminfo") is None
    assert free_memory(tmp_path / "none") is None
    assert bounded(GIB, ORIN, tmp_path / "meminfo").given_bytes == GIB


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="only Linux has it")
def test_this_machine_says_what_is_free() -> None:
    free = free_memory()
    assert free is not None
    assert 1 << 20 < free < 1 << 50


def test_the_builder_is_given_the_bound_and_the_report_has_both(
    make_graph: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the child's own function, because a GPU that shares memory can only be made up in this process."""
    import sys

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "stand_ins" / "building"))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    path = meminfo(tmp_path, GIB)
    monkeypatch.setattr(worker, "cuda_driver", lambda: CudaDriver(version="12.6", gpus=(ORIN,)))
    monkeypatch.setattr(worker, "bounded", lambda asked, gpu: bounded(asked, gpu, path))

    def child(free: int) -> int:
        meminfo(tmp_path, free)
        (tmp_path / "graph.onnx").write_bytes(make_graph())
        request = {"flavour": "tensorrt", "batches": [1], "workspace_bytes": 600 << 20}
        (tmp_path / "request.json").write_text(json.dumps(request))
        return worker.main([str(tmp_path)])

    try:
        assert child(GIB) == 0
        report = json.loads((tmp_path / "report.json").read_text())
        assert json.loads((tmp_path / "engine.plan").read_text())["workspace"] == 512 << 20
        assert report["workspace_bytes"] == 600 << 20
        assert report["workspace"] == {"asked_bytes": 600 << 20, "given_bytes": 512 << 20, "free_bytes": GIB}
        assert any("bounded to 512 MiB" in warning for warning in report["warnings"])
        (tmp_path / "engine.plan").unlink()
        assert child(1 << 20) == 1
        assert json.loads((tmp_path / "failure.json").read_text())["kind"] == "EnvironmentMismatch"
        assert not (tmp_path / "engine.plan").exists()
    finally:
        sys.modules.pop("tensorrt", None)


def test_a_real_report_says_what_the_builder_was_given(make_graph: Callable[..., bytes]) -> None:
    pytest.importorskip("tensorrt_rtx")
    report = compile_onnx(make_graph(), CompileRequest("tensorrt_rtx", workspace_bytes=1 << 28)).report
    assert report.workspace == Workspace(asked_bytes=1 << 28, given_bytes=1 << 28)


def test_a_bundle_is_compiled_and_found_with_the_limit_asked_for(
    tiny_bundle: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = CudaDriver(version="12.6", gpus=(ORIN,))
    asked: list[int] = []

    def compile_(onnx: bytes, request: CompileRequest, **named: object) -> CompiledEngine:
        asked.append(request.workspace_bytes)
        assert named["timing"] == tmp_path / "timing"
        return stand_in_engine(f"plan {request.workspace_bytes}".encode())

    monkeypatch.setattr(bundle_engine, "cuda_driver", lambda: driver)
    monkeypatch.setattr(bundle_engine, "detect", lambda name, driver: Flavour("tensorrt", None, "10.3.0"))
    monkeypatch.setattr(bundle_work, "compile_onnx", compile_)
    cache = EngineCache(tmp_path)

    def built(limit: int | None) -> bool:
        return compile_bundle(tiny_bundle, plugins="inline", cache=cache, workspace_bytes=limit).cached  # type: ignore[arg-type]

    assert [built(limit) for limit in (None, 1 << 29, 1 << 29, None, DEFAULT_WORKSPACE_BYTES)] == [
        *(False, False),
        *(True, True, True),
    ]
    assert asked == [DEFAULT_WORKSPACE_BYTES, 1 << 29]
    graph = tiny_bundle.graph()  # type: ignore[attr-defined]
    for limit, there in ((None, True), (1 << 29, True), (1 << 28, False)):
        found = cached_report(tiny_bundle, graph, cache=cache, plugins="inline", workspace_bytes=limit)  # type: ignore[arg-type]
        assert (found is not None) == there


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("512M", 512 * 10**6), ("512MiB", 512 << 20), ("1GiB", GIB), ("2g", 2 * 10**9), ("1.5 KiB", 1536), ("7", 7)],
)
def test_sizes_are_decimal_or_binary(text: str, bytes_: int) -> None:
    assert size(text) == bytes_
    fields = {"network": "viri-fusion", "output": "o.edgefer", "workspace": text}
    assert BuildSpec.from_fields(fields).workspace == bytes_


@pytest.mark.parametrize("value", ["much", "-1", "5iB", "0", True, ""])
def test_what_is_no_workspace_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="workspace"):
        BuildSpec.from_fields({"network": "viri-fusion", "output": "o.edgefer", "workspace": value})


def test_a_workspace_without_an_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="builds none"):
        BuildSpec.from_fields({"network": "viri-fusion", "output": "o.edgefer", "workspace": "1GiB", "flavour": "none"})
