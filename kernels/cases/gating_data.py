"""Random data for the cases of CBAM and of the channel gate, and the judgement on their output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from edgefer.kernels.forms import Form, unpack
from edgefer.kernels.gating import GateForms
from edgefer.kernels.plan import Gpu
from kernels.cases.case import Memory, error_of
from kernels.cases.gated_data import Drawn, Shape, drawn_matrix

REACH = 40.0
"""Added to the scores of wide open gates: their sigmoid is 1 in single precision, and 0 below -REACH."""


@dataclass(frozen=True)
class DrawnMlp:
    """Two layers. A bias that is left out is None."""

    w1: Drawn
    b1: Drawn | None
    w2: Drawn
    b2: Drawn | None

    def memory(self) -> dict[str, np.ndarray]:
        """The inputs of a case."""
        tensors = {"W1": self.w1, "b1": self.b1, "W2": self.w2, "b2": self.b2}
        return {name: tensor.memory for name, tensor in tensors.items() if tensor is not None}

    def score(self, vector: torch.Tensor) -> torch.Tensor:
        """W2 relu(W1 vector + b1) + b2 for each row of `vector` (N, C)."""
        hidden = torch.relu(functional.linear(vector, self.w1.values, _values(self.b1)))
        return functional.linear(hidden, self.w2.values, _values(self.b2))


def drawn_mlp(
    rng: np.random.Generator, pooled: torch.Tensor, hidden: int, forms: GateForms, biases: str = "b1 b2"
) -> DrawnMlp:
    """Layers whose scores are about 1 for vectors like those of `pooled` (..., C), with the biases that are named."""
    w1, b1 = drawn_matrix(rng, hidden, pooled, forms.weights)
    active = torch.relu(functional.linear(pooled, w1.values, b1.values if "b1" in biases else None))
    w2, b2 = drawn_matrix(rng, pooled.shape[-1], active, forms.weights)
    return DrawnMlp(w1, b1 if "b1" in biases else None, w2, b2 if "b2" in biases else None)


def far_from_zero(bias: Drawn, score: torch.Tensor) -> Drawn:
    """The bias moved by REACH away from zero, in the direction of the mean `score` (..., length of the bias)."""
    direction = torch.where(score.reshape(-1, bias.values.numel()).mean(0) < 0, -1.0, 1.0).double()
    memory = (bias.values + REACH * direction).numpy().astype(bias.memory.dtype)
    return Drawn(memory, torch.from_numpy(memory.astype(np.float64)))


def drawn_size(rng: np.random.Generator, form: Form, output: Form) -> Shape:
    """A shape that both forms take: batches of up to five, down to one pixel."""
    multiple = math.lcm(form.channel_multiple, output.channel_multiple)
    channels = multiple * int(rng.integers(1, max(1, 192 // multiple) + 1))
    height, width = (int(rng.integers(1, 21)) for _ in range(2))
    return int(rng.choice([1, 1, 2, 3, 5])), channels, height, width


def drawn_machine(rng: np.random.Generator, gpu: Gpu) -> Gpu:
    """`gpu` with another number of multiprocessors and now and then less shared memory, so that plans differ."""
    return Gpu(
        gpu.compute_capability,
        int(rng.choice([1, 4, 8, 16, 20, 40, 132])),
        int(rng.choice([gpu.shared_bytes, gpu.shared_bytes, 101_376, 40_960])),
    )


def output_scale(form: Form, expected: torch.Tensor) -> float:
    """A scale for which the largest INT8 values saturate; 0 where the output is not INT8."""
    if form.element != "i8":
        return 0.0
    return float(np.float32(float(expected.abs().max()) / 140.0)) or 1.0


def judging(form: Form, shape: Shape, expected: torch.Tensor, scale: float) -> Callable[[Memory], str]:
    """The judgement on Y in `form`; INT8 is compared in steps of `scale`."""
    values = (expected / (scale or 1.0)).numpy()

    def judge(found: Memory) -> str:
        return error_of(form.element, unpack(found["Y"], form, shape), values)

    return judge


def _values(bias: Drawn | None) -> torch.Tensor | None:
    return None if bias is None else bias.values
