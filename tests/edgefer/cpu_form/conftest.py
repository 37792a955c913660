"""Quantised graphs as the quantiser writes them, made with onnx.helper: symmetric signed Q/DQ, float biases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GoldenSpec
from edgefer.runtime.cpu_form.cache import FormCache
from edgefer.runtime.cpu_form.choose import LEFT_OUT_OF_FORMS
from edgefer.runtime.cpu_form.features import CpuFeatures

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402


class Drawing:
    """A graph in the making. Each method gives the name of the tensor that it adds."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], f"n{len(self.nodes)}", **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = array
        return name

    def quantised(self, x: str, scale: float) -> str:
        """x through Q and DQ."""
        pair = [self.constant(np.array(scale, np.float32)), self.constant(np.array(0, np.int8))]
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *pair), *pair)

    def integers(self, shape: tuple[int, ...], axis: int, gain: float) -> str:
        """Random INT8 weights behind a DQ, with a scale for each channel of `axis`, of deviation `gain` in all."""
        terms = int(np.prod(shape)) // shape[axis]
        integers = np.clip(np.rint(self.random.normal(0, 40, shape)), -127, 127).astype(np.int8)
        scales = (gain / (40 * terms**0.5) * self.random.uniform(0.5, 1.5, shape[axis])).astype(np.float32)
        names = [self.constant(each) for each in (integers, scales, np.zeros(shape[axis], np.int8))]
        return self.node("DequantizeLinear", *names, axis=axis)

    def conv(self, x: str, shape: tuple[int, int, int, int], gain: float = 1.0, **attributes: Any) -> str:
        bias = self.constant(self.random.normal(0, 0.3, shape[0]).astype(np.float32))
        return self.node("Conv", x, self.integers(shape, 0, gain), bias, **attributes)

    def model(
        self, inputs: dict[str, tuple[int | str, ...]], outputs: dict[str, tuple[int | str, ...] | None]
    ) -> bytes:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [value(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [value(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
        # The shape of an output may be left to be found.
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def _residual(seed: int, size: int = 12, width: int = 16, batch: int = 1) -> bytes:
    """A residual network (batch, 3, size, size) -> logits (batch, 5): a stem with a pool, two blocks, one with a
    shortcut convolution, a mean, Gemm and MatMul; scales and weights random, so that some tensors saturate."""
    draw = Drawing(seed)

    def scale() -> float:
        return float(draw.random.uniform(1.5, 4) / 127)

    x = draw.quantised("image", 1 / 127)
    x = draw.node("Relu", draw.conv(x, (width, 3, 3, 3), pads=[1, 1, 1, 1]))
    x = draw.quantised(draw.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), scale())
    for wide, stride in ((width, 1), (2 * width, 2)):
        narrow = width
        y = draw.conv(x, (wide, narrow, 3, 3), pads=[1, 1, 1, 1], strides=[stride] * 2)
        y = draw.quantised(draw.node("Relu", y), scale())
        y = draw.conv(y, (wide, wide, 3, 3), pads=[1, 1, 1, 1])
        shortcut = x if stride == 1 else draw.conv(x, (wide, narrow, 1, 1), strides=[stride] * 2)
        x = draw.quantised(draw.node("Relu", draw.node("Add", y, shortcut)), scale())
    x = draw.node("Flatten", draw.node("GlobalAveragePool", draw.conv(x, (width, 2 * width, 1, 1))))
    x = draw.quantised(x, scale())
    bias = draw.constant(draw.random.normal(0, 0.3, 8).astype(np.float32))
    x = draw.node("Gemm", x, draw.integers((8, width), 0, 1.0), bias, transB=1)
    draw.node("MatMul", draw.quantised(x, scale()), draw.integers((8, 5), 1, 1.0))
    draw.nodes[-1].output[0] = "logits"
    return draw.model({"image": (batch, 3, size, size)}, {"logits": (batch, 5)})


def _run(model: bytes, feeds: dict[str, np.ndarray], *, literal: bool = False) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if literal:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(LEFT_OUT_OF_FORMS)
    )
    return list(session.run(None, feeds))


def _tiny(seed: int = 0) -> bytes:
    """The inputs and outputs of the tiny bundle, quantised."""
    draw = Drawing(seed)
    features = []
    for role, channels in (("visible", 3), ("infrared", 1)):
        x = draw.conv(draw.quantised(role, 1 / 127), (16, channels, 3, 3), pads=[1, 1, 1, 1])
        x = draw.quantised(draw.node("Relu", x), 3 / 127)
        x = draw.node("Relu", draw.conv(x, (4, 16, 3, 3), pads=[1, 1, 1, 1]))
        features.append(draw.node("Flatten", draw.node("GlobalAveragePool", x)))
    draw.node("Concat", *features, axis=1)
    draw.nodes[-1].output[0] = "embedding"
    bias = draw.constant(draw.random.normal(0, 0.3, 5).astype(np.float32))
    draw.node("Gemm", draw.quantised("embedding", 2 / 127), draw.integers((5, 8), 0, 1.0), bias, transB=1)
    draw.nodes[-1].output[0] = "logits"
    return draw.model({"visible": (1, 3, 8, 8), "infrared": (1, 1, 8, 8)}, {"logits": (1, 5), "embedding": (1, 8)})


@pytest.fixture(scope="session")
def drawing() -> type[Drawing]:
    """The class `Drawing`: a graph in the making."""
    return Drawing


@pytest.fixture(scope="session")
def residual() -> Callable[..., bytes]:
    """`residual(seed, size=12, width=16, batch=1)`: a quantised residual network, image -> logits."""
    return _residual


@pytest.fixture(scope="session")
def run() -> Callable[..., list[np.ndarray]]:
    """`run(model, feeds, literal=False)`: the outputs in onnxruntime."""
    return _run


@pytest.fixture(scope="session")
def counts() -> Callable[[bytes], dict[str, int]]:
    """`counts(model)`: how many nodes there are of each kind."""

    def count(model: bytes) -> dict[str, int]:
        kinds = [node.op_type for node in onnx.load_from_string(model).graph.node]
        return {kind: kinds.count(kind) for kind in kinds}

    return count


@pytest.fixture(scope="session")
def int8_bundle(tiny_bundle_factory: Callable[..., Bundle]) -> Bundle:
    """The tiny bundle in INT8, with what its deployed graph answers to the golden inputs, evaluated literally."""
    return _int8_bundle(tiny_bundle_factory)


@pytest.fixture(scope="session")
def int8_bundle_that() -> Callable[..., Bundle]:
    """`int8_bundle_that(bundle, shift=0.0, precision="int8", golden=True)`: another bundle of the same graph, whose
    golden answers are off by `shift`."""
    return _changed


def _int8_bundle(factory: Callable[..., Bundle]) -> Bundle:
    return _changed(factory(onnx=_tiny()))


def _changed(bundle: Bundle, *, shift: float = 0.0, precision: str = "int8", golden: bool = True) -> Bundle:
    manifest, spec = bundle.manifest, bundle.manifest.golden
    assert spec is not None
    members = {name: bundle.member(name) for name in bundle.members}
    feeds = {name: bundle.array(member) for name, member in spec.inputs.items()}
    graph = bundle.onnx(bundle.graph())
    rows = [
        _run(graph, {name: values[row : row + 1] for name, values in feeds.items()}, literal=True)[0]
        for row in range(spec.count)
    ]
    members[spec.expected["logits"]] = encode_array(np.concatenate(rows) + np.float32(shift))
    new: GoldenSpec | None = replace(spec, tolerance=5e-2)
    if not golden:
        members = {name: content for name, content in members.items() if not name.startswith("golden/")}
        new = None
    return Bundle.from_members(replace(manifest, precision=precision, golden=new), members)


@pytest.fixture
def cache(tmp_path: Path) -> FormCache:
    """A cache of this test's own."""
    return FormCache(tmp_path / "cache")


@pytest.fixture(scope="session")
def vnni() -> CpuFeatures:
    """A CPU with what integer kernels want."""
    return CpuFeatures("x86_64", frozenset({"avx2", "avx512_vnni"}))
