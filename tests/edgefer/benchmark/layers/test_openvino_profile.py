"""OpenVINO's counters on a real small graph."""

from __future__ import annotations

import pytest

from edgefer.benchmark import stimulus
from edgefer.benchmark.layers import openvino_profile
from edgefer.benchmark.layers.rows import record
from edgefer.bundle.container import Bundle
from edgefer.errors import EdgeferError
from edgefer.runtime.openvino_library import shared_core

pytest.importorskip("openvino")
pytest.importorskip("onnx")


def compiled(bundle: Bundle, counters: bool) -> object:
    core = shared_core()
    settings = {"PERF_COUNT": counters, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(core.read_model(bundle.onnx(bundle.graph())), "CPU", settings)


def test_layers_that_ran_have_times_shapes_and_operations(tiny_bundle: Bundle) -> None:
    feeds = stimulus.tensors(tiny_bundle, tiny_bundle.graph())
    profile = openvino_profile.profile(compiled(tiny_bundle, True), feeds, runs=3, seconds=0)
    convolutions = [row for row in profile.rows if row.kind == "Convolution"]
    assert sorted(row.operations or 0 for row in convolutions) == [2 * 256 * 9, 2 * 256 * 27]
    assert all(row.precision == "fp32" and row.product for row in convolutions)
    assert all(row.traffic is not None for row in profile.rows)
    assert not any(row.kind in ("Input", "Const", "Output") for row in profile.rows)
    assert profile.interface == sum(array.nbytes for array in feeds.values()) + 4 * (5 + 8)
    assert record(profile).coverage == 0


def test_a_model_without_counters_is_an_error(tiny_bundle: Bundle) -> None:
    feeds = stimulus.tensors(tiny_bundle, tiny_bundle.graph())
    with pytest.raises(EdgeferError, match="gave no times"):
        openvino_profile.profile(compiled(tiny_bundle, False), feeds, runs=1, seconds=0)
