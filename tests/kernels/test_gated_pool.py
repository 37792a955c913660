"""GatedPool's device code beyond its cases: the gate's ends, one launch against two, and what a NaN reaches."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the reference is PyTorch")
if shutil.which("g++") is None:
    pytest.skip("no g++", allow_module_level=True)

from edgefer.kernels import gated_tower  # noqa: E402
from edgefer.kernels.forms import F16_HWC, F32_HWC, F32_LINEAR, I8_CHW32, Element, Form, pack  # noqa: E402
from edgefer.kernels.gated_pool import ENTRIES, GatedPool, GatedPoolParams, plan  # noqa: E402
from edgefer.kernels.plan import HOPPER, ORIN, Gpu  # noqa: E402
from kernels.cases.case import Buffer  # noqa: E402
from kernels.tools.emulator import Emulator  # noqa: E402

Array = NDArray[Any]
SHAPE = (2, 64, 5, 3)
DTYPE: dict[Element, Any] = {"f32": np.float32, "f16": np.float16}


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.build(ENTRIES)


def gated(
    emulator: Emulator,
    features: Array,
    weights: tuple[Array, Array],
    *,
    form: Form = F32_HWC,
    element: Element = "f32",
    square: bool = False,
    scale: float = 0.0,
    gpu: Gpu = ORIN,
) -> Array:
    """f (N, C) of `features` (N, C, H, W) under a matrix and a bias."""
    shape = features.shape
    node = GatedPool((shape[0], shape[1], shape[2], shape[3]), form, element, square, scale)
    matrix, bias = (np.ascontiguousarray(each, dtype=DTYPE[element]) for each in weights)
    inputs = {"F": pack(features, form, scale or 1.0), "W": matrix, "b": bias}
    outputs = {"f": Buffer(shape[:2], DTYPE[element])}
    return emulator.run(plan(node, gpu), GatedPoolParams, inputs, outputs)["f"]


def drawn(shape: tuple[int, int, int, int] = SHAPE) -> tuple[Array, tuple[Array, Array]]:
    rng = np.random.default_rng(1)
    features = rng.standard_normal(shape) + rng.standard_normal((*shape[:2], 1, 1))
    return features, (rng.standard_normal((shape[1], shape[1])) / 8, rng.standard_normal(shape[1]))


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC])
def test_the_gate_is_open_or_shut_where_its_bias_says_so(emulator: Emulator, form: Form, square: bool) -> None:
    features, (matrix, _) = drawn()
    means = features.astype(np.float32).mean(axis=(2, 3))
    opened = gated(emulator, features, (matrix, np.full(64, 300.0)), form=form, square=square)
    shut = gated(emulator, features, (matrix, np.full(64, -300.0)), form=form, square=square)
    np.testing.assert_allclose(opened, means, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(shut, 0.0)


@pytest.mark.parametrize("gpu", [ORIN, HOPPER])
def test_one_launch_gives_what_two_give(emulator: Emulator, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    features, weights = drawn((3, 136, 4, 5))
    node = GatedPool((3, 136, 4, 5), F16_HWC, "f16")
    assert len(plan(node, gpu).launches) == 1
    once = gated(emulator, features, weights, form=F16_HWC, element="f16", gpu=gpu)
    monkeypatch.setattr(gated_tower, "POOLED_AGAIN_BYTES", 0)
    assert len(plan(node, gpu).launches) == 2
    twice = gated(emulator, features, weights, form=F16_HWC, element="f16", gpu=gpu)
    np.testing.assert_allclose(once, twice, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC])
def test_a_nan_stays_in_its_image_and_reaches_all_of_it(emulator: Emulator, form: Form) -> None:
    features, weights = drawn()
    clean = gated(emulator, features, weights, form=form)
    features[1, 17, 2, 1] = np.nan
    found = gated(emulator, features, weights, form=form)
    np.testing.assert_array_equal(found[0], clean[0])
    # Every row of the matrix sees every channel.
    assert np.isnan(found[1]).all()


def test_the_scale_of_an_int8_map_multiplies_its_means(emulator: Emulator) -> None:
    steps = np.random.default_rng(2).integers(-128, 128, SHAPE).astype(np.float64)
    weights = np.zeros((64, 64)), np.full(64, 300.0)
    for scale in (0.5, 0.0078125):
        found = gated(emulator, steps * scale, weights, form=I8_CHW32, element="f16", scale=scale)
        expected = steps.mean(axis=(2, 3)) * scale
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * scale)


def test_schedules_make_no_difference(emulator: Emulator) -> None:
    features, (matrix, bias) = drawn((3, 136, 4, 5))
    for form in (F32_LINEAR, F32_HWC):
        node = GatedPool((3, 136, 4, 5), form, "f32")
        inputs = {"F": pack(features, form), "W": matrix.astype(np.float32), "b": bias.astype(np.float32)}
        outputs = {"f": Buffer((3, 136), np.float32)}
        found = [
            emulator.run(plan(node, ORIN), GatedPoolParams, inputs, outputs, schedule=schedule, seed=3)["f"]
            for schedule in ("forward", "backward", "random")
        ]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
