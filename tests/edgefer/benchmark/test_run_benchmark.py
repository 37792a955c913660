"""A whole benchmark of a small bundle: every part is there, or said to be missing and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edgefer.benchmark import run
from edgefer.benchmark.result import Result
from edgefer.benchmark.run import benchmark
from edgefer.benchmark.spec import PARTS, BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.errors import BundleError, InputError, UsageError

pytest.importorskip("onnxruntime")

SHORT = BenchmarkSpec(
    device="onnxruntime",
    threads=1,
    runs=20,
    seconds=0.05,
    duration=0.5,
    rate=20,
    repeats=1,
    skip=frozenset({"compiled"}),
)


@pytest.fixture(autouse=True, scope="module")
def short_throughput() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "THROUGHPUT_SECONDS", 0.1)
        yield


@pytest.fixture(scope="module")
def result(tiny_bundle_path: Path) -> Result:
    return benchmark(tiny_bundle_path, SHORT, command=("edgefer", "benchmark"))


def test_the_subject_is_the_bundle(result: Result, tiny_bundle_path: Path) -> None:
    bundle = Bundle.read(tiny_bundle_path)
    assert result.subject.digest == bundle.digest
    assert result.subject.network == bundle.manifest.network.name
    assert result.subject.inputs == {spec.name: spec.shape for spec in bundle.graph().inputs}
    assert result.command == ("edgefer", "benchmark")


def test_closed_loops_count_their_runs(result: Result) -> None:
    kinds = [loop.settings.measured for loop in result.closed]
    assert kinds[0] == "infer"
    for loop in result.closed:
        assert len(loop.durations) == loop.latency.count >= SHORT.runs
        assert loop.settings.runner == "onnxruntime"
        assert loop.settings.threads == 1
        assert loop.started == tuple(sorted(loop.started))
        assert loop.latency.minimum <= loop.latency.p50 <= loop.latency.maximum


def test_every_frame_of_the_open_loop_is_accounted_for(result: Result) -> None:
    (loop,) = result.opened
    assert loop.arrivals == 10
    assert loop.answered + len(loop.losses) == loop.arrivals


def test_throughput_has_every_number_of_streams(result: Result) -> None:
    assert {point.settings.streams for point in result.throughput} == set(SHORT.streams)
    assert all(
        point.rate > 0 and point.interval.low <= point.rate <= point.interval.high for point in result.throughput
    )


def test_moments_enclose_the_measurement_on_one_clock(result: Result) -> None:
    moments = result.conditions.moments
    assert len(moments) >= 2
    assert moments[0].at <= result.closed[0].started[0]
    assert moments[-1].at >= result.closed[-1].started[-1]


def test_what_is_not_measured_is_said(result: Result) -> None:
    assert "--skip" in result.missing["compiled"]
    assert (result.power is None) == ("power" in result.missing)
    assert result.cold_start is not None
    assert result.memory is not None
    assert result.layers is not None


def test_a_result_survives_its_file(result: Result) -> None:
    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result


def test_parts_can_be_left_out(tiny_bundle_path: Path) -> None:
    spec = changed(SHORT, skip=frozenset(PARTS) - {"images"})
    found = benchmark(tiny_bundle_path, spec)
    assert [loop.settings.measured for loop in found.closed] in (["images"], [])
    assert not found.opened
    assert not found.throughput
    assert found.layers is None
    assert set(PARTS) - {"images"} <= set(found.missing)


def test_a_batch_that_the_graph_was_not_made_for(tiny_bundle_path: Path) -> None:
    spec = changed(SHORT, batches=(1, 7), skip=frozenset(PARTS) - {"throughput"})
    found = benchmark(tiny_bundle_path, spec)
    assert "no batch of 7" in found.missing["throughput"]
    assert {point.settings.batch for point in found.throughput} == {1}


def test_a_bundle_in_memory_has_no_cold_start(tiny_bundle: Bundle) -> None:
    spec = changed(SHORT, skip=frozenset(PARTS) - {"cold-start", "memory"})
    found = benchmark(tiny_bundle, spec)
    assert found.cold_start is None
    assert "file" in found.missing["cold-start"]
    assert "file" in found.missing["memory"]


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.edgefer"
    path.write_bytes(b"<html>")
    with pytest.raises(BundleError):
        benchmark(path, SHORT)


def test_a_graph_that_is_not_there(tiny_bundle_path: Path) -> None:
    with pytest.raises(InputError, match="saliency"):
        benchmark(tiny_bundle_path, changed(SHORT, graph="saliency"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": 3}, "runs is 3, expected 10"),
        ({"seconds": 0.0}, "seconds is 0.0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"queue": 0}, "queue is 0"),
        ({"batches": (0,)}, "batches"),
        ({"streams": ()}, "streams"),
        ({"streams": (65,)}, "1 to 64"),
        ({"skip": frozenset({"everything"})}, "no part everything"),
        ({"confidence": 1.0}, "confidence is 1.0"),
    ],
)
def test_a_specification_that_cannot_be(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        BenchmarkSpec(**change)  # type: ignore[arg-type]


def changed(spec: BenchmarkSpec, **changes: object) -> BenchmarkSpec:
    return replace(spec, **changes)  # type: ignore[arg-type]
