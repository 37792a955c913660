"""What tests share: a tiny valid bundle made with onnx.helper (two cameras, a convolution, a Gemm, five labels, golden
inputs), a folder that stands for "/", and a stand-in for NVML."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import (
    BudgetSpec,
    GateSpec,
    GoldenSpec,
    GraphSpec,
    ImageSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    Provenance,
)

sys.path += [str(Path(__file__).parent / "stand_ins" / part) for part in ("", "gpu", "bindings")]

LABELS = ("angry", "happy", "neutral", "sad", "surprise")


@dataclass(frozen=True)
class TinyNetwork:
    """What a tiny network looks like: logits = W [pool(relu(conv(visible))), pool(relu(conv(infrared)))] + b.

    With `mask`, the pooled features of each camera are multiplied by its column of `present`.
    """

    size: int = 8
    infrared_channels: int = 1
    mask: bool = False
    names: Mapping[str, str] = field(
        default_factory=lambda: {"visible": "visible", "infrared": "infrared", "present": "present"}
    )
    batches: tuple[int, ...] = (1,)
    role: str = "fused"
    seed: int = 0


def tiny_weights(network: TinyNetwork) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The weights by initialiser name."""
    generator = np.random.default_rng(network.seed)

    def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return generator.standard_normal(shape).astype(np.float32)

    return {
        "Wv": draw(4, 3, 3, 3),
        "Wi": draw(4, network.infrared_channels, 3, 3),
        "W": draw(5, 8),
        "b": draw(5),
    }


def tiny_onnx(network: TinyNetwork) -> bytes:
    """The network as ONNX, opset 19, IR 9."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    batch: int | str = network.batches[0] if len(network.batches) == 1 else "batch"
    names = network.names

    def tensor(role: str, channels: int) -> Any:
        return helper.make_tensor_value_info(
            names[role], TensorProto.FLOAT, [batch, channels, network.size, network.size]
        )

    inputs = [tensor("visible", 3), tensor("infrared", network.infrared_channels)]
    nodes = []
    for role, letter in (("visible", "v"), ("infrared", "i")):
        nodes += [
            helper.make_node("Conv", [names[role], f"W{letter}"], [f"c{letter}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{letter}"], [f"r{letter}"]),
            helper.make_node("GlobalAveragePool", [f"r{letter}"], [f"p{letter}"]),
            helper.make_node("Flatten", [f"p{letter}"], [f"f{letter}"]),
        ]
    features = ["fv", "fi"]
    if network.mask:
        inputs.append(helper.make_tensor_value_info(names["present"], TensorProto.FLOAT, [batch, 2]))
        nodes.append(helper.make_node("Split", [names["present"]], ["mv", "mi"], axis=1, num_outputs=2))
        nodes += [
            helper.make_node("Mul", ["fv", "mv"], ["gv"]),
            helper.make_node("Mul", ["fi", "mi"], ["gi"]),
        ]
        features = ["gv", "gi"]
    nodes += [
        helper.make_node("Concat", features, ["embedding"], axis=1),
        helper.make_node("Gemm", ["embedding", "W", "b"], ["logits"], transB=1),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 8]),
    ]
    initialisers = [numpy_helper.from_array(value, name) for name, value in tiny_weights(network).items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_graph(network: TinyNetwork) -> GraphSpec:
    """The manifest's entry for the network."""
    smallest, size = min(network.batches), network.size
    inputs = [
        InputSpec(
            name=network.names["visible"],
            role="visible",
            shape=(smallest, 3, size, size),
            image=ImageSpec(colour="rgb", band="visible"),
        ),
        InputSpec(
            name=network.names["infrared"],
            role="infrared",
            shape=(smallest, network.infrared_channels, size, size),
            image=ImageSpec(colour="grey", band="lwir"),
        ),
    ]
    if network.mask:
        inputs.append(InputSpec(name=network.names["present"], role="present", shape=(smallest, 2)))
    return GraphSpec(
        role=network.role,  # type: ignore[arg-type]
        member=f"graphs/{network.role}.onnx",
        inputs=tuple(inputs),
        outputs=(
            OutputSpec(name="logits", role="logits", shape=(smallest, 5)),
            OutputSpec(name="embedding", role="embedding", shape=(smallest, 8)),
        ),
        batches=network.batches,
    )


