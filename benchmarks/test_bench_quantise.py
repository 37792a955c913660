"""Quantising full-width `viri-fusion` at 224x224 with 64 pairs, by each method: seconds and memory.

    python -m pytest benchmarks/test_bench_quantise.py -s

Beside each figure stands the bare equivalent of the same run: the same 64 pairs through the FP32 graph in onnxruntime,
once for each pass that the method makes; and, with fewer pairs because it takes long, onnxruntime's own quantiser.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime

from benchmarks.interleaved import in_turn
from benchmarks.note import note
from benchmarks.steps import exported
from edgefer.engine.portable import for_parser
from edgefer.progress import Silent
from edgefer_export.quantise import QuantiseSpec, quantise

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")

PAIRS, FEW_PAIRS = 64, 16
ROUNDS = 3
SIZE = 224
# Of the bare passes, and seconds for what does not depend on the number of pairs. A quiet machine with 2 cores needs
# 25 ms for a bare pair, so that `max` stays below 5 s and the others below 9 s.
LIMIT_RATIO, LIMIT_FIXED = 1.7, 2.0
LIMIT_MIB = 512


@cache
def network() -> bytes:
    """The exported graph."""
    return bytes(exported().SerializeToString())


def pairs(count: int = PAIRS) -> Iterator[dict[str, np.ndarray]]:
    """Pairs of band-limited images, cheap to make: the time measured is not theirs."""
    rng = np.random.default_rng(7)
    coarse = rng.random((8, 3, 28, 28), np.float32)
    images = np.kron(coarse, np.ones((1, 1, SIZE // 28, SIZE // 28), np.float32))
    for index in range(count):
        visible, infrared = images[index % 8], images[(index + 3) % 8]
        gain = np.float32(0.5 + 0.5 * rng.random())
        yield {"visible": visible[None] * gain, "infrared": infrared[None] * gain}


@pytest.mark.parametrize("method", ["max", "percentile", "entropy"])
def test_int8(benchmark: Any, method: Any) -> None:
    """Beside the passes over the data that the method makes, by onnxruntime alone."""
    model = onnx.load_from_string(network())
    session = onnxruntime.InferenceSession(network(), providers=["CPUExecutionProvider"])
    passes = 1 if method == "max" else 2

    def bare() -> None:
        for pair in [pair for _ in range(passes) for pair in pairs()]:
            session.run(None, pair)

    results: list[Any] = []
    pair = in_turn(
        benchmark,
        lambda: results.append(quantise(model, pairs, QuantiseSpec(method=method), Silent())),
        bare,
        ROUNDS,
    )
    result, limit = results[-1], LIMIT_RATIO * pair.bare + LIMIT_FIXED
    note(
        benchmark,
        pair,
        f"{passes} bare pass{'es' if passes > 1 else ''} of the same pairs",
        goal=f"at most {LIMIT_RATIO:g} x and {LIMIT_FIXED:g} s",
        met=pair.ours < limit,
        pairs=result.count,
        quantised=len(result.quantised),
        ranges=len(result.ranges),
    )


def test_static(benchmark: Any, tmp_path: Path) -> None:
    """Beside onnxruntime's `quantize_static` with its settings for TensorRT."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model, source = onnx.load_from_string(network()), tmp_path / "source.onnx"
    # Without model-local functions, which it does not look into.
    source.write_bytes(for_parser(network()))
    operators = ["Conv", "Gemm"]

    def theirs() -> None:
        quantize_static(
            str(source),
            str(tmp_path / "int8.onnx"),
            Reader(iter(pairs(FEW_PAIRS))),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": operators,
            },
        )

    pair = in_turn(
        benchmark,
        lambda: quantise(model, lambda: pairs(FEW_PAIRS), QuantiseSpec(method="max"), Silent()),
        theirs,
        ROUNDS,
    )
    note(benchmark, pair, "onnxruntime's quantize_static", pairs=FEW_PAIRS)


class Reader:
    """What `quantize_static` asks for data."""

    def __init__(self, feeds: Iterator[dict[str, np.ndarray]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


@linux
@pytest.mark.parametrize("method", ["max", "entropy"])
def test_memory_beyond_the_model(method: Any) -> None:
    """Peak of a fresh process with 16 and with 128 pairs: what quantising adds, and that more pairs add nothing."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for count in (16, 128):
        with context.Pool(1) as pool:
            peaks[count] = pool.apply(_added, (network(), method, count))
    print(f"\n{method}: {peaks[16]:.0f} MiB above the loaded model with 16 pairs, {peaks[128]:.0f} with 128")
    assert peaks[128] < LIMIT_MIB
    assert peaks[128] < peaks[16] + 32


def _added(model_bytes: bytes, method: Any, count: int) -> float:
    model = onnx.load_from_string(model_bytes)
    quantise(model, lambda: pairs(1), QuantiseSpec(method=method), Silent())  # code and caches are no data
    before = _memory("VmRSS")
    quantise(model, lambda: pairs(count), QuantiseSpec(method=method), Silent())
    return _memory("VmHWM") - before


def _memory(field: str) -> float:
    """Resident memory of this process in MiB: now (VmRSS) or at its peak (VmHWM). Not from getrusage, whose peak is
    that of the parent at first."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+)", status)[0]) / 1024
