"""Memory of a session in a child, sizes of files, and a GPU's memory through a fake NVML."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgefer.benchmark import memory as memory_module
from edgefer.benchmark import memory_child
from edgefer.benchmark.child import Answer
from edgefer.benchmark.gpu_argument import from_argument
from edgefer.benchmark.memory import memory
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.errors import UsageError
from edgefer.runtime.gpu_settings import GpuSettings


def test_a_real_session(tiny_bundle_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    bundle = Bundle.read(tiny_bundle_path)
    found = memory(bundle, BenchmarkSpec(device="onnxruntime", threads=1), engine=7)
    assert found.bundle == tiny_bundle_path.stat().st_size
    assert found.graph == len(bundle.onnx(bundle.graph()))
    assert (found.engine, found.device) == (7, None)
    if sys.platform == "linux":
        assert found.host_before is not None
        assert found.host_open is not None
        assert found.host_peak is not None
        # NumPy alone is more than 10 MB; the runner's library adds to it.
        assert 10 << 20 < found.host_before < found.host_open <= found.host_peak


def test_what_the_system_does_not_tell_is_none(tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"before": None, "open": None, "peak": None, "device": None, "note": "NVML is silent"}
    asked: list[list[str]] = []

    def ask(module: str, arguments: list[str]) -> Answer:
        asked.append(arguments)
        return Answer(told, 0.0, 0.0)

    monkeypatch.setattr(memory_module, "ask", ask)
    gpu_settings = GpuSettings(priority="high", cache="plans")
    spec = BenchmarkSpec(device="cpu", threads=2, graph="fused", gpu=gpu_settings)
    found = memory(Bundle.read(tiny_bundle_path), spec)
    assert (found.host_open, found.note) == (None, "NVML is silent")
    *asked_first, gpu = asked[0]
    assert asked_first == [str(tiny_bundle_path), "cpu", "2", "fused", "20"]
    assert from_argument(gpu) == GpuSettings(priority="high", cache=str(Path("plans").absolute()))


def test_a_bundle_in_memory_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="from the bundle's file"):
        memory(tiny_bundle, BenchmarkSpec())


def test_resident_memory_is_read_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n")
    monkeypatch.setattr(memory_child, "_STATUS", status)
    assert (memory_child.resident("VmRSS"), memory_child.resident("VmHWM")) == (1 << 20, 2 << 20)
    assert memory_child.resident("VmNothing") is None
    monkeypatch.setattr(memory_child, "_STATUS", tmp_path / "nowhere")
    assert memory_child.resident("VmRSS") is None


def fake_nvml(processes: list[Any]) -> tuple[SimpleNamespace, list[str]]:
    """The part of nvidia-ml-py that is asked, and whether it was started and shut down."""
    calls: list[str] = []
    module = SimpleNamespace(
        NVMLError=type("NVMLError", (Exception,), {}),
        nvmlInit=lambda: calls.append("init"),
        nvmlShutdown=lambda: calls.append("shutdown"),
        nvmlDeviceGetHandleByIndex=lambda index: f"gpu {index}",
        nvmlDeviceGetComputeRunningProcesses=lambda handle: {"gpu 0": processes}[handle],
    )
    return module, calls


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ([SimpleNamespace(pid=1, usedGpuMemory=5), SimpleNamespace(pid=42, usedGpuMemory=7 << 20)], 7 << 20),
        ([SimpleNamespace(pid=42, usedGpuMemory=None)], None),
        ([SimpleNamespace(pid=1, usedGpuMemory=5)], None),
    ],
)
def test_memory_of_a_gpu_is_that_of_the_process(
    processes: list[Any], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, calls = fake_nvml(processes)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    held, note = memory_child.device_memory(42)
    assert held == expected
    assert bool(note) == (expected is None)
    assert calls == ["init", "shutdown"]


def test_without_nvml_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    held, note = memory_child.device_memory(42)
    assert held is None
    assert "nvidia-ml-py" in note
