"""What a benchmark feeds the graph: the bundle's golden inputs where it has some, random images otherwise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import golden_feeds, normalised
from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.bundle.semantics import CAMERAS

Tensors = dict[str, npt.NDArray[np.float32]]
Frames = dict[str, npt.NDArray[np.uint8]]

FRAME_SIZES = {"visible": (720, 1280, 3), "infrared": (480, 640)}
"""What cabin cameras deliver: 1280×720 in colour, 640×480 in infrared."""

_SEED = 7


def tensors(bundle: Bundle, graph: GraphSpec) -> Tensors:
    """One example as `Session.infer` takes it: float32 (1, ...) by input name."""
    golden = golden_feeds(bundle, graph.inputs)
    generator = np.random.default_rng(_SEED)
    return {
        spec.name: np.ascontiguousarray(golden[spec.name][:1]) if spec.name in golden else _random(spec, generator)
        for spec in graph.inputs
    }


def batch(example: Tensors, size: int) -> Tensors:
    """The example repeated to a batch of `size`."""
    return {name: np.ascontiguousarray(np.repeat(value, size, axis=0)) for name, value in example.items()}


def frames(graph: GraphSpec) -> Frames:
    """Camera frames by role as OpenCV gives them: 8 bits, smooth with noise. Empty where no input is an image."""
    generator = np.random.default_rng(_SEED)
    roles = [spec.role for spec in graph.inputs if spec.image is not None and spec.role in CAMERAS]
    return {role: _frame(FRAME_SIZES[role], generator) for role in roles}


def _random(spec: InputSpec, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    shape = (1, *spec.shape[1:])
    if spec.role == "present":
        return np.ones(shape, np.float32)
    low, high = spec.image.range if spec.image is not None else (0.0, 1.0)
    return normalised(generator.uniform(low, high, shape).astype(np.float32), spec)


def _frame(shape: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    scene = 120 + 60 * np.sin(x / 37) * np.cos(y / 23)
    if len(shape) == 3:
        scene = scene[..., None]
    noisy = scene + generator.normal(0, 5, shape)
    frame: npt.NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return frame
