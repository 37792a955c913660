"""Cases of the channel gate against the definition in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from edgefer.kernels.channel_gate import GATES, ChannelGate, ChannelGateParams, plan
from edgefer.kernels.forms import DTYPES
from edgefer.kernels.gating import COMBINATIONS, GateForms
from edgefer.kernels.plan import ORIN, Gpu
from kernels.cases.case import Buffer, Case
from kernels.cases.gated_data import KINDS, Kind, Shape, drawn_map, named
from kernels.cases.gating_data import (
    DrawnMlp,
    drawn_machine,
    drawn_mlp,
    drawn_size,
    far_from_zero,
    judging,
    output_scale,
)

STAGES = ((64, 28), (128, 14), (256, 7), (512, 4))
"""Channels, and height and width, of a ResNet's stages at 112 pixels."""


@dataclass(frozen=True)
class Options:
    """What a node is told besides its tensors, which `biases` it has, and what kind of numbers X has."""

    hidden: int = 4
    gate: str = "sigmoid"
    biases: str = "b1 b2"
    kind: Kind = "normal"


def base_cases(gpu: Gpu = ORIN) -> list[Case]:
    """The stages of a ResNet at 112 in every form, and one at 224; corner shapes; biases left out; all numbers."""
    cases = []
    for forms in COMBINATIONS:
        for channels, size in STAGES:
            cases.append(case(forms, (1, channels, size, size), Options(channels // 16), gpu, seed=size))
        least = 32 if "i8" in (forms.x.element, forms.y.element) else forms.x.channel_multiple
        for biases, shape in (("", (2, 3 * least, 9, 13)), ("b1", (3, least, 2, 3)), ("b2", (2, least, 1, 1))):
            cases.append(case(forms, shape, Options(3, GATES[1], biases), gpu, seed=len(biases)))
        cases += [
            case(forms, (2, 64, 17, 6), Options(8, GATES[number % 2], kind=kind), gpu, seed=9)
            for number, kind in enumerate(KINDS[1:])
        ]
        cases.append(case(forms, (1, 64, 56, 56), Options(4, GATES[1]), gpu, seed=10))
        # More groups of channels than threads, and an image that does not fit in shared memory.
        cases.append(case(forms, (1, 4096, 7, 7), Options(5), gpu, seed=11))
    return cases


def random_cases(seed: int, count: int, gpu: Gpu = ORIN) -> Iterator[Case]:
    """Any forms, gate and biases, any hidden layer up to 40, sizes from 1x1, and variations of `gpu`."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        forms = COMBINATIONS[int(rng.integers(len(COMBINATIONS)))]
        options = Options(
            hidden=int(rng.choice([1, 2, 4, 8, int(rng.integers(1, 41))])),
            gate=GATES[int(rng.integers(len(GATES)))],
            biases=("", "b1", "b2", "b1 b2")[int(rng.integers(4))],
            kind=KINDS[int(rng.integers(len(KINDS)))],
        )
        if options.kind == "large" and "b2" not in options.biases:
            # A gate that is nearly shut has an error of 6e-8 in FP32, which hundreds make larger than the tolerance.
            options = replace(options, biases=f"{options.biases} b2".strip())
        shape = drawn_size(rng, forms.x, forms.y)
        yield case(forms, shape, options, drawn_machine(rng, gpu), seed=int(rng.integers(1 << 30)))


def reference(x: torch.Tensor, mlp: DrawnMlp, gate: str, slope: tuple[float, float]) -> torch.Tensor:
    """Y for X (N, C, H, W), all in float64; `slope` is alpha and beta of the hard sigmoid."""
    score = mlp.score(functional.adaptive_avg_pool2d(x, 1).flatten(1))
    open_ = torch.sigmoid(score) if gate == "sigmoid" else (slope[0] * score + slope[1]).clamp(0.0, 1.0)
    return x * open_[:, :, None, None]


def case(forms: GateForms, shape: Shape, options: Options, gpu: Gpu, *, seed: int = 0) -> Case:
    """One case with numbers drawn from `seed`. Of "large" numbers all gates with a bias are wide open or shut."""
    rng = np.random.default_rng(seed)
    x = drawn_map(rng, shape, forms.x, options.kind)
    average = x.values.mean((2, 3))
    mlp = drawn_mlp(rng, average, options.hidden, forms, options.biases)
    if options.kind == "large" and mlp.b2 is not None:
        mlp = replace(mlp, b2=far_from_zero(mlp.b2, mlp.score(average)))
    slope = (float(np.float32(rng.uniform(0.1, 0.5))), float(np.float32(rng.uniform(0.3, 0.7))))
    expected = reference(x.values, mlp, options.gate, slope)
    scale = output_scale(forms.y, expected)
    node = ChannelGate(shape, options.hidden, forms.x, forms.y, forms.weights, options.gate, *slope, x.scale, scale)
    words = [f"hidden {options.hidden}", options.gate, options.biases, options.kind]
    words += [f"{gpu.multiprocessors} SMs", f"{gpu.shared_bytes} B"]
    return Case(
        name=named("channel_gate", forms.y, forms.weights, shape, f"from {forms.x.code}", *words),
        plan=plan(node, gpu),
        structure=ChannelGateParams,
        inputs={"X": x.memory, **mlp.memory()},
        outputs={"Y": Buffer((x.memory.size,), DTYPES[forms.y.element])},
        judge=judging(forms.y, shape, expected, scale),
    )
