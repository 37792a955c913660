"""The quantised graph as a whole: close to the original, portable, refused when damaged, taken by TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgefer.errors import ExportError
from edgefer.progress import Silent
from edgefer_export.quantise import METHODS, Method, QuantisedGraph, QuantiseSpec, quantise
from edgefer_export.quantise.verify import verify_qdq, verify_runs

onnx = pytest.importorskip("onnx")
numpy_helper = onnx.numpy_helper
Run = Callable[..., list[np.ndarray]]


@pytest.fixture(scope="module")
def resnet(make_resnet: Callable[..., Any]) -> Any:
    return make_resnet(seed=4)


@pytest.fixture(scope="module")
def samples(smooth: Any) -> list[dict[str, np.ndarray]]:
    return smooth(np.random.default_rng(12), 48)


@pytest.fixture(scope="module")
def quantised(resnet: Any, samples: Any) -> dict[Method, QuantisedGraph]:
    return {
        method: quantise(resnet, lambda: iter(samples[:32]), QuantiseSpec(method=method), Silent())
        for method in METHODS
    }


@pytest.mark.parametrize("method", METHODS)
def test_int8_is_close_to_fp32_on_unseen_images(
    resnet: Any, samples: Any, quantised: dict[Method, QuantisedGraph], run: Run, method: Method
) -> None:
    reference = np.concatenate([run(resnet, sample)[0] for sample in samples[32:]]).astype(np.float64)
    found = np.concatenate([run(quantised[method].model, sample)[0] for sample in samples[32:]]).astype(np.float64)
    cosine = (reference * found).sum() / np.linalg.norm(reference) / np.linalg.norm(found)
    sqnr = 10 * np.log10((reference**2).sum() / ((reference - found) ** 2).sum())
    assert cosine > 0.999
    assert sqnr > 25
    # Not the float graph again: 8 bits leave a trace.
    assert sqnr < 60


def test_every_tensor_is_within_half_a_step(quantised: dict[Method, QuantisedGraph], samples: Any, run: Run) -> None:
    """What a consumer reads differs from the float tensor by rounding alone, where nothing is clipped."""
    model = quantised["max"].model
    pairs = {
        entry.input[0]: next(other.output[0] for other in model.graph.node if entry.output[0] in other.input)
        for entry in model.graph.node
        if entry.op_type == "QuantizeLinear" and entry.input[0] not in ("visible", "infrared")
    }
    values = run(model, samples[0], [*pairs, *pairs.values()])
    for (name, _), before, after in zip(pairs.items(), values[: len(pairs)], values[len(pairs) :], strict=True):
        step = quantised["max"].ranges[name].scale
        inside = np.abs(before) <= 127 * step
        assert inside.mean() > 0.99, name
        assert np.abs(before - after)[inside].max() <= step * 0.501, name


def test_the_result_describes_itself(quantised: dict[Method, QuantisedGraph], resnet: Any) -> None:
    for method, result in quantised.items():
        assert result.count == 32
        assert result.seconds > 0
        assert result.notes == ()
        assert {value.method for value in result.ranges.values()} == {method}
        assert all(value.clipped == 0 for value in result.ranges.values()) == (method == "max")
        assert result.model.ir_version == 9
        assert [entry.version for entry in result.model.opset_import if not entry.domain] == [19]
        assert result.model.ByteSize() < 0.35 * resnet.ByteSize()
        for scale in result.ranges.values():
            assert 0 < scale.scale < scale.amax


def test_progress_counts_every_sample_of_both_passes(resnet: Any, samples: Any) -> None:
    from contextlib import contextmanager

    told: dict[str, list[int | None]] = {}

    class Counting(Silent):
        @contextmanager
        def task(self, name: str, total: int | None = None) -> Any:
            told[name] = [total, 0]

            def advance(units: int) -> None:
                told[name][1] = (told[name][1] or 0) + units

            yield advance

    class Sized:
        def __call__(self) -> Any:
            return iter(samples[:5])

        def __len__(self) -> int:
            return 5

    quantise(resnet, Sized(), QuantiseSpec(method="entropy"), Counting())
    assert told == {"calibration: ranges": [5, 5], "calibration: histograms": [5, 5]}


def replaced(model: Any, name: str, values: np.ndarray) -> Any:
    damaged = onnx.ModelProto()
    damaged.CopyFrom(model)
    tensor = next(tensor for tensor in damaged.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return damaged


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("visible_zero_point", np.array(1, np.int8), "zero point other than 0"),
        ("visible_scale", np.array(0, np.float32), "scale that is not positive"),
        ("visible_scale", np.array(np.nan, np.float32), "scale that is not positive"),
        ("fc.weight_scale", np.array([1, 1, -1, 1, 1], np.float32), "scale that is not positive"),
    ],
)
def test_parameters_that_tensorrt_refuses_are_found(
    quantised: dict[Method, QuantisedGraph], name: str, values: np.ndarray, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        verify_qdq(replaced(quantised["max"].model, name, values))


def test_unsigned_activations_are_found(make_model: Callable[..., Any]) -> None:
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="Q"),
        onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="DQ"),
    ]
    model = make_model(nodes, {"x": [4]}, {"y": [4]}, {"s": np.float32(0.1), "z": np.uint8(0)})
    with pytest.raises(ExportError, match="node 'Q' is UINT8, not INT8"):
        verify_qdq(model)


@pytest.mark.parametrize(("dtype", "message"), [(np.int32, "INT32"), (np.int8, "quantised bias")])
def test_a_quantised_bias_is_found(quantised: dict[Method, QuantisedGraph], dtype: type, message: str) -> None:
    damaged = onnx.ModelProto()
    damaged.CopyFrom(quantised["max"].model)
    damaged.graph.initializer.extend(
        [
            numpy_helper.from_array(np.ones(5, dtype), "bias"),
            numpy_helper.from_array(np.float32(1), "bias_scale"),
            numpy_helper.from_array(np.zeros((), dtype), "bias_zero"),
        ]
    )
    dequantise = onnx.helper.make_node("DequantizeLinear", ["bias", "bias_scale", "bias_zero"], ["b"], name="bias_DQ")
    damaged.graph.node.insert(0, dequantise)
    next(entry for entry in damaged.graph.node if entry.name == "fc/Gemm").input[2] = "b"
    with pytest.raises(ExportError, match=message):
        verify_qdq(damaged)


@pytest.mark.parametrize("field", ["opset", "ir_version"])
def test_another_version_is_found(quantised: dict[Method, QuantisedGraph], field: str) -> None:
    damaged = onnx.ModelProto()
    damaged.CopyFrom(quantised["max"].model)
    if field == "opset":
        damaged.opset_import[0].version = 18
    else:
        damaged.ir_version = 10
    with pytest.raises(ExportError, match="expected 19 and 9"):
        verify_qdq(damaged)


def test_a_graph_that_does_not_run_is_found(quantised: dict[Method, QuantisedGraph], samples: Any) -> None:
    damaged = onnx.ModelProto()
    damaged.CopyFrom(quantised["max"].model)
    next(entry for entry in damaged.graph.node if entry.name == "fc/Gemm").input[0] = "visible.flat"
    with pytest.raises(ExportError, match="onnxruntime says"):
        verify_runs(damaged, samples[0])


def test_an_output_that_is_not_finite_is_found(quantised: dict[Method, QuantisedGraph], samples: Any) -> None:
    damaged = replaced(quantised["max"].model, "fc.bias", np.full(5, np.nan, np.float32))
    with pytest.raises(ExportError, match="output 'logits' holds NaN"):
        verify_runs(damaged, samples[0])


def test_tensorrt_rtx_computes_every_convolution_in_int8(quantised: dict[Method, QuantisedGraph]) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgefer.engine.compile import CompileRequest, compile_onnx

    onnx_bytes = quantised["entropy"].model.SerializeToString()
    report = compile_onnx(onnx_bytes, CompileRequest("tensorrt_rtx"), timeout=300).report
    assert report.counts.convolutions == report.counts.int8_convolutions == 20
    assert any(layer.type == "gemm" and layer.precision == "int8" for layer in report.layers)


def test_tensorrt_rtx_takes_grouped_shared_zero_and_linear_weights(make_model: Callable[..., Any]) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgefer.engine.compile import CompileRequest, compile_onnx

    rng = np.random.default_rng(2)
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["x", "depthwise"], ["a"], name="depthwise", group=8, pads=[1] * 4),
        node("Conv", ["a", "grouped"], ["b"], name="grouped", group=2),
        node("GlobalAveragePool", ["b"], ["c"], name="pool"),
        node("Flatten", ["c"], ["d"], name="flatten"),
        node("Gemm", ["d", "linear"], ["e"], name="gemm_rows", transB=1),
        node("Gemm", ["e", "linear"], ["f"], name="gemm_columns"),
        node("MatMul", ["f", "linear"], ["y"], name="matmul"),
    ]
    weights = {
        "depthwise": rng.standard_normal((8, 1, 3, 3)).astype(np.float32),
        "grouped": rng.standard_normal((8, 4, 1, 1)).astype(np.float32),
        "linear": rng.standard_normal((8, 8)).astype(np.float32),
    }
    weights["grouped"][3] = 0
    model = make_model(nodes, {"x": [1, 8, 16, 16]}, {"y": [1, 8]}, weights)
    feeds = [{"x": rng.standard_normal((1, 8, 16, 16)).astype(np.float32)} for _ in range(16)]
    result = quantise(model, lambda: iter(feeds), QuantiseSpec(), Silent())
    assert len(result.quantised) == 5
    report = compile_onnx(result.model.SerializeToString(), CompileRequest("tensorrt_rtx"), timeout=300).report
    assert report.counts.int8_convolutions == report.counts.convolutions == 2
