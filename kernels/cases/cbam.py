"""Cases of CBAM against the definition in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from edgefer.kernels.cbam import Cbam, CbamParams, plan
from edgefer.kernels.forms import DTYPES
from edgefer.kernels.gating import COMBINATIONS, GateForms
from edgefer.kernels.plan import ORIN, Gpu
from kernels.cases.case import Buffer, Case
from kernels.cases.gated_data import KINDS, Drawn, Kind, Shape, drawn_map, drawn_matrix, named
from kernels.cases.gating_data import (
    DrawnMlp,
    drawn_machine,
    drawn_mlp,
    drawn_size,
    far_from_zero,
    judging,
    output_scale,
)

STAGES_224 = ((64, 56), (128, 28), (256, 14), (512, 7))
STAGES_112 = ((64, 28), (128, 14), (256, 7), (512, 4))
"""Channels, and height and width, of a ResNet's stages at 224 and at 112 pixels."""


@dataclass(frozen=True)
class Options:
    """What a node is told besides its tensors, and what kind of numbers X has."""

    hidden: int = 4
    kernel: int = 7
    relu: bool = False
    residual: bool = False
    kind: Kind = "normal"


def base_cases(gpu: Gpu = ORIN) -> list[Case]:
    """The stages of ResNets at 112 in every form and at 224 in two; corner shapes; all kernel sizes and numbers."""
    cases = []
    for forms in COMBINATIONS:
        for channels, size in STAGES_112:
            options = Options(channels // 16, relu=True, residual=True)
            cases.append(case(forms, (1, channels, size, size), options, gpu, seed=size))
        if forms.x == forms.y and forms.x.layout != "linear" and forms.weights == "f16":
            for channels, size in STAGES_224:
                options = Options(channels // 16, relu=True, residual=True)
                cases.append(case(forms, (1, channels, size, size), options, gpu, seed=size))
        least = 32 if "i8" in (forms.x.element, forms.y.element) else forms.x.channel_multiple
        for kernel, shape in ((3, (2, 3 * least, 9, 13)), (5, (3, least, 2, 3)), (7, (2, least, 1, 1))):
            cases.append(case(forms, shape, Options(3, kernel), gpu, seed=kernel))
        cases += [
            case(forms, (2, 64, 17, 6), Options(8, kernel, kernel == 5, kernel == 3, kind), gpu, seed=9)
            for kernel, kind in zip((3, 5, 7, 3), KINDS[1:], strict=True)
        ]
        # Wider than what a block's maps have room for, and an image of which not even one pixel's surroundings fit.
        cases.append(case(forms, (1, least, 3, 2100), Options(2, residual=True), gpu, seed=10))
        cases.append(case(forms, (1, 4096, 7, 7), Options(5, relu=True), gpu, seed=11))
    return cases


def random_cases(seed: int, count: int, gpu: Gpu = ORIN) -> Iterator[Case]:
    """Any forms, kernel size and options, any hidden layer up to 40, sizes from 1x1, and variations of `gpu`."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        forms = COMBINATIONS[int(rng.integers(len(COMBINATIONS)))]
        options = Options(
            hidden=int(rng.choice([1, 2, 4, 8, int(rng.integers(1, 41))])),
            kernel=int(rng.choice([3, 5, 7])),
            relu=bool(rng.integers(2)),
            residual=bool(rng.integers(2)),
            kind=KINDS[int(rng.integers(len(KINDS)))],
        )
        shape = drawn_size(rng, forms.x, forms.y)
        yield case(forms, shape, options, drawn_machine(rng, gpu), seed=int(rng.integers(1 << 30)))


@dataclass(frozen=True)
class Weights:
    """The MLP, and the spatial convolution with `Ws` (1, 2, k, k)."""

    mlp: DrawnMlp
    spatial: Drawn
    bias: Drawn


def reference(x: torch.Tensor, weights: Weights, added: torch.Tensor | None, relu: bool) -> torch.Tensor:
    """Y for X (N, C, H, W), all in float64."""
    gated = x * torch.sigmoid(_channel_score(x, weights.mlp))[:, :, None, None]
    window = weights.spatial.values
    score = functional.conv2d(_maps(gated), window, weights.bias.values, padding=window.shape[-1] // 2)
    y = gated * torch.sigmoid(score)
    y = y if added is None else y + added
    return torch.relu(y) if relu else y


def case(forms: GateForms, shape: Shape, options: Options, gpu: Gpu, *, seed: int = 0) -> Case:
    """One case with numbers drawn from `seed`. Of "large" numbers gates are wide open or shut."""
    rng = np.random.default_rng(seed)
    x = drawn_map(rng, shape, forms.x, options.kind)
    weights = _weights(rng, x.values, options, forms)
    added = drawn_map(rng, shape, forms.x, "normal") if options.residual else None
    expected = reference(x.values, weights, None if added is None else added.values, options.relu)
    scale = output_scale(forms.y, expected)
    node = Cbam(
        shape,
        options.hidden,
        forms.x,
        forms.y,
        forms.weights,
        options.kernel,
        options.relu,
        options.residual,
        x.scale,
        0.0 if added is None else added.scale,
        scale,
    )
    words = [f"hidden {options.hidden}", f"{options.kernel}x{options.kernel}", "relu" if options.relu else ""]
    words += ["+R" if options.residual else "", options.kind, f"{gpu.multiprocessors} SMs", f"{gpu.shared_bytes} B"]
    inputs = {"X": x.memory, "Ws": weights.spatial.memory, "bs": weights.bias.memory, **weights.mlp.memory()}
    return Case(
        name=named("cbam", forms.y, forms.weights, shape, f"from {forms.x.code}", *words),
        plan=plan(node, gpu),
        structure=CbamParams,
        inputs=inputs if added is None else {**inputs, "R": added.memory},
        outputs={"Y": Buffer((x.memory.size,), DTYPES[forms.y.element])},
        judge=judging(forms.y, shape, expected, scale),
    )


def _channel_score(x: torch.Tensor, mlp: DrawnMlp) -> torch.Tensor:
    average = functional.adaptive_avg_pool2d(x, 1).flatten(1)
    maximum = functional.adaptive_max_pool2d(x, 1).flatten(1)
    return mlp.score(average) + mlp.score(maximum)


def _maps(gated: torch.Tensor) -> torch.Tensor:
    return torch.cat([gated.amax(1, keepdim=True), gated.mean(1, keepdim=True)], 1)


def _weights(rng: np.random.Generator, x: torch.Tensor, options: Options, forms: GateForms) -> Weights:
    pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))])
    mlp = drawn_mlp(rng, pooled, options.hidden, forms)
    if options.kind == "large" and mlp.b2 is not None:
        mlp = replace(mlp, b2=far_from_zero(mlp.b2, _channel_score(x, mlp)))
    gated = x * torch.sigmoid(_channel_score(x, mlp))[:, :, None, None]
    size = options.kernel
    windows = functional.unfold(_maps(gated), size, padding=size // 2).transpose(1, 2)
    flat, bias = drawn_matrix(rng, 1, windows, forms.weights)
    spatial = Drawn(flat.memory.reshape(1, 2, size, size), flat.values.reshape(1, 2, size, size))
    if options.kind == "large":
        bias = far_from_zero(bias, torch.ones(1))
    return Weights(mlp, spatial, bias)
