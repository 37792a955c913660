"""onnxruntime's profile: events made up, and those of a real small graph."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgefer.benchmark.layers import layers, measure
from edgefer.benchmark.layers.blocks import Node
from edgefer.benchmark.layers.onnxruntime_profile import kernel_rows
from edgefer.benchmark.layers.roofline import Bounds
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.errors import EdgeferError, EnvironmentMismatch
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner


def event(name: str, kind: str, microseconds: float, *shapes: dict[str, list[int]]) -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "dur": microseconds,
        "args": {
            "op_name": kind,
            "input_type_shape": list(shapes[:-1]),
            "output_type_shape": [shapes[-1]],
            "parameter_size": "8",
        },
    }


X, Q = {"float": [1, 4]}, {"uint8": [1, 4]}


def test_kernels_are_medians_over_runs_without_the_first_ones() -> None:
    runs = [[900, 90], [10, 1], [30, 3], [20, 2]]
    events = [
        each
        for conv, move in runs
        for each in (event("/a/Conv", "Conv", conv, X, X), event("/a/Q", "QuantizeLinear", move, X, Q))
    ]
    events.append({"cat": "Session", "name": "model_run", "dur": 1000})
    rows = kernel_rows(events, 4, None, warm_up=1)
    assert [(row.name, row.reformat, row.precision) for row in rows] == [
        ("/a/Conv", False, "fp32"),
        ("/a/Q", True, "fp32"),
    ]
    assert [row.seconds for row in rows] == [pytest.approx(20e-6), pytest.approx(2e-6)]
    assert [row.block for row in rows] == ["a", "a"]
    assert rows[1].traffic == 16 + 4
    assert rows[1].parameters == 8


def test_a_kernel_in_a_loop_counts_with_all_its_turns() -> None:
    events = [event("n", "Add", microseconds, X, X) for microseconds in (1, 2, 3, 4)]
    assert kernel_rows(events, 2, None, warm_up=0)[0].seconds == pytest.approx(5e-6)
    assert kernel_rows(events[:1], 2, None, warm_up=0)[0].seconds == pytest.approx(0.5e-6)  # not taken in every run


def test_a_quantised_product_runs_in_int8_with_or_without_sign() -> None:
    row = kernel_rows([event("/a/Conv", "QLinearConv", 1, Q, Q)], 1, None, warm_up=0)[0]
    assert (row.precision, row.product) == ("int8", True)


def test_nodes_without_a_name_are_found_in_the_optimised_graph() -> None:
    optimised = [
        Node("", "Mul", ("x",), ("_inlfunc_a",)),
        Node("", "Mul", ("_inlfunc_a",), ("/fusion/Fuse_output_0",)),
        Node("", "Mul", ("/fusion/Fuse_output_0",), ("y",)),
        Node("/head/Gemm", "Gemm", ("y",), ("logits",)),
    ]
    events = [event(name, "Mul", 1, X, X) for name in ("Mul_3", "Mul_4", "Mul_9")]
    assert [row.block for row in kernel_rows(events, 1, optimised, warm_up=0)] == ["fusion", "fusion", "head"]


@pytest.mark.parametrize("device", ["onnxruntime", "openvino"])
def test_the_graph_that_a_session_runs(tiny_bundle: Bundle, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip(device)
    bounds = Bounds(bandwidth=1e9, rates={"fp32": 1e9}, cache=None, method="made up")
    monkeypatch.setattr(measure, "measure_bounds", lambda threads, precisions, library: bounds)
    found = layers(tiny_bundle, BenchmarkSpec(device=device, threads=1), runs=3, seconds=0)
    assert found.source == f"{device}-profiler"
    kinds = " ".join(layer.kind.lower() for layer in found.layers)
    assert "conv" in kinds
    assert all(layer.seconds is not None and layer.seconds >= 0 for layer in found.layers)
    assert sum(layer.share or 0 for layer in found.layers) == pytest.approx(1)
    assert found.coverage == 0
    assert found.roofline is not None
    # The two convolutions alone: 4 × 8 × 8 outputs of 3·9 and of 1·9 multiply-adds.
    assert found.roofline.operations >= 2 * 256 * (27 + 9)
    assert found.roofline.floor > 0


def test_without_onnx_there_is_a_profile_and_no_roofline(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")

    def refuse(*_: Any) -> Any:
        raise EnvironmentMismatch("no onnx")

    monkeypatch.setattr(measure, "measure_bounds", refuse)
    found = layers(tiny_bundle, BenchmarkSpec(device="onnxruntime", threads=1), runs=1, seconds=0)
    assert found.roofline is None
    assert "no roofline: no onnx" in found.note


def test_a_runner_without_a_profiler_is_refused(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Other:
        def close(self) -> None:
            closed.append(True)

    opened = SimpleNamespace(runner=Other(), name="other", why="")
    monkeypatch.setattr(measure, "open_runner", lambda device, request: opened)
    with pytest.raises(EnvironmentMismatch, match="'other' has no profiler"):
        layers(tiny_bundle, BenchmarkSpec())
    assert closed == [True]


def test_a_profile_that_cannot_be_written_or_read(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(EnvironmentMismatch, match="cannot write a profile"):
        layers(tiny_bundle, BenchmarkSpec(device="onnxruntime"), runs=1, seconds=0)


@pytest.mark.parametrize(("content", "message"), [("{", "cannot be read"), ("[]", "names no run")])
def test_a_profile_of_another_form_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    from edgefer.benchmark.layers import onnxruntime_profile

    path = tmp_path / "profile.json"
    path.write_text(content)

    class Runner(OnnxRuntimeRunner):
        def __init__(self) -> None:
            self._session = type("Session", (), {"end_profiling": staticmethod(lambda: str(path))})()

        def run(self, feeds: Any) -> dict[str, Any]:
            return {}

    with pytest.raises(EdgeferError, match=message):
        onnxruntime_profile.profile(Runner(), tmp_path, {}, runs=1, seconds=0)
