"""CBAM's device code beyond its cases: gates at their ends, one launch against two, and what a NaN reaches."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefer.kernels.cbam import ENTRIES, Cbam, CbamParams, plan
from edgefer.kernels.forms import (
    DTYPES,
    F16_HWC,
    F32_HWC,
    F32_LINEAR,
    I8_CHW32,
    Element,
    Form,
    pack,
    unpack,
)
from edgefer.kernels.plan import HOPPER, ORIN, Gpu, Plan
from kernels.cases.case import Buffer
from kernels.tools.emulator import Emulator, Schedule

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")

Array = NDArray[Any]
SHAPE = (2, 64, 9, 7)
FORMS = (F32_LINEAR, F32_HWC)
SMALL = Gpu("8.7", 16, 20_480)
"""Room for the gates and maps, and for no copy of X."""


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.build(ENTRIES)


def node(form: Form = F32_HWC, shape: tuple[int, int, int, int] = SHAPE, **options: Any) -> Cbam:
    return replace(Cbam(shape, 4, form, form, "f16" if form.element == "f16" else "f32", kernel=3), **options)


def weights(told: Cbam, seed: int = 1) -> dict[str, Array]:
    """Random ones, of which every gate is well between open and shut."""
    rng = np.random.default_rng(seed)
    channels, hidden, kernel = told.shape[1], told.hidden, told.kernel
    shapes = {
        "W1": (hidden, channels),
        "b1": (hidden,),
        "W2": (channels, hidden),
        "b2": (channels,),
        "Ws": (1, 2, kernel, kernel),
        "bs": (1,),
    }
    return {name: rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for name, shape in shapes.items()}


def drawn(shape: tuple[int, int, int, int] = SHAPE, seed: int = 2) -> Array:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + rng.standard_normal((*shape[:2], 1, 1))


def attended(
    emulator: Emulator,
    told: Cbam,
    x: Array,
    numbers: dict[str, Array],
    *,
    added: Array | None = None,
    planned: Plan | None = None,
    schedule: Schedule = "forward",
) -> Array:
    """Y (N, C, H, W) in float64; INT8 in steps."""
    element: Element = told.weights
    inputs = {name: np.ascontiguousarray(array, DTYPES[element]) for name, array in numbers.items()}
    inputs["X"] = pack(x, told.form, told.x_scale or 1.0)
    if added is not None:
        inputs["R"] = pack(added, told.form, told.r_scale or 1.0)
    outputs = {"Y": Buffer((x.size,), DTYPES[told.output.element])}
    found = emulator.run(planned or plan(told, ORIN), CbamParams, inputs, outputs, schedule=schedule, seed=5)
    return unpack(found["Y"], told.output, told.shape)


@pytest.mark.parametrize("form", FORMS)
def test_open_gates_let_everything_through_and_shut_ones_nothing(emulator: Emulator, form: Form) -> None:
    told, x = node(form), drawn()
    numbers = weights(told)
    opened = {**numbers, "b2": np.full(64, 60.0), "bs": np.full(1, 60.0)}
    np.testing.assert_array_equal(attended(emulator, told, x, opened), x.astype(np.float32))
    channel_shut = {**opened, "b2": np.full(64, -60.0)}
    np.testing.assert_allclose(attended(emulator, told, x, channel_shut), 0.0, atol=1e-20)
    spatial_shut = {**opened, "bs": np.full(1, -60.0)}
    np.testing.assert_allclose(attended(emulator, told, x, spatial_shut), 0.0, atol=1e-20)


@pytest.mark.parametrize("form", FORMS)
def test_the_first_map_is_the_maximum_and_beyond_the_image_is_zero(emulator: Emulator, form: Form) -> None:
    told, x = node(form), drawn() - 3.0
    numbers = {**weights(told), "b2": np.full(64, 60.0), "bs": np.zeros(1)}
    for plane, reduced in enumerate((x.max(axis=1), x.mean(axis=1))):
        window = np.zeros((1, 2, 3, 3))
        window[0, plane, 0, 2] = 1.0  # what is above, to the right
        padded = np.pad(reduced, ((0, 0), (1, 1), (1, 1)))
        expected = x / (1.0 + np.exp(-padded[:, :-2, 2:]))[:, None]
        found = attended(emulator, told, x, {**numbers, "Ws": window})
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_mlp_sees_averages_and_maxima_and_adds_its_second_bias_twice(emulator: Emulator) -> None:
    told = node(hidden=4)
    x = drawn()
    numbers = {name: np.zeros_like(array) for name, array in weights(told).items()}
    # Hidden unit 0 is channel 3 and unit 1 its negative, of which the ReLU leaves one; channel 5 gets their difference.
    numbers["W1"][0, 3], numbers["W1"][1, 3] = 1.0, -1.0
    numbers["W2"][5, 0], numbers["W2"][5, 1] = 1.0, -1.0
    numbers["b2"][:] = 0.25
    numbers["bs"][:] = 60.0
    scores = np.full((2, 64), 0.5)
    scores[:, 5] += x[:, 3].mean(axis=(1, 2)) + x[:, 3].max(axis=(1, 2))
    expected = x / (1.0 + np.exp(-scores))[:, :, None, None]
    np.testing.assert_allclose(attended(emulator, told, x, numbers), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC, F16_HWC])
def test_one_launch_two_and_no_copy_give_the_same(emulator: Emulator, form: Form) -> None:
    shape = (1, 64, 24, 24)
    told, x = node(form, shape, kernel=7), drawn(shape)
    numbers = weights(told)
    plans = [plan(told, gpu) for gpu in (Gpu("8.7", 1, 232_448), HOPPER, SMALL)]
    assert [len(each.launches) for each in plans] == [1, 2, 2]
    copied = [each.parameters["copied"] for each in plans]
    assert copied == ([1, 0, 0] if form == F32_LINEAR else [1, 1, 0])
    found = [attended(emulator, told, x, numbers, planned=each) for each in plans]
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=2e-3 if form.element == "f16" else 2e-6, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gpu", [ORIN, SMALL])
def test_a_nan_stays_in_its_image_and_reaches_all_of_it(emulator: Emulator, form: Form, gpu: Gpu) -> None:
    told, x = node(form), drawn()
    numbers, planned = weights(told), plan(told, gpu)
    clean = attended(emulator, told, x, numbers, planned=planned)
    x[1, 17, 2, 1] = np.nan
    found = attended(emulator, told, x, numbers, planned=planned)
    np.testing.assert_array_equal(found[0], clean[0])
    assert np.isnan(found[1]).all()


def test_a_residual_is_added_before_the_relu(emulator: Emulator) -> None:
    told, x, added = node(residual=True), drawn(), drawn(seed=3)
    numbers = weights(told)
    plain = attended(emulator, replace(told, residual=False), x, numbers)
    summed = attended(emulator, told, x, numbers, added=added)
    active = attended(emulator, replace(told, relu=True), x, numbers, added=added)
    np.testing.assert_allclose(summed, plain + added, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(active, np.maximum(summed, 0.0))


def test_int8_of_both_sides_carries_its_own_scale(emulator: Emulator) -> None:
    steps = np.random.default_rng(4).integers(-128, 128, SHAPE).astype(np.float64)
    told = node(I8_CHW32, residual=True, x_scale=0.5, r_scale=0.25, y_scale=0.125)
    numbers = {name: np.zeros_like(array) for name, array in weights(told).items()}
    numbers |= {"b2": np.full(64, 60.0), "bs": np.full(1, 60.0)}
    found = attended(emulator, told, steps * 0.5, numbers, added=steps[::-1] * 0.25)
    expected = np.clip(np.rint((steps * 0.5 + steps[::-1] * 0.25) / 0.125), -128, 127)
    np.testing.assert_array_equal(found, expected)


def test_weights_may_lie_at_any_address(emulator: Emulator) -> None:
    # Rows of 6 weights are no multiples of 16 bytes, rows of 8 are.
    x = drawn()
    for hidden in (6, 8):
        told = node(hidden=hidden)
        numbers = weights(told)
        padded = {**numbers, "W1": np.zeros((12, 64)), "b1": np.zeros(12), "W2": np.zeros((64, 12))}
        for name in ("W1", "b1"):
            padded[name][:hidden] = numbers[name]
        padded["W2"][:, :hidden] = numbers["W2"]
        found = attended(emulator, told, x, numbers)
        expected = attended(emulator, node(hidden=12), x, padded)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gpu", [ORIN, SMALL])
def test_schedules_make_no_difference(emulator: Emulator, gpu: Gpu) -> None:
    schedules: tuple[Schedule, ...] = ("forward", "backward", "random")
    for form in (F32_LINEAR, F32_HWC, F16_HWC):
        told, x = node(form), drawn()
        numbers, planned = weights(told), plan(told, gpu)
        found = [attended(emulator, told, x, numbers, planned=planned, schedule=each) for each in schedules]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
