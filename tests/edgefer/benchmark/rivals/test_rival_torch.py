"""ONNX graphs in PyTorch: every operator against onnxruntime, what is refused, and what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgefer.benchmark.rivals import torch_compiled
from edgefer.benchmark.rivals.rival import Absent, Prepared, Task
from edgefer.benchmark.rivals.torch_compiled import TorchCompileRival
from edgefer.benchmark.rivals.torch_graph import Unsupported, module_of
from edgefer.bundle.container import Bundle
from edgefer.errors import EdgeferError
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
numpy_helper, parser = (pytest.importorskip(f"onnx.{name}") for name in ("numpy_helper", "parser"))
pytest.importorskip("onnxruntime")

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
V = np.random.default_rng(1).standard_normal((2, 6)).astype(np.float32)


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def graph(body: str, weights: dict[str, Any], outputs: str = "float[a,b,c,d] y") -> bytes:
    model = parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 19]>\ng (float[2,4,6,6] x, float[2,6] v) => ({outputs}) {{ {body} }}'
    )
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items())
    return bytes(model.SerializeToString())


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "convolution": (
        "y = Conv <strides = [2, 1], pads = [1, 2, 1, 2], dilations = [1, 2], group = 2> (x, w, b)",
        {"w": draw(6, 2, 3, 3), "b": draw(6)},
    ),
    "convolution without bias": ("y = Conv (x, w)", {"w": draw(3, 4, 1, 1)}),
    "pool": ("y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)", {}),
    "global pool": ("y = GlobalAveragePool (x)", {}),
    "linear": ("y = Gemm <transB = 1> (v, w, b)", {"w": draw(5, 6), "b": draw(5)}),
    "linear twice the bias": ("y = Gemm <transB = 1, beta = 2.0> (v, w, b)", {"w": draw(5, 6), "b": draw(5)}),
    "linear plain": ("y = Gemm (v, w)", {"w": draw(6, 5)}),
    "matmul": ("y = MatMul (v, w)", {"w": draw(6, 5)}),
    "norm": (
        "y = BatchNormalization <epsilon = 0.01> (x, s, o, m, n)",
        {"s": draw(4), "o": draw(4, seed=1), "m": draw(4, seed=2), "n": np.abs(draw(4, seed=3))},
    ),
    "means": ("y = ReduceMean <keepdims = 0> (x, k)", {"k": np.array([2, 3])}),
    "maxima": ("a = Constant <value = int64[1] {1}> () y = ReduceMax <keepdims = 1> (x, a)", {}),
    "elements": (
        "a = Relu (x) b = Sigmoid (x) c = Mul (a, b) d = Add (c, x) e = Sub (d, s) y = Div (e, s)",
        {"s": draw(1)},
    ),
    "shapes": (
        "p = Unsqueeze (v, k) q = Concat <axis = 2> (p, p) r = Flatten <axis = 1> (q)"
        "s, t = Split <axis = 1, num_outputs = 2> (r) y = Tanh (t)",
        {"k": np.array([2])},
    ),
    "casts": ("h = Cast <to = 10> (x) i = Identity (h) y = Cast <to = 1> (i)", {}),
    "quantised": (
        "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) w = DequantizeLinear <axis = 0> (k, t, n)"
        "y = Conv (d, w)",
        {
            "s": np.float32(0.02),
            "z": np.int8(0),
            "k": np.random.default_rng(0).integers(-127, 128, (3, 4, 1, 1)).astype(np.int8),
            "t": np.array([0.01, 0.02, 0.03], np.float32),
            "n": np.zeros(3, np.int8),
        },
    ),
    "unsigned": (
        "q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)",
        {"s": np.float32(0.01), "z": np.uint8(128)},
    ),
    "folded": ("k = Mul (a, a) y = Add (x, k)", {"a": draw(1)}),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_compute_what_onnx_says(case: str) -> None:
    body, weights = CASES[case]
    data = graph(body, weights, "float[] y" if case in ("linear",) else "y")
    runner = OnnxRuntimeRunner(data, optimise=False)
    expected = runner.run({name: value for name, value in (("x", X), ("v", V)) if name in runner.inputs})["y"]
    with torch.inference_mode():
        (found,) = module_of(data)(torch.from_numpy(X), torch.from_numpy(V))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "weights", "says"),
    [
        ("y = Elu (x)", {}, "Elu"),
        ("z = Elu (x) y = Celu (z)", {}, "Celu, Elu"),
        ("y = MaxPool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (x)", {}, "not the same on both sides"),
        ('y = Conv <auto_pad = "SAME_UPPER"> (x, w)', {"w": draw(3, 4, 3, 3)}, "auto_pad"),
        ("y = Gemm <transA = 1> (v, w)", {"w": draw(2, 5)}, "transA"),
        ("y = ReduceMean (x)", {}, "all axes"),
        ("y = Flatten <axis = 2> (x)", {}, "axis 2"),
        ("i = Cast <to = 7> (v) y = ReduceMean (x, i)", {}, "expected a constant"),
        ("y = Cast <to = 9> (x)", {}, "type 9"),
    ],
)
def test_what_cannot_be_said_is_named(body: str, weights: dict[str, Any], says: str) -> None:
    with pytest.raises(Unsupported, match=says):
        module_of(graph(body, weights, "y"))


def test_compiling_is_given_up_after_its_time(
    tiny_bundle: Bundle, tiny_inputs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    absent = TorchCompileRival(seconds=0.05).prepare(Task(tiny_bundle, tiny_bundle.graph(), tiny_inputs(), before + 1))
    assert isinstance(absent, Absent)
    assert "longer than 0.05 s" in absent.reason
    assert torch.get_num_threads() == before

    def fails(*arguments: Any, **options: Any) -> None:
        raise EdgeferError("it failed with InvalidCxxCompiler", details="no compiler")

    monkeypatch.setattr(torch_compiled, "ask", fails)
    absent = TorchCompileRival().prepare(Task(tiny_bundle, tiny_bundle.graph(), tiny_inputs(), 1))
    assert isinstance(absent, Absent)
    assert "InvalidCxxCompiler no compiler" in absent.reason


@pytest.mark.slow
def test_a_compiled_graph_answers_as_the_network_does(
    tiny_bundle: Bundle, tiny_inputs: Callable[..., Any], tiny_logits: Callable[..., Any]
) -> None:
    prepared = TorchCompileRival().prepare(Task(tiny_bundle, tiny_bundle.graph(), tiny_inputs(), 1))
    assert isinstance(prepared, Prepared), prepared
    np.testing.assert_allclose(np.asarray(prepared.run()["logits"]), tiny_logits(tiny_inputs()), atol=1e-4)
    prepared.close()
