"""Compiling full-width networks with TensorRT-RTX: what the child process, the inlining and the checks cost.

    python -m pytest benchmarks/test_bench_compile.py -s

Beside each figure stands the bare equivalent of the same run: a script that imports TensorRT, parses the same graph
(its functions inlined beforehand) and builds it. Taking the engine from the cache stands beside reading the plan.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx")

from benchmarks.interleaved import in_turn, interleaved
from benchmarks.note import note

ROUNDS, CACHED_ROUNDS = 4, 12
ADDED_SECONDS = 2.0
CACHED_SECONDS = 0.5

BARE = """
import sys
import tensorrt_rtx as trt
logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
assert trt.OnnxParser(network, logger).parse(open(sys.argv[1], "rb").read())
plan = builder.build_serialized_network(network, builder.create_builder_config())
open(sys.argv[2], "wb").write(plan)
"""


@cache
def graph(name: str, precision: str) -> bytes:
    """The exported graph, as it would be in a bundle; INT8 with ranges of random input, which cost the same."""
    from edgefer.progress import Silent
    from edgefer_export.networks import registry
    from edgefer_export.onnx_export import export_onnx, random_inputs
    from edgefer_export.quantise import QuantiseSpec, quantise

    network = registry.create(name)
    model = export_onnx(network).model
    if precision == "int8":
        feeds = [random_inputs(network.inputs, seed) for seed in range(2)]
        model = quantise(model, lambda: iter(feeds), QuantiseSpec(method="max"), Silent()).model
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["viri-fusion", "cbam-early-fusion"])
def test_compile(benchmark: Any, tmp_path: Path, name: str, precision: str) -> None:
    from edgefer.engine.compile import CompileRequest, compile_onnx
    from edgefer.engine.portable import for_parser

    onnx, request = graph(name, precision), CompileRequest("tensorrt_rtx")
    source, target = tmp_path / "graph.onnx", tmp_path / "engine.plan"
    source.write_bytes(for_parser(onnx))
    bare_command = [sys.executable, "-c", BARE, str(source), str(target)]
    engines: list[Any] = []
    pair = in_turn(
        benchmark,
        lambda: engines.append(compile_onnx(onnx, request)),
        lambda: subprocess.run(bare_command, check=True, capture_output=True),
        ROUNDS,
    )
    engine = engines[-1]
    counts = engine.report.counts
    note(
        benchmark,
        pair,
        "the same build in a bare script",
        goal=f"at most {ADDED_SECONDS:g} s more",
        met=pair.added <= ADDED_SECONDS,
        stages=engine.report.seconds,
        layers=counts.total,
        int8_convolutions=counts.int8_convolutions,
        plan_bytes=engine.report.plan_bytes,
    )
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in engine.report.seconds.items())
    print(
        f"{name} {precision}: {stages}; "
        f"{counts.total} layers, {counts.int8_convolutions} of {counts.convolutions} convolutions INT8, "
        f"{counts.reformats} reformats, {engine.report.plan_bytes / 1e6:.1f} MB"
    )


def test_cached(benchmark: Any, tmp_path: Path) -> None:
    from edgefer.engine.cache import EngineCache
    from edgefer.engine.cache_key import cache_key
    from edgefer.engine.compile import CompileRequest, compile_onnx
    from edgefer.engine.driver import cuda_driver

    onnx, request = graph("viri-fusion", "int8"), CompileRequest("tensorrt_rtx")
    engines = EngineCache(tmp_path)
    path, _, _ = engines.fetch(cache_key(onnx, request, "1", cuda_driver()), lambda: compile_onnx(onnx, request))

    def fetch() -> bool:
        return engines.fetch(cache_key(onnx, request, "1", cuda_driver()), _never)[2]

    pair = interleaved(fetch, path.read_bytes, CACHED_ROUNDS)
    assert benchmark.pedantic(fetch, rounds=1)
    note(
        benchmark,
        pair,
        "reading the plan",
        goal=f"at most {CACHED_SECONDS:g} s",
        met=pair.ours <= CACHED_SECONDS,
    )


def _never() -> Any:
    raise AssertionError("the engine should have been in the cache")
