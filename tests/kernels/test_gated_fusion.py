"""GatedFusion's device code beyond its cases: the order of its output, the mask, and that each tower has its own
everything."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="the reference is PyTorch")
if shutil.which("g++") is None:
    pytest.skip("no g++", allow_module_level=True)

from edgefer.kernels import gated_pool  # noqa: E402
from edgefer.kernels.forms import F16_HWC, F32_HWC, F32_LINEAR, I8_CHW32, pack  # noqa: E402
from edgefer.kernels.gated_fusion import ENTRIES, GatedFusion, GatedFusionParams, plan  # noqa: E402
from edgefer.kernels.gated_pool import GatedPool, GatedPoolParams  # noqa: E402
from edgefer.kernels.plan import ORIN  # noqa: E402
from kernels.cases.case import Buffer  # noqa: E402
from kernels.tools.emulator import Emulator  # noqa: E402

Arrays = dict[str, NDArray[Any]]
SHAPE, INFRARED = (4, 64, 5, 3), (4, 64, 2, 7)
NODE = GatedFusion(SHAPE, INFRARED, F32_HWC, "f32", square_infrared=True)


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator.build((*ENTRIES, *gated_pool.ENTRIES))


def fused(emulator: Emulator, node: GatedFusion, tensors: Arrays) -> NDArray[Any]:
    """f (N, 2C), of tensors in float64 by their names."""
    dtype = {"f32": np.float32, "f16": np.float16}
    inputs = {name: np.ascontiguousarray(each, dtype=dtype[node.weights]) for name, each in tensors.items()}
    inputs["Fv"] = pack(tensors["Fv"], node.form, node.x_scale or 1.0)
    inputs["Fi"] = pack(tensors["Fi"], node.form, node.r_scale or 1.0)
    if node.mask is not None:
        inputs["P"] = tensors["P"].astype(dtype[node.mask])
    outputs = {"f": Buffer((node.shape[0], 2 * node.shape[1]), dtype[node.weights])}
    return emulator.run(plan(node, ORIN), GatedFusionParams, inputs, outputs)["f"]


@pytest.fixture
def tensors() -> Arrays:
    rng = np.random.default_rng(1)
    drawn: Arrays = {"Fv": rng.standard_normal(SHAPE) + 0.5, "Fi": rng.standard_normal(INFRARED) - 0.5}
    for tower in "vi":
        drawn[f"W{tower}"] = rng.standard_normal((64, 64)) / 8
        drawn[f"b{tower}"] = rng.standard_normal(64)
    return drawn


@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC])
def test_interleaved_is_side_by_side_in_another_order(emulator: Emulator, tensors: Arrays, form: Any) -> None:
    node = replace(NODE, form=form)
    beside = fused(emulator, node, tensors)
    interleaved = fused(emulator, replace(node, interleave=True), tensors)
    np.testing.assert_array_equal(interleaved[:, 0::2], beside[:, :64])
    np.testing.assert_array_equal(interleaved[:, 1::2], beside[:, 64:])


def test_its_halves_are_gated_pools(emulator: Emulator, tensors: Arrays) -> None:
    found = fused(emulator, NODE, tensors)
    halves = []
    for tower, shape, square in (("v", SHAPE, False), ("i", INFRARED, True)):
        inputs = {
            "F": pack(tensors[f"F{tower}"], F32_HWC),
            "W": tensors[f"W{tower}"].astype(np.float32),
            "b": tensors[f"b{tower}"].astype(np.float32),
        }
        alone = gated_pool.plan(GatedPool(shape, F32_HWC, "f32", square), ORIN)
        halves.append(emulator.run(alone, GatedPoolParams, inputs, {"f": Buffer((4, 64), np.float32)})["f"])
    np.testing.assert_allclose(found, np.concatenate(halves, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", ["f32", "f16"])
def test_a_mask_of_ones_is_no_mask_and_one_of_zeros_leaves_nothing(
    emulator: Emulator, tensors: Arrays, mask: Any
) -> None:
    node = replace(NODE, mask=mask)
    without = fused(emulator, NODE, tensors)
    np.testing.assert_array_equal(fused(emulator, node, {**tensors, "P": np.ones((4, 2))}), without)
    np.testing.assert_array_equal(fused(emulator, node, {**tensors, "P": np.zeros((4, 2))}), 0.0)


def test_each_image_and_each_half_has_its_own_mask(emulator: Emulator, tensors: Arrays) -> None:
    mask = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -2.0], [0.0, 0.0]])
    without = fused(emulator, NODE, tensors)
    found = fused(emulator, replace(NODE, mask="f32"), {**tensors, "P": mask})
    np.testing.assert_array_equal(found[:, :64], without[:, :64] * mask[:, :1].astype(np.float32))
    np.testing.assert_array_equal(found[:, 64:], without[:, 64:] * mask[:, 1:].astype(np.float32))


def test_a_masked_tower_that_is_not_a_number_stays_none(emulator: Emulator, tensors: Arrays) -> None:
    """The definition multiplies, and NaN times 0 is NaN: what stands in for a missing camera must be finite."""
    tensors["Fi"][2] = np.nan
    tensors["P"] = np.array([[1.0, 0.0]] * 4)
    found = fused(emulator, replace(NODE, mask="f32"), tensors)
    assert np.isnan(found[2, 64:]).all()
    assert np.isfinite(found[2, :64]).all()
    np.testing.assert_array_equal(found[[0, 1, 3], 64:], 0.0)


@pytest.mark.parametrize("form", [F32_HWC, F16_HWC, F32_LINEAR])
def test_a_change_of_one_tower_leaves_the_other_half_alone(emulator: Emulator, tensors: Arrays, form: Any) -> None:
    node = replace(NODE, form=form, weights=form.element)
    before = fused(emulator, node, tensors)
    for name, same, other in (("Fv", slice(64, None), slice(64)), ("bi", slice(64), slice(64, None))):
        changed = fused(emulator, node, {**tensors, name: tensors[name] + 1.0})
        np.testing.assert_array_equal(changed[:, same], before[:, same])
        assert (changed[:, other] != before[:, other]).mean() > 0.5


def test_each_map_has_its_own_scale(emulator: Emulator, tensors: Arrays) -> None:
    node = replace(NODE, form=I8_CHW32, weights="f32", x_scale=0.03125, r_scale=0.25)
    steps = {"Fv": np.full(SHAPE, 2.0), "Fi": np.full(INFRARED, -3.0)}
    opened = {**tensors, "Wv": np.zeros((64, 64)), "Wi": np.zeros((64, 64))}
    opened.update(bv=np.full(64, 300.0), bi=np.full(64, 300.0))
    found = fused(emulator, node, {**opened, "Fv": steps["Fv"] * 0.03125, "Fi": steps["Fi"] * 0.25})
    np.testing.assert_allclose(found[:, :64], 0.0625, rtol=1e-6)
    np.testing.assert_allclose(found[:, 64:], -0.75, rtol=1e-6)
