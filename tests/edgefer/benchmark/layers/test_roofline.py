"""The roofline: arithmetic on made-up bounds, and that bounds can be measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgefer.benchmark.layers import rates
from edgefer.benchmark.layers import roofline as roofline_module
from edgefer.benchmark.layers.roofline import Bounds, copy_bandwidth, last_cache, precisions_of, roofline
from edgefer.benchmark.layers.rows import Profile, Row
from edgefer.errors import EnvironmentMismatch

CONV = Row("a", "one", "Conv", "int8", 1.0, False, True, 8000.0, 50.0, 40.0)
ADD = Row("b", "one", "Add", "int8", 1.0, False, False, 100.0, 50.0, 0.0)
BOUNDS = Bounds(bandwidth=10.0, rates={"fp32": 100.0, "int8": 1000.0}, cache=10, method="made up")


def test_the_floor_is_the_larger_of_arithmetic_and_memory() -> None:
    found = roofline(Profile("onnxruntime-profiler", (CONV, ADD), interface=20.0), BOUNDS)
    assert found is not None
    # Products in INT8 at its rate, all else at that of floating point: 8 s + 1 s. Memory: 60 bytes at 10 a second.
    assert (found.floor, found.bound, found.operations, found.traffic) == (9.0, "compute", 8100.0, 60.0)
    slow = roofline(Profile("onnxruntime-profiler", (CONV, ADD), interface=20.0), replace(BOUNDS, bandwidth=1.0))
    assert slow is not None
    assert (slow.floor, slow.bound) == (60.0, "memory")


def test_what_fits_the_cache_is_said() -> None:
    profile = Profile("onnxruntime-profiler", (CONV,), interface=0.0)
    inside, outside = roofline(profile, replace(BOUNDS, cache=40)), roofline(profile, BOUNDS)
    assert inside is not None
    assert outside is not None
    assert "fits the last cache" in inside.method
    assert "fits the last cache" not in outside.method


def test_what_is_not_known_gives_no_roofline() -> None:
    assert roofline(Profile("compile-report", (CONV,)), BOUNDS) is None
    assert roofline(Profile("compile-report", (replace(CONV, operations=None),), interface=1.0), BOUNDS) is None
    assert roofline(Profile("compile-report", (replace(CONV, parameters=None),), interface=1.0), BOUNDS) is None


def test_int8_is_measured_where_it_is_used() -> None:
    assert precisions_of([CONV]) == ("fp32", "int8")
    assert precisions_of([ADD]) == ("fp32",)


def test_the_last_cache_is_the_largest(tmp_path: Path) -> None:
    for index, size in enumerate(("32K", "2048K", "nonsense", "1024K")):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "size").write_text(f"{size}\n")
    assert last_cache(tmp_path) == 2048 << 10
    assert last_cache(tmp_path / "nowhere") is None


def test_a_copy_is_larger_than_the_cache_and_counts_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline_module, "_LEAST", 1 << 12)
    monkeypatch.setattr(roofline_module, "_fastest", lambda step, budget: step() and 0.5)
    bandwidth, size = copy_bandwidth(2, 4 << 10)
    assert size == 16 << 10
    assert bandwidth == 2 * size / 0.5


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_products_of_both_libraries_and_precisions_run(library: rates.Library, precision: rates.Rate) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip(library)
    rates.product_of(library, precision, 1, order=16)()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EnvironmentMismatch, match="onnx") as caught:
        rates.product_of("onnxruntime", "fp32", 1)
    assert "edgefer[device]" in caught.value.hint
