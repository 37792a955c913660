"""A network made of edgefer's own kernels, which stands for an engine where no TensorRT can be had.

Each camera's image passes a row of channel gates, and a gated fusion of both makes the logits: some forty launches in a
row, with weights, activations and scratch memory, as an engine has them. What it answers is computed in float64 by
NumPy beside it, so that nothing but NumPy and the kernels is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from edgefer.kernels import channel_gate, gated_fusion
from edgefer.kernels.channel_gate import ChannelGate
from edgefer.kernels.forms import F32_LINEAR
from edgefer.kernels.gated_fusion import GatedFusion

Array = NDArray[np.float32]

CAMERAS = ("visible", "infrared")
LOGITS = "logits"
CHANNELS, HIDDEN = 3, 4
LABELS = ("angry", "happy", "neutral", "sad", "surprise", "disgust")
"""As many as the fusion has outputs: two for each channel."""
TOLERANCE = 1e-4
_OPEN = 3.0
"""The gates' bias: with it they are nearly open, and what passes sixteen of them is not lost in rounding."""


@dataclass(frozen=True)
class HandBuilt:
    """Its size: images of `side` x `side`, so many `gates` in a row for each camera, and the batches that it takes."""

    side: int = 224
    gates: int = 16
    batches: tuple[int, ...] = (1, 4)
    seed: int = 0

    def shape(self, batch: int) -> tuple[int, int, int, int]:
        """Of either input."""
        return (batch, CHANNELS, self.side, self.side)

    def gate(self, batch: int) -> ChannelGate:
        return ChannelGate(self.shape(batch), HIDDEN, F32_LINEAR, F32_LINEAR, "f32")

    def fusion(self, batch: int) -> GatedFusion:
        return GatedFusion(self.shape(batch), self.shape(batch), F32_LINEAR, "f32")

    def unsupported(self) -> str:
        """Why the kernels do not do it, or ""."""
        batch = max(self.batches)
        return channel_gate.unsupported(self.gate(batch)) or gated_fusion.unsupported(self.fusion(batch))

    def weights(self) -> dict[str, Array]:
        """All weights, by the field of the kernels' parameters that they go to; each gate has those of its number."""
        generator = np.random.default_rng(self.seed)

        def draw(*shape: int) -> Array:
            return generator.standard_normal(shape).astype(np.float32)

        found: dict[str, Array] = {}
        for camera in CAMERAS:
            for number in range(self.gates):
                found |= {
                    f"{camera} {number} W1": draw(HIDDEN, CHANNELS),
                    f"{camera} {number} b1": draw(HIDDEN),
                    f"{camera} {number} W2": draw(CHANNELS, HIDDEN),
                    f"{camera} {number} b2": _OPEN + draw(CHANNELS),
                }
        for letter in "vi":
            found |= {f"W{letter}": draw(CHANNELS, CHANNELS), f"b{letter}": draw(CHANNELS)}
        return found

    def reference(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """The logits (N, 6) for `feeds` (N, 3, side, side) by camera, in float64, as the operators are defined."""
        weights = {name: array.astype(np.float64) for name, array in self.weights().items()}
        halves = []
        for camera, letter in zip(CAMERAS, "vi", strict=True):
            x = feeds[camera].astype(np.float64)
            for number in range(self.gates):
                of = {field: weights[f"{camera} {number} {field}"] for field in ("W1", "b1", "W2", "b2")}
                hidden = np.maximum(x.mean(axis=(2, 3)) @ of["W1"].T + of["b1"], 0)
                x = x * _sigmoid(hidden @ of["W2"].T + of["b2"])[:, :, None, None]
            mean = x.mean(axis=(2, 3))
            halves.append(mean * _sigmoid(mean @ weights[f"W{letter}"].T + weights[f"b{letter}"]))
        return np.concatenate(halves, axis=1)

    def feeds(self, batch: int = 1, seed: int = 1) -> dict[str, Array]:
        """Random inputs in 0..1 by camera, each image and channel of a brightness of its own: the network answers with
        means, which those of plain noise all share."""
        generator = np.random.default_rng(seed)

        def bright() -> Array:
            return (0.2 + 0.8 * generator.random((batch, CHANNELS, 1, 1))).astype(np.float32)

        return {camera: bright() * generator.random(self.shape(batch), np.float32) for camera in CAMERAS}

    def bundle(self, golden: int = 4) -> Bundle:
        """A bundle for it, with golden inputs. Its graph is a stand-in that nobody may parse: the engine is here."""
        feeds = self.feeds(golden, seed=7)
        logits = self.reference(feeds).astype(np.float32)
        arrays = {**feeds, "reference": logits, "expected": logits}
        members = {"graphs/fused.onnx": b"built by hand", **_members(arrays)}
        spec = GoldenSpec(
            count=golden,
            inputs={name: f"golden/{name}.npy" for name in feeds},
            reference={LOGITS: "golden/reference.npy"},
            expected={LOGITS: "golden/expected.npy"},
            tolerance=TOLERANCE,
        )
        return Bundle.from_members(self._manifest(spec), members)

    def _manifest(self, golden: GoldenSpec) -> Manifest:
        smallest = min(self.batches)
        colours: dict[str, ImageSpec] = {"visible": ImageSpec(colour="rgb"), "infrared": ImageSpec(colour="grey")}
        graph = GraphSpec(
            role="fused",
            member="graphs/fused.onnx",
            inputs=tuple(
                InputSpec(name=camera, role=camera, shape=self.shape(smallest), image=colours[camera])  # type: ignore[arg-type]
                for camera in CAMERAS
            ),
            outputs=(OutputSpec(name=LOGITS, role="logits", shape=(smallest, 2 * CHANNELS)),),
            batches=self.batches,
        )
        return Manifest(
            network=NetworkSpec(name="hand-built", parameters=sum(array.size for array in self.weights().values())),
            graphs=(graph,),
            labels=LABELS,
            precision="fp32",
            gate=GateSpec(verdict="not-run", reason="made to check the runtime", budget=BudgetSpec()),
            provenance=Provenance(created="2026-01-01T00:00:00Z"),
            golden=golden,
        )


def _members(arrays: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    return {f"golden/{name}.npy": encode_array(array) for name, array in arrays.items()}


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))
