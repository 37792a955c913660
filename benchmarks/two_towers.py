"""Bundles to measure a session with, made with onnx.helper and random weights: no PyTorch is needed to run them.

`full_width` is the size of `viri-fusion`: two ResNet-18 trunks (batch normalisation folded), a gate on each pooled
feature, and the fusion head; `small` takes about a millisecond on inputs of the same size.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import decode
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
from edgefer.runtime.session import Session

SIZE, CLASSES = 224, 5
LABELS = ("angry", "happy", "neutral", "sad", "surprise")


class _Builder:
    """Nodes and weights of a graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.parameters = 0
        self._random = np.random.default_rng(0)

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        name = f"w{len(self.weights)}"
        array = (scale * self._random.standard_normal(shape)).astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        self.parameters += array.size
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def conv(self, x: str, channels: tuple[int, int], kernel: int, stride: int = 1) -> str:
        ins, outs = channels
        weight = self.weight(outs, ins, kernel, kernel, scale=(2 / (ins * kernel * kernel)) ** 0.5)
        return self.node("Conv", x, weight, self.weight(outs, scale=0.1), strides=[stride] * 2, pads=[kernel // 2] * 4)

    def trunk(self, x: str) -> str:
        """ResNet-18 to the pooled feature (1, 512)."""
        x = self.node("Relu", self.conv(x, (3, 64), 7, 2))
        x = self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        width = 64
        for stage, channels in enumerate((64, 128, 256, 512)):
            for block in range(2):
                stride = 2 if stage and not block else 1
                y = self.node("Relu", self.conv(x, (width, channels), 3, stride))
                y = self.conv(y, (channels, channels), 3)
                shortcut = x if width == channels else self.conv(x, (width, channels), 1, stride)
                x = self.node("Relu", self.node("Add", y, shortcut))
                width = channels
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def linear(self, x: str, ins: int, outs: int) -> str:
        return self.node("Gemm", x, self.weight(outs, ins, scale=ins**-0.5), self.weight(outs), transB=1)


def full_width() -> Bundle:
    """Two ResNet-18 towers over (1, 3, 224, 224) each, gated and fused to 5 classes."""
    build = _Builder()
    features = []
    for role in ("visible", "infrared"):
        feature = build.trunk(role)
        features.append(build.node("Mul", feature, build.node("Sigmoid", build.linear(feature, 512, 512))))
    hidden = build.node("Relu", build.linear(build.node("Concat", *features, axis=1), 1024, 256))
    build.linear(hidden, 256, CLASSES)
    return _bundle(build, "two-towers")


def small() -> Bundle:
    """Two convolutions over each input, pooled: about a millisecond on two cores."""
    build = _Builder()
    features = []
    for role in ("visible", "infrared"):
        x = build.node("Relu", build.conv(role, (3, 16), 7, 2))
        x = build.node("Relu", build.conv(x, (16, 32), 3, 2))
        features.append(build.node("Flatten", build.node("GlobalAveragePool", x)))
    build.linear(build.node("Concat", *features, axis=1), 64, CLASSES)
    return _bundle(build, "small")


def with_golden(bundle: Bundle, count: int) -> Bundle:
    """The bundle with so many golden inputs, random 8-bit codes, answered by onnxruntime on this machine."""
    generator = np.random.default_rng(1)
    graph = bundle.graph()
    codes = {spec.name: generator.integers(0, 256, (count, *spec.shape[1:]), np.uint8) for spec in graph.inputs}
    feeds = {spec.name: decode(codes[spec.name], spec) for spec in graph.inputs}
    with Session(bundle, device="onnxruntime") as session:
        rows = [session.run({name: array[row : row + 1] for name, array in feeds.items()}) for row in range(count)]
    logits = np.concatenate([row["logits"] for row in rows])
    arrays = {**codes, "reference": logits, "expected": logits}
    members = {name: bytes(bundle.member(name)) for name in bundle.members}
    members |= {f"golden/{name}.npy": encode_array(array) for name, array in arrays.items()}
    golden = GoldenSpec(
        count=count,
        inputs={name: f"golden/{name}.npy" for name in codes},
        reference={"logits": "golden/reference.npy"},
        expected={"logits": "golden/expected.npy"},
        tolerance=1e-3,
    )
    return Bundle.from_members(msgspec.structs.replace(bundle.manifest, golden=golden), members)


def _bundle(build: _Builder, name: str) -> Bundle:
    build.nodes[-1].output[0] = "logits"
    shape = [1, 3, SIZE, SIZE]
    graph = helper.make_graph(
        build.nodes,
        name,
        [helper.make_tensor_value_info(role, TensorProto.FLOAT, shape) for role in ("visible", "infrared")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        build.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    spec = GraphSpec(
        role="fused",
        member="graphs/fused.onnx",
        inputs=(
            InputSpec(name="visible", role="visible", shape=tuple(shape), image=ImageSpec(colour="rgb")),
            InputSpec(name="infrared", role="infrared", shape=tuple(shape), image=ImageSpec(colour="grey")),
        ),
        outputs=(OutputSpec(name="logits", role="logits", shape=(1, CLASSES)),),
    )
    manifest = Manifest(
        network=NetworkSpec(name=name, parameters=build.parameters),
        graphs=(spec,),
        labels=LABELS,
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="made for measuring", budget=BudgetSpec()),
        provenance=Provenance(created="2026-01-01T00:00:00Z"),
    )
    return Bundle.from_members(manifest, {"graphs/fused.onnx": model.SerializeToString()})
