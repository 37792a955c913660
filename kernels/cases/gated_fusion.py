"""Cases of GatedFusion against the definition in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgefer.kernels.forms import DTYPES, Element, Form
from edgefer.kernels.gated_fusion import GatedFusion, GatedFusionParams, plan
from edgefer.kernels.plan import ORIN, Gpu
from kernels.cases.case import Buffer, Case, Memory, error_of
from kernels.cases.gated_data import KINDS, TYPED_FORMS, Kind, Shape, drawn_gpu, drawn_map, drawn_matrix, drawn_shape
from kernels.cases.gated_data import named as name_of

EVERY_PRESENCE = np.array(list(product((0.0, 1.0), repeat=2)))
"""Both cameras, either, none."""


@dataclass(frozen=True)
class Draw:
    """What a case is made of. `infrared` is the size of the infrared map where it differs; `mask` the type of P.

    P repeats `EVERY_PRESENCE` over the images, or holds numbers of any size where `soft`.
    """

    form: Form
    weights: Element
    shape: Shape
    infrared: tuple[int, int] | None = None
    square: tuple[bool, bool] = (True, True)
    interleave: bool = True
    mask: Element | None = None
    soft: bool = False
    kind: Kind = "normal"
    seed: int = 0


def base_cases(gpu: Gpu = ORIN) -> list[Case]:
    """The towers of ResNets at 224 and 112 in every form, masks in all combinations, corner shapes, several tiles."""
    cases = []
    for form, weights in TYPED_FORMS:
        draw = Draw(form, weights, (1, 512, 7, 7))
        small = 3 if form.layout == "linear" else 32
        cases += [
            case(draw, gpu),
            case(replace(draw, shape=(2, 512, 4, 4), square=(True, False), interleave=False, seed=1), gpu),
            case(replace(draw, shape=(4, 64, 3, 3), mask=weights, square=(False, True), seed=2), gpu),
            case(replace(draw, shape=(4, 64, 3, 3), mask="f32", interleave=False, seed=3), gpu),
            case(replace(draw, shape=(19, 32, 5, 3), mask="f16", soft=True, infrared=(2, 9), seed=4), gpu),
            case(replace(draw, shape=(17, 96, 15, 17), infrared=(1, 1), mask=weights, seed=5), gpu),
            case(replace(draw, shape=(1, small, 1, 1), interleave=False, seed=6), gpu),
        ]
        for kind in KINDS[1:]:
            cases.append(case(replace(draw, shape=(2, 64, 5, 6), kind=kind, seed=7), gpu))
        if form.layout == "linear":
            cases.append(case(replace(draw, shape=(5, 37, 9, 13), infrared=(3, 4), mask=weights, seed=8), gpu))
    return cases


def random_cases(seed: int, count: int, gpu: Gpu = ORIN) -> Iterator[Case]:
    """Any form, weights and attributes, maps of two sizes, batches of one to three tiles, any number of
    multiprocessors."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        form, weights = TYPED_FORMS[int(rng.integers(len(TYPED_FORMS)))]
        masks: tuple[Element | None, ...] = (None, "f32", "f16")
        draw = Draw(
            form,
            weights,
            drawn_shape(rng, form, 128),
            infrared=(int(rng.integers(1, 12)), int(rng.integers(1, 12))) if rng.integers(2) else None,
            square=(bool(rng.integers(2)), bool(rng.integers(2))),
            interleave=bool(rng.integers(2)),
            mask=masks[int(rng.integers(3))],
            soft=bool(rng.integers(2)),
            kind=KINDS[int(rng.integers(len(KINDS)))],
            seed=int(rng.integers(1 << 30)),
        )
        yield case(draw, drawn_gpu(rng, gpu))


def case(draw: Draw, gpu: Gpu) -> Case:
    """One case with numbers drawn from its seed."""
    rng = np.random.default_rng(draw.seed)
    shape, element = draw.shape, draw.weights
    infrared_shape: Shape = shape if draw.infrared is None else (*shape[:2], *draw.infrared)
    inputs: dict[str, NDArray[Any]] = {}
    scales, halves = [], []
    for letter, size, square in zip("vi", (shape, infrared_shape), draw.square, strict=True):
        features = drawn_map(rng, size, draw.form, draw.kind)
        pooled = features.values.mean(dim=(2, 3))
        seen = pooled.square() if square else pooled
        matrix, bias = drawn_matrix(rng, shape[1], seen, element)
        halves.append(pooled * torch.sigmoid(seen @ matrix.values.T + bias.values))
        scales.append(features.scale)
        inputs.update({f"F{letter}": features.memory, f"W{letter}": matrix.memory, f"b{letter}": bias.memory})
    if draw.mask is not None:
        mask = _mask(rng, shape[0], soft=draw.soft).astype(DTYPES[draw.mask])
        inputs["P"] = np.ascontiguousarray(mask)
        halves = [half * torch.from_numpy(mask[:, k : k + 1].astype(np.float64)) for k, half in enumerate(halves)]
    expected = torch.stack(halves, dim=2).flatten(1) if draw.interleave else torch.cat(halves, dim=1)

    def judge(found: Memory) -> str:
        return error_of(element, found["f"], expected.numpy())

    node = GatedFusion(
        shape, infrared_shape, draw.form, element, draw.mask, *draw.square, draw.interleave, scales[0], scales[1]
    )
    return Case(
        name=_name(draw, gpu),
        plan=plan(node, gpu),
        structure=GatedFusionParams,
        inputs=inputs,
        outputs={"f": Buffer((shape[0], 2 * shape[1]), DTYPES[element])},
        judge=judge,
    )


def _mask(rng: np.random.Generator, images: int, *, soft: bool) -> NDArray[np.float64]:
    if soft:
        return rng.uniform(-2.0, 2.0, (images, 2))
    return np.resize(EVERY_PRESENCE, (images, 2))


def _name(draw: Draw, gpu: Gpu) -> str:
    squares = "".join("sp"[not square] for square in draw.square)
    return name_of(
        "gated_fusion",
        draw.form,
        draw.weights,
        draw.shape,
        "" if draw.infrared is None else "beside {}x{}".format(*draw.infrared),
        f"squares {squares}",
        "interleaved" if draw.interleave else "",
        "" if draw.mask is None else f"{'soft' if draw.soft else 'hard'} mask {draw.mask}",
        draw.kind,
        f"{gpu.multiprocessors} SMs",
    )
