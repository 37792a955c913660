"""LocalGate's device code beyond its cases: the ends of the gate, a shut bottleneck, tiles, and where a NaN goes."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the reference is PyTorch")
if shutil.which("g++") is None:
    pytest.skip("no g++", allow_module_level=True)

from edgefer.kernels.forms import F32_HWC, F32_LINEAR, I8_CHW32, Form, pack  # noqa: E402
from edgefer.kernels.local_gate import ENTRIES, LocalGate, LocalGateParams, plan  # noqa: E402
from edgefer.kernels.plan import HOPPER, ORIN, Gpu  # noqa: E402
from kernels.cases.case import Buffer  # noqa: E402
from kernels.tools.emulator import Emulator  # noqa: E402

Arrays = dict[str, NDArray[Any]]
SHAPE, HIDDEN = (2, 64, 11, 13), 10


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.build(ENTRIES)


@pytest.fixture
def tensors() -> Arrays:
    rng = np.random.default_rng(1)
    return {
        "Z": rng.standard_normal(SHAPE) + rng.standard_normal((*SHAPE[:2], 1, 1)),
        "W1": rng.standard_normal((HIDDEN, 64)) / 8,
        "b1": rng.standard_normal(HIDDEN),
        "W2": rng.standard_normal((64, HIDDEN)) / 3,
        "b2": rng.standard_normal(64),
    }


def gated(
    emulator: Emulator, tensors: Arrays, form: Form = F32_HWC, *, gpu: Gpu = ORIN, schedule: str = "forward"
) -> NDArray[Any]:
    """f (N, C) in FP32; an INT8 map has the scale 1/8."""
    scale = 0.125 if form.element == "i8" else 0.0
    node = LocalGate(SHAPE, HIDDEN, form, "f32", scale)
    inputs = {name: np.ascontiguousarray(each, dtype=np.float32) for name, each in tensors.items()}
    inputs["Z"] = pack(tensors["Z"], form, scale or 1.0)
    outputs = {"f": Buffer(SHAPE[:2], np.float32)}
    return emulator.run(plan(node, gpu), LocalGateParams, inputs, outputs, schedule=schedule, seed=5)["f"]


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC])
def test_an_open_gate_doubles_the_mean_and_a_shut_one_leaves_it(
    emulator: Emulator, tensors: Arrays, form: Form
) -> None:
    means = tensors["Z"].mean(axis=(2, 3))
    opened = gated(emulator, {**tensors, "b2": np.full(64, 300.0)}, form)
    shut = gated(emulator, {**tensors, "b2": np.full(64, -300.0)}, form)
    np.testing.assert_allclose(opened, 2 * means, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shut, means, rtol=1e-5, atol=1e-5)


def test_a_bottleneck_below_zero_leaves_the_bias_alone(emulator: Emulator, tensors: Arrays) -> None:
    found = gated(emulator, {**tensors, "b1": np.full(HIDDEN, -1000.0)})
    expected = tensors["Z"].mean(axis=(2, 3)) * (1 + 1 / (1 + np.exp(-tensors["b2"])))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC])
def test_tiles_make_no_difference(emulator: Emulator, tensors: Arrays, form: Form) -> None:
    gpus = (Gpu("8.7", 1, ORIN.shared_bytes), ORIN, HOPPER)
    node = LocalGate(SHAPE, HIDDEN, form, "f32")
    grids = {tuple(launch.grid for launch in plan(node, gpu).launches) for gpu in gpus}
    assert len(grids) == 3
    found = [gated(emulator, tensors, form, gpu=gpu) for gpu in gpus]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [F32_LINEAR, I8_CHW32])
def test_schedules_make_no_difference(emulator: Emulator, tensors: Arrays, form: Form) -> None:
    found = [gated(emulator, tensors, form, schedule=schedule) for schedule in ("forward", "backward", "random")]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC])
def test_a_nan_stays_in_its_image_and_reaches_all_of_it(emulator: Emulator, tensors: Arrays, form: Form) -> None:
    clean = gated(emulator, tensors, form)
    tensors["Z"][1, 17, 10, 12] = np.nan
    found = gated(emulator, tensors, form)
    np.testing.assert_array_equal(found[0], clean[0])
    # relu keeps it, and every gate at its pixel sees every hidden activation.
    assert np.isnan(found[1]).all()