def tiny_reference(network: TinyNetwork, feeds: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The logits (N, 5) in float64, computed without any of the software under test."""
    weights = {name: value.astype(np.float64) for name, value in tiny_weights(network).items()}
    pooled = []
    for column, (role, kernel) in enumerate((("visible", weights["Wv"]), ("infrared", weights["Wi"]))):
        image = np.pad(feeds[network.names[role]].astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
        response = np.einsum("nchwij,ocij->nohw", windows, kernel)
        feature = np.maximum(response, 0).mean(axis=(2, 3))
        pooled.append(feature * feeds[network.names["present"]][:, column : column + 1] if network.mask else feature)
    return np.concatenate(pooled, axis=1) @ weights["W"].T + weights["b"]


def tiny_feeds(network: TinyNetwork, count: int = 1, seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Random inputs by role, (count, C, H, W) float32 in 0..1, and ones for the mask."""
    generator = np.random.default_rng(seed)
    shape = (network.size, network.size)
    feeds = {
        "visible": generator.random((count, 3, *shape), np.float32),
        "infrared": generator.random((count, network.infrared_channels, *shape), np.float32),
    }
    if network.mask:
        feeds["present"] = np.ones((count, 2), np.float32)
    return feeds


def tiny_manifest(*graphs: GraphSpec, golden: GoldenSpec | None = None) -> Manifest:
    """A valid manifest for these graphs."""
    return Manifest(
        network=NetworkSpec(name="tiny", options={"width": "0.1"}, parameters=200, source="registered"),
        graphs=graphs,
        labels=LABELS,
        precision="fp32",
        gate=GateSpec(verdict="numeric", reason="no labelled data was given", budget=BudgetSpec()),
        provenance=Provenance(created="2026-11-22T02:00:00Z", tools={"edgefer": "0.1.0"}),
        golden=golden,
    )


def make_tiny_bundle(network: TinyNetwork, *, golden: int = 4, onnx: bytes | None = None) -> Bundle:
    """A valid bundle of one tiny network with so many golden inputs; `expected` is the float64 reference."""
    members = {f"graphs/{network.role}.onnx": tiny_onnx(network) if onnx is None else onnx}
    spec = None
    if golden:
        feeds = {network.names[role]: array for role, array in tiny_feeds(network, golden, seed=7).items()}
        logits = tiny_reference(network, feeds).astype(np.float32)
        arrays = feeds | {"reference": logits, "expected": logits}
        members |= {f"golden/{name}.npy": encode_array(array) for name, array in arrays.items()}
        spec = GoldenSpec(
            count=golden,
            inputs={name: f"golden/{name}.npy" for name in feeds},
            reference={"logits": "golden/reference.npy"},
            expected={"logits": "golden/expected.npy"},
            tolerance=1e-4,
        )
    return Bundle.from_members(tiny_manifest(tiny_graph(network), golden=spec), members)


@pytest.fixture(scope="session")
def tiny_bundle() -> Bundle:
    """A bundle in memory: inputs `visible` (1,3,8,8) and `infrared` (1,1,8,8), five labels, four golden inputs."""
    return make_tiny_bundle(TinyNetwork())


@pytest.fixture(scope="session")
def tiny_bundle_path(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle as a file; not to be changed."""
    return tiny_bundle.write(tmp_path_factory.mktemp("bundle") / "tiny.edgefer")


@pytest.fixture(scope="session")
def tiny_bundle_factory() -> Callable[..., Bundle]:
    """`tiny_bundle_factory(golden=4, onnx=None, **fields of TinyNetwork)`: a bundle of another shape."""

    def make(*, golden: int = 4, onnx: bytes | None = None, **options: Any) -> Bundle:
        return make_tiny_bundle(TinyNetwork(**options), golden=golden, onnx=onnx)

    return make


@pytest.fixture(scope="session")
def tiny_inputs() -> Callable[..., dict[str, Any]]:
    """`tiny_inputs(count=1, seed=1, **fields of TinyNetwork)`: random inputs by role, (count, C, H, W) float32."""

    def make(count: int = 1, seed: int = 1, **options: Any) -> dict[str, Any]:
        return tiny_feeds(TinyNetwork(**options), count, seed)

    return make


@pytest.fixture(scope="session")
def tiny_logits() -> Callable[..., Any]:
    """`tiny_logits(inputs, **fields of TinyNetwork)`: the logits (N, 5) of the tiny network in float64."""

    def compute(inputs: Mapping[str, Any], **options: Any) -> Any:
        network = TinyNetwork(**options)
        return tiny_reference(network, {network.names[role]: array for role, array in inputs.items()})

    return compute


@pytest.fixture(scope="session")
def plain_bundle() -> Bundle:
    """A bundle whose graph is not ONNX: for tests of the file alone, which need neither onnx nor onnxruntime."""
    return make_tiny_bundle(TinyNetwork(), onnx=bytes(range(256)) * 4)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, object]], Path]:
    """`plant(files)`: a folder that stands for "/", with these contents by path; a second call adds or overwrites.

    Such trees are synthetic: written from the documentation that each test module names, not copied from machines.
    """

    def write(files: Mapping[str, object]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return write


class FakeNvml:
    """The module pynvml as NVIDIA's NVML reference describes it. Answers by function name; an exception is raised, a
    list is answered one by one, what is missing is not supported."""

    class NVMLError(Exception):
        """The base of the binding's errors."""

    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.users = 0
        self.opened: list[object] = []

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        if "nvmlInit" in self.answers:
            raise self.NVMLError(self.answers["nvmlInit"])
        self.users += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.users -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        if index >= self.answers.get("gpus", 1):
            raise self.NVMLError("Invalid Argument")
        self.opened.append(index)
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:  # noqa: N802
        self.opened.append(uuid)
        return "handle"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)

        def function(*arguments: object) -> Any:
            if name not in self.answers:
                raise self.NVMLError("Not Supported")
            answer = self.answers[name]
            if isinstance(answer, list):
                answer = answer.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments[1:]) if callable(answer) else answer

        return function


@pytest.fixture
def fake_nvml() -> type[FakeNvml]:
    """`fake_nvml(nvmlDeviceGetPowerUsage=5000, ...)`: a module to open in place of pynvml."""
    return FakeNvml
