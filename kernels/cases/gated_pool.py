"""Cases of GatedPool against the definition in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from edgefer.kernels.forms import DTYPES, Element, Form
from edgefer.kernels.gated_pool import GatedPool, GatedPoolParams, plan
from edgefer.kernels.plan import ORIN, Gpu
from kernels.cases.case import Buffer, Case, Memory, error_of
from kernels.cases.gated_data import KINDS, TYPED_FORMS, Kind, Shape, drawn_gpu, drawn_map, drawn_matrix, drawn_shape
from kernels.cases.gated_data import named as name_of


def base_cases(gpu: Gpu = ORIN) -> list[Case]:
    """The pooled maps of ResNets at 224 and 112 in every form, corner shapes, and batches of several tiles."""
    cases = []
    for form, weights in TYPED_FORMS:
        for number, shape in enumerate(((1, 512, 7, 7), (2, 512, 4, 4))):
            cases.append(case(form, weights, shape, gpu, square=number == 0, seed=number))
        # More images than a tile has; in one launch and, for the larger maps, in two.
        cases.append(case(form, weights, (19, 32, 3, 5), gpu, seed=2))
        cases.append(case(form, weights, (18, 96, 15, 17), gpu, square=True, seed=3))
        cases.append(case(form, weights, (3, 1 if form.layout == "linear" else 32, 1, 1), gpu, seed=4))
        cases += [
            case(form, weights, (2, 64, 5, 6), gpu, square=kind == "large", kind=kind, seed=5) for kind in KINDS[1:]
        ]
        if form.layout == "linear":
            # Rows of weights that do not begin at a multiple of 16 bytes.
            cases.append(case(form, weights, (5, 37, 9, 13), gpu, square=True, seed=6))
        else:
            # Channels that neither fill the last slice of the pooling launch nor a block of the one launch.
            cases.append(case(form, weights, (1, 1056, 2, 2), gpu, seed=7))
    return cases


def random_cases(seed: int, count: int, gpu: Gpu = ORIN) -> Iterator[Case]:
    """Any form and weights, sizes from 1x1, batches of one to three tiles, and any number of multiprocessors."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        form, weights = TYPED_FORMS[int(rng.integers(len(TYPED_FORMS)))]
        shape = drawn_shape(rng, form, 160)
        kind = KINDS[int(rng.integers(len(KINDS)))]
        square, own_seed = bool(rng.integers(2)), int(rng.integers(1 << 30))
        yield case(form, weights, shape, drawn_gpu(rng, gpu), square=square, kind=kind, seed=own_seed)


def case(
    form: Form, weights: Element, shape: Shape, gpu: Gpu, *, square: bool = False, kind: Kind = "normal", seed: int = 0
) -> Case:
    """One case with numbers drawn from `seed`."""
    rng = np.random.default_rng(seed)
    features = drawn_map(rng, shape, form, kind)
    pooled = features.values.mean(dim=(2, 3))
    seen = pooled.square() if square else pooled
    matrix, bias = drawn_matrix(rng, shape[1], seen, weights)
    expected = pooled * torch.sigmoid(seen @ matrix.values.T + bias.values)

    def judge(found: Memory) -> str:
        return error_of(weights, found["f"], expected.numpy())

    node = GatedPool(shape, form, weights, square, features.scale)
    return Case(
        name=name_of(
            "gated_pool", form, weights, shape, "square" if square else "", kind, f"{gpu.multiprocessors} SMs"
        ),
        plan=plan(node, gpu),
        structure=GatedPoolParams,
        inputs={"F": features.memory, "W": matrix.memory, "b": bias.memory},
        outputs={"f": Buffer(shape[:2], DTYPES[weights])},
        judge=judge,
    )
