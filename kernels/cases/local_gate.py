"""Cases of LocalGate against the definition in float64, written as two point-wise convolutions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from edgefer.kernels.forms import DTYPES, Element, Form
from edgefer.kernels.local_gate import LocalGate, LocalGateParams, plan
from edgefer.kernels.plan import ORIN, Gpu
from kernels.cases.case import Buffer, Case, Memory, error_of
from kernels.cases.gated_data import KINDS, TYPED_FORMS, Kind, Shape, drawn_gpu, drawn_map, drawn_matrix, drawn_shape
from kernels.cases.gated_data import named as name_of


def base_cases(gpu: Gpu = ORIN) -> list[Case]:
    """The fused map of two trunks at 224 and at 112, corner shapes, maps of several tiles, odd bottlenecks."""
    cases = []
    for form, weights in TYPED_FORMS:
        small = 5 if form.layout == "linear" else 32
        cases += [
            case(form, weights, (1, 512, 7, 7), 128, gpu, seed=0),
            case(form, weights, (3, 256, 4, 4), 64, gpu, seed=1),
            # Several tiles of pixels in both launches, the last one ragged; a bottleneck that fills no 16 bytes.
            case(form, weights, (2, 64, 11, 13), 3, gpu, seed=2),
            case(form, weights, (2, small, 1, 1), 1, gpu, seed=3),
        ]
        for kind in KINDS[1:]:
            cases.append(case(form, weights, (2, 64, 5, 6), 16, gpu, kind=kind, seed=4))
        if form.layout == "linear":
            cases.append(case(form, weights, (2, 37, 9, 13), 9, gpu, seed=5))
    return cases


def random_cases(seed: int, count: int, gpu: Gpu = ORIN) -> Iterator[Case]:
    """Any form and weights, sizes from 1x1, any bottleneck, and any number of multiprocessors."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        form, weights = TYPED_FORMS[int(rng.integers(len(TYPED_FORMS)))]
        shape = drawn_shape(rng, form, 96)
        shape = (min(shape[0], 3), *shape[1:])
        hidden, kind = int(rng.integers(1, 40)), KINDS[int(rng.integers(len(KINDS)))]
        own_seed = int(rng.integers(1 << 30))
        yield case(form, weights, shape, hidden, drawn_gpu(rng, gpu), kind=kind, seed=own_seed)


def case(
    form: Form, weights: Element, shape: Shape, hidden: int, gpu: Gpu, *, kind: Kind = "normal", seed: int = 0
) -> Case:
    """One case with numbers drawn from `seed`."""
    rng = np.random.default_rng(seed)
    z = drawn_map(rng, shape, form, kind)
    w1, b1 = drawn_matrix(rng, hidden, z.values.permute(0, 2, 3, 1), weights)
    activations = functional.conv2d(z.values, w1.values[:, :, None, None], b1.values).relu()
    w2, b2 = drawn_matrix(rng, shape[1], activations.permute(0, 2, 3, 1), weights)
    gate = torch.sigmoid(functional.conv2d(activations, w2.values[:, :, None, None], b2.values))
    expected = (z.values + z.values * gate).mean(dim=(2, 3))

    def judge(found: Memory) -> str:
        return error_of(weights, found["f"], expected.numpy())

    node = LocalGate(shape, hidden, form, weights, z.scale)
    return Case(
        name=name_of("local_gate", form, weights, shape, f"hidden {hidden}", kind, f"{gpu.multiprocessors} SMs"),
        plan=plan(node, gpu),
        structure=LocalGateParams,
        inputs={"Z": z.memory, "W1": w1.memory, "b1": b1.memory, "W2": w2.memory, "b2": b2.memory},
        outputs={"f": Buffer(shape[:2], DTYPES[weights])},
        judge=judge,
    )
