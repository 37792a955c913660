"""Small graphs and smooth images for the quantiser's tests, made without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

Feed = dict[str, np.ndarray]


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fresh seed, printed so that a failure can be repeated."""
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """`make_model(nodes, inputs, outputs, weights)`: a checked model, from `helper.make_node` nodes."""
    return _make_model


@pytest.fixture(scope="session")
def make_resnet() -> Callable[..., Any]:
    """`make_resnet(seed, width, size)`: a two-camera residual network, batch norm folded, 5 logits."""
    return _make_resnet


@pytest.fixture(scope="session")
def smooth() -> Callable[..., list[Feed]]:
    """`smooth(rng, count, shape)`: pairs of band-limited images, with contrast and brightness of their own."""
    return _smooth


@pytest.fixture(scope="session")
def replay() -> Callable[[list[Feed]], Callable[[], Iterator[Feed]]]:
    """Feeds that give the same list each time."""
    return lambda samples: lambda: iter(samples)


@pytest.fixture(scope="session")
def run() -> Callable[..., list[np.ndarray]]:
    """`run(model, feed, names=None)`: outputs, or any tensors of the main graph, with optimisations off."""
    return _run


def _make_model(
    nodes: list[Any],
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
    weights: dict[str, np.ndarray],
    functions: list[Any] | None = None,
) -> Any:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 19)] + ([onnx.helper.make_opsetid("edgefer", 1)] if functions else [])
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions or [])
    onnx.checker.check_model(model, full_check=True)
    return model


def _make_resnet(seed: int = 0, width: int = 16, size: int = 32) -> Any:
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    weights: dict[str, np.ndarray] = {}

    def conv(source: str, name: str, channels: tuple[int, int], kernel: int, stride: int, gain: float = 2.0) -> str:
        shape = (channels[1], channels[0], kernel, kernel)
        spread = np.exp(rng.normal(0, 0.3, (channels[1], 1, 1, 1)))  # as folded batch norms leave it
        deviation = np.sqrt(gain / (channels[0] * kernel * kernel))
        weights[f"{name}.weight"] = (rng.standard_normal(shape) * spread * deviation).astype(np.float32)
        weights[f"{name}.bias"] = (rng.standard_normal(channels[1]) * 0.1).astype(np.float32)
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        pads = [kernel // 2] * 4
        nodes.append(
            onnx.helper.make_node("Conv", inputs, [name], name=f"{name}/Conv", strides=[stride] * 2, pads=pads)
        )
        return name

    def relu(source: str) -> str:
        nodes.append(onnx.helper.make_node("Relu", [source], [f"{source}.relu"], name=f"{source}/Relu"))
        return f"{source}.relu"

    features = []
    for camera in ("visible", "infrared"):
        x = relu(conv(camera, f"{camera}.stem", (3, width), 3, 2))
        channels = width
        for stage, out in enumerate((width, 2 * width)):
            for block in range(2):
                name, stride = f"{camera}.{stage}.{block}", 2 if stage and not block else 1
                y = relu(conv(x, f"{name}.a", (channels, out), 3, stride))
                y = conv(y, f"{name}.b", (out, out), 3, 1, 0.5)
                same = stride == 1 and channels == out
                identity = x if same else conv(x, f"{name}.down", (channels, out), 1, stride, 1.0)
                nodes.append(onnx.helper.make_node("Add", [y, identity], [f"{name}.sum"], name=f"{name}/Add"))
                x, channels = relu(f"{name}.sum"), out
        nodes.append(onnx.helper.make_node("GlobalAveragePool", [x], [f"{camera}.mean"], name=f"{camera}/Mean"))
        nodes.append(onnx.helper.make_node("Flatten", [f"{camera}.mean"], [f"{camera}.flat"], name=f"{camera}/Flatten"))
        features.append(f"{camera}.flat")
    nodes.append(onnx.helper.make_node("Concat", features, ["features"], name="Concat", axis=1))
    classifier = ["features", "fc.weight", "fc.bias"]
    nodes.append(onnx.helper.make_node("Gemm", classifier, ["logits"], name="fc/Gemm", transB=1))
    weights["fc.weight"] = (rng.standard_normal((5, 4 * width)) / np.sqrt(4 * width)).astype(np.float32)
    weights["fc.bias"] = np.zeros(5, np.float32)
    shape = [1, 3, size, size]
    return _make_model(nodes, {"visible": shape, "infrared": shape}, {"logits": [1, 5]}, weights)


def _smooth(rng: np.random.Generator, count: int, size: int = 32) -> list[Feed]:
    return [{name: _image(rng, size) for name in ("visible", "infrared")} for _ in range(count)]


def _image(rng: np.random.Generator, size: int) -> np.ndarray:
    squared = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2
    spectrum = np.fft.rfft2(rng.standard_normal((3, size, size))) * np.exp(-2 * squared * (np.pi * 2) ** 2)
    image = np.fft.irfft2(spectrum, s=(size, size))
    image = image / image.std() * rng.uniform(0.5, 1) + rng.uniform(-0.5, 0.5)
    return np.asarray(image[None], np.float32)


def _run(model: Any, feed: Feed, names: list[str] | None = None) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    if names is not None:
        wanted = onnx.ModelProto()
        wanted.CopyFrom(model)
        del wanted.graph.output[:]
        wanted.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
        )
        model = wanted
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(names, feed))
