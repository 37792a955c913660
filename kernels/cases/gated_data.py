"""Maps and weights for the gates' cases, as memory and as the exact numbers that this memory holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from edgefer.kernels.forms import DTYPES, FORMS, Element, Form, pack, unpack
from edgefer.kernels.plan import Gpu

Kind = Literal["normal", "large", "negative", "constant", "zero"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Shape = tuple[int, int, int, int]

TYPED_FORMS: tuple[tuple[Form, Element], ...] = tuple(
    (form, weights)
    for form in FORMS
    for weights in DTYPES
    if weights != "i8" and weights == (form.element if form.element != "i8" else weights)
)
"""Every form of a map with every element type that weights have beside it."""


@dataclass(frozen=True)
class Drawn:
    """A tensor: its memory in some form, and what it holds in float64. `scale` is that of INT8, else 0."""

    memory: NDArray[Any]
    values: torch.Tensor
    scale: float = 0.0


def drawn_map(rng: np.random.Generator, shape: Shape, form: Form, kind: Kind) -> Drawn:
    """A map (N, C, H, W): of both signs, of hundreds, below zero, constant over the pixels, or nothing."""
    values = rng.standard_normal(shape) + rng.standard_normal((*shape[:2], 1, 1))
    if kind == "large":
        # Squares of larger ones would need weights that FP16 does not have, and where larger ones nearly cancel out in
        # a mean, FP32 itself is not as exact as its tolerance.
        values *= 100.0
    elif kind == "negative":
        values = -np.abs(values) - 0.5
    elif kind == "constant":
        values = np.broadcast_to(values[:, :, :1, :1], shape)
    elif kind == "zero":
        values = np.zeros(shape)
    scale = 0.0
    if form.element == "i8":
        scale = float(np.float32(max(float(np.abs(values).max()), 1.0) / 120.0))
    memory = pack(values, form, scale or 1.0)
    return Drawn(memory, torch.from_numpy(unpack(memory, form, shape, scale or 1.0)), scale)


def drawn_matrix(rng: np.random.Generator, rows: int, inputs: torch.Tensor, element: Element) -> tuple[Drawn, Drawn]:
    """A matrix of `rows` rows for `inputs` (..., K), and a bias. Their products are about 1, so that no gate is wide
    open or shut whatever the inputs, and a wrong product shows."""
    length = inputs.shape[-1]
    magnitude = float(inputs.square().mean().sqrt()) or 1.0
    weights = rng.standard_normal((rows, length)) / (np.sqrt(length) * magnitude)
    return _vector(weights, element), _vector(rng.standard_normal(rows), element)


def drawn_gpu(rng: np.random.Generator, gpu: Gpu) -> Gpu:
    """`gpu` as if it had another number of multiprocessors, so that the tiles differ."""
    return Gpu(gpu.compute_capability, int(rng.choice([1, 8, 16, 20, 40, 132])), gpu.shared_bytes)


def drawn_shape(rng: np.random.Generator, form: Form, largest_channels: int) -> Shape:
    """A shape that `form` takes: any number of channels for linear, now and then more images than a tile has."""
    multiple = form.channel_multiple
    channels = multiple * int(rng.integers(1, max(1, largest_channels // multiple) + 1))
    images = int(rng.choice([1, 1, 2, 3, 8, 17, 33]))
    height, width = (int(rng.integers(1, 16)) for _ in range(2))
    return images, channels, height, width


def named(operation: str, form: Form, weights: Element, shape: Shape, *words: str) -> str:
    """The name of a case."""
    return " ".join((operation, form.code, weights, "x".join(map(str, shape)), *(word for word in words if word)))


def _vector(values: NDArray[np.float64], element: Element) -> Drawn:
    memory = np.ascontiguousarray(values.astype(DTYPES[element]))
    return Drawn(memory, torch.from_numpy(memory.astype(np.float64)))
