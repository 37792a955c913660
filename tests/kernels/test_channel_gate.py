"""The channel gate's device code beyond its cases: gates at their ends, one launch against two, what a NaN reaches."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefer.kernels.channel_gate import ENTRIES, ChannelGate, ChannelGateParams, plan
from edgefer.kernels.forms import DTYPES, F16_HWC, F32_HWC, F32_LINEAR, I8_CHW32, Form, pack, unpack
from edgefer.kernels.plan import HOPPER, ORIN, Gpu, Plan
from kernels.cases.case import Buffer
from kernels.tools.emulator import Emulator, Schedule

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")

Array = NDArray[Any]
SHAPE = (2, 64, 9, 7)
FORMS = (F32_LINEAR, F32_HWC)
SMALL = Gpu("8.7", 1, 12_288)
"""Room for the gates, and for no copy of X."""


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.build(ENTRIES)


def node(form: Form = F32_HWC, shape: tuple[int, int, int, int] = SHAPE, **options: Any) -> ChannelGate:
    return replace(ChannelGate(shape, 4, form, form, "f16" if form.element == "f16" else "f32"), **options)


def weights(told: ChannelGate) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    channels, hidden = told.shape[1], told.hidden
    return {
        "W1": rng.standard_normal((hidden, channels)) / np.sqrt(channels),
        "b1": rng.standard_normal(hidden),
        "W2": rng.standard_normal((channels, hidden)) / np.sqrt(hidden),
        "b2": rng.standard_normal(channels),
    }


def drawn(shape: tuple[int, int, int, int] = SHAPE) -> Array:
    rng = np.random.default_rng(2)
    return rng.standard_normal(shape) + rng.standard_normal((*shape[:2], 1, 1))


def gated(
    emulator: Emulator,
    told: ChannelGate,
    x: Array,
    numbers: dict[str, Array],
    *,
    planned: Plan | None = None,
    schedule: Schedule = "forward",
) -> Array:
    """Y (N, C, H, W) in float64; INT8 in steps."""
    inputs = {name: np.ascontiguousarray(array, DTYPES[told.weights]) for name, array in numbers.items()}
    inputs["X"] = pack(x, told.form, told.x_scale or 1.0)
    outputs = {"Y": Buffer((x.size,), DTYPES[told.output.element])}
    found = emulator.run(planned or plan(told, ORIN), ChannelGateParams, inputs, outputs, schedule=schedule, seed=5)
    return unpack(found["Y"], told.output, told.shape)


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
@pytest.mark.parametrize("form", FORMS)
def test_open_gates_let_everything_through_and_shut_ones_nothing(emulator: Emulator, form: Form, gate: str) -> None:
    told, x = node(form, gate=gate), drawn()
    numbers = weights(told)
    opened = gated(emulator, told, x, {**numbers, "b2": np.full(64, 60.0)})
    np.testing.assert_array_equal(opened, x.astype(np.float32))
    shut = gated(emulator, told, x, {**numbers, "b2": np.full(64, -60.0)})
    np.testing.assert_allclose(shut, 0.0, atol=1e-20)


def test_the_hard_sigmoid_is_a_line_between_its_ends(emulator: Emulator) -> None:
    told, x = node(gate="hard_sigmoid", alpha=0.25, beta=0.75), drawn()
    numbers = {**weights(told), "W2": np.zeros((64, 4)), "b2": np.linspace(-4.0, 2.0, 64)}
    expected = x * np.clip(0.25 * numbers["b2"] + 0.75, 0.0, 1.0)[:, None, None]
    np.testing.assert_allclose(gated(emulator, told, x, numbers), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("left_out", [("b1",), ("b2",), ("b1", "b2")])
def test_a_bias_that_is_left_out_is_zero(emulator: Emulator, left_out: tuple[str, ...]) -> None:
    told, x = node(), drawn()
    numbers = weights(told)
    zero = {name: np.zeros_like(array) if name in left_out else array for name, array in numbers.items()}
    without = {name: array for name, array in numbers.items() if name not in left_out}
    np.testing.assert_array_equal(gated(emulator, told, x, without), gated(emulator, told, x, zero))


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC, F16_HWC])
def test_one_launch_two_and_no_copy_give_the_same(emulator: Emulator, form: Form) -> None:
    shape = (1, 64, 26, 26)
    told, x = node(form, shape), drawn(shape)
    numbers = weights(told)
    plans = [plan(told, gpu) for gpu in (Gpu("8.7", 1, 232_448), HOPPER, SMALL)]
    assert [len(each.launches) for each in plans] == [1, 2, 2]
    assert plans[2].parameters["copied"] == 0
    found = [gated(emulator, told, x, numbers, planned=each) for each in plans]
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=2e-3 if form.element == "f16" else 2e-6, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gpu", [ORIN, HOPPER, SMALL])
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_a_nan_stays_in_its_image_and_reaches_all_of_it(emulator: Emulator, form: Form, gpu: Gpu, gate: str) -> None:
    told, x = node(form, gate=gate), drawn()
    numbers, planned = weights(told), plan(told, gpu)
    clean = gated(emulator, told, x, numbers, planned=planned)
    x[1, 17, 2, 1] = np.nan
    found = gated(emulator, told, x, numbers, planned=planned)
    np.testing.assert_array_equal(found[0], clean[0])
    assert np.isnan(found[1]).all()


def test_int8_of_both_sides_carries_its_own_scale(emulator: Emulator) -> None:
    steps = np.random.default_rng(4).integers(-128, 128, SHAPE).astype(np.float64)
    told = node(I8_CHW32, x_scale=0.5, y_scale=0.625)
    numbers = {**weights(told), "W2": np.zeros((64, 4)), "b2": np.full(64, 60.0)}
    found = gated(emulator, told, steps * 0.5, numbers)
    expected = np.clip(np.rint(steps * 0.8), -128, 127)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("gpu", [ORIN, SMALL])
def test_schedules_make_no_difference(emulator: Emulator, gpu: Gpu) -> None:
    schedules: tuple[Schedule, ...] = ("forward", "backward", "random")
    for form in (F32_LINEAR, F32_HWC, F16_HWC):
        told, x = node(form), drawn()
        numbers, planned = weights(told), plan(told, gpu)
        found = [gated(emulator, told, x, numbers, planned=planned, schedule=each) for each in schedules]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
