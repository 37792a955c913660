"""CBAM's launch plans: within a GPU's limits, complete, and refused with a reason where there is no kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.errors import UsageError
from edgefer.kernels import gating
from edgefer.kernels.cbam import ENTRIES, Cbam, bytes_moved, floor_bytes, plan, unsupported
from edgefer.kernels.forms import F16_HWC, F16_LINEAR, F32_HWC, F32_LINEAR, I8_CHW32
from edgefer.kernels.gating import COMBINATIONS
from edgefer.kernels.plan import HOPPER, ORIN, THOR, Gpu, Plan

GPUS = (ORIN, replace(ORIN, multiprocessors=8), THOR, HOPPER, Gpu("8.6", 84, 101_376))
STAGE = Cbam((1, 64, 56, 56), 4, F16_HWC, F16_HWC, "f16", relu=True, residual=True)


@st.composite
def nodes(draw: st.DrawFn) -> Cbam:
    """Any node that is supported, small sizes and limits alike."""
    forms = draw(st.sampled_from(COMBINATIONS))
    multiple = 32 if "i8" in (forms.x.element, forms.y.element) else forms.x.channel_multiple
    channels = multiple * draw(st.integers(1, gating.MAXIMUM_CHANNELS // multiple))
    width = draw(st.one_of(st.integers(1, 64), st.integers(1, 5000)))
    shape = (draw(st.integers(1, 300)), channels, draw(st.integers(1, 64)), width)
    return Cbam(
        shape,
        draw(st.integers(1, gating.MAXIMUM_HIDDEN)),
        forms.x,
        forms.y,
        forms.weights,
        kernel=draw(st.sampled_from((3, 5, 7))),
        x_scale=0.5,
        y_scale=0.25,
    )


@settings(max_examples=150, deadline=None)
@given(nodes(), st.sampled_from(GPUS))
def test_every_launch_is_one_that_the_gpu_takes(node: Cbam, gpu: Gpu) -> None:
    planned = plan(node, gpu)
    entries = {entry.name: entry for entry in ENTRIES}
    assert 1 <= len(planned.launches) <= 2
    for launch in planned.launches:
        assert launch.block == entries[launch.entry].threads
        assert 0 < launch.shared_bytes <= gpu.shared_bytes
        assert launch.grid[2] == node.batch
        assert launch.grid[1] <= 65_535


@settings(max_examples=150, deadline=None)
@given(nodes(), st.sampled_from(GPUS))
def test_bands_and_tiles_hold_every_pixel_once(node: Cbam, gpu: Gpu) -> None:
    planned = plan(node, gpu)
    values = planned.parameters
    rows, columns = int(values["tile_rows"]), int(values["tile_columns"])
    assert planned.launches[-1].grid[:2] == (-(-node.width // columns), -(-node.height // rows))
    bands, pixels = int(values["pool_bands"]), int(values["pool_pixels"])
    assert (bands - 1) * pixels < node.pixels <= bands * pixels
    if len(planned.launches) == 2:
        assert planned.launches[0].grid[:2] == (bands, 1)
        assert planned.workspace_bytes == node.batch * bands * 2 * gating.pitch(node.channels) * 4
    else:
        assert (rows, columns, values["copied"], bands) == (node.height, node.width, 1, 1)
        assert planned.workspace_bytes == 0


@settings(max_examples=60, deadline=None)
@given(nodes(), st.sampled_from(GPUS))
def test_what_is_moved_is_what_the_tiles_cover(node: Cbam, gpu: Gpu) -> None:
    node = replace(node, shape=(*node.shape[:2], min(node.height, 40), min(node.width, 40)))
    planned = plan(node, gpu)
    weights = (2 * node.channels + 1) * node.hidden + node.channels + 2 * node.kernel**2 + 1
    weight_bytes = weights * (4 if node.weights == "f32" else 2)
    again = 0
    if len(planned.launches) == 2:
        again = 2 * planned.workspace_bytes + node.batch * node.channels * node.form.size * _read(node, planned)
    assert bytes_moved(node, planned) == floor_bytes(node) + weight_bytes + again


def _read(node: Cbam, planned: Plan) -> int:
    """Pixels that all tiles with their surroundings cover, counted one by one."""
    values = planned.parameters
    rows, columns, radius = int(values["tile_rows"]), int(values["tile_columns"]), node.kernel // 2
    count = 0
    for row in range(0, node.height, rows):
        for column in range(0, node.width, columns):
            image = np.zeros((node.height, node.width), bool)
            last_row, last_column = min(row + rows, node.height), min(column + columns, node.width)
            image[max(0, row - radius) : last_row + radius, max(0, column - radius) : last_column + radius] = True
            count += int(image.sum())
    return count


def test_the_floor_is_three_tensors_and_two_without_a_residual() -> None:
    tensor = 64 * 56 * 56 * 2
    assert floor_bytes(STAGE) == 3 * tensor
    assert floor_bytes(replace(STAGE, residual=False)) == 2 * tensor
    assert floor_bytes(replace(STAGE, output=I8_CHW32)) == 2 * tensor + tensor // 2


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: f"{gpu.compute_capability}x{gpu.multiprocessors}")
def test_a_small_image_takes_one_launch_and_a_large_one_two(gpu: Gpu) -> None:
    assert len(plan(STAGE, gpu).launches) == 2
    assert len(plan(replace(STAGE, shape=(1, 512, 7, 7), hidden=32), gpu).launches) == 1


def test_a_large_batch_of_middling_images_takes_one_launch() -> None:
    # Two read X twice; one block an image keeps every multiprocessor busy all the same.
    stage = replace(STAGE, shape=(1, 256, 14, 14), hidden=16)
    assert len(plan(stage, HOPPER).launches) == 2
    assert len(plan(replace(stage, shape=(64, 256, 14, 14)), HOPPER).launches) == 1


def test_what_does_not_fit_is_read_where_it_lies() -> None:
    wide = Cbam((1, 4096, 7, 7), 16, F32_HWC, F32_HWC, "f32")
    planned = plan(wide, ORIN)
    assert planned.parameters["copied"] == 0
    assert planned.launches[-1].shared_bytes <= ORIN.shared_bytes
    assert plan(STAGE, ORIN).parameters["copied"] == 1


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (replace(STAGE, kernel=9), "9 x 9"),
        (replace(STAGE, kernel=1), "1 x 1"),
        (replace(STAGE, shape=(1, 64, 0, 56)), "none may be 0"),
        (replace(STAGE, shape=(0, 64, 56, 56)), "none may be 0"),
        (replace(STAGE, hidden=0), "none may be 0"),
        (replace(STAGE, hidden=1025), "1025 hidden units"),
        (replace(STAGE, shape=(1, 4104, 8, 8)), "4104 channels"),
        (replace(STAGE, shape=(65_536, 64, 8, 8)), "65536 images"),
        (replace(STAGE, shape=(1, 64, 8192, 4096)), "elements in an image"),
        (replace(STAGE, shape=(1, 60, 8, 8)), "multiples of 8"),
        (replace(STAGE, shape=(1, 72, 8, 8), output=I8_CHW32), "multiples of 32"),
        (replace(STAGE, weights="f32"), "weights in f32"),
        (replace(STAGE, output=F16_LINEAR), "from f16h to f16n"),
        (replace(STAGE, form=F32_LINEAR, weights="f32"), "from f32n to f16h"),
    ],
)
def test_what_has_no_kernel_is_refused_with_a_reason(node: Cbam, reason: str) -> None:
    assert reason in unsupported(node)
    with pytest.raises(UsageError, match="no kernel does this") as caught:
        plan(node, ORIN)
    assert reason in str(caught.value)
    assert caught.value.hint


def test_what_is_supported_has_no_reason() -> None:
    assert unsupported(STAGE) == ""
    assert unsupported(replace(STAGE, shape=(1, 4096, 1, 1), hidden=1024)) == ""


@pytest.mark.parametrize("name", ["x_scale", "r_scale", "y_scale"])
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_int8_tensor_needs_its_scale(name: str, scale: float) -> None:
    node = Cbam((1, 32, 8, 8), 2, I8_CHW32, I8_CHW32, "f16", residual=True, x_scale=0.1, r_scale=0.1, y_scale=0.1)
    assert plan(node, ORIN).parameters[name] == 0.1
    with pytest.raises(UsageError, match=f"{name} is"):
        plan(replace(node, **{name: scale}), ORIN)


def test_scales_of_floating_tensors_are_not_looked_at() -> None:
    values = plan(replace(STAGE, x_scale=3.0, r_scale=3.0, y_scale=3.0), ORIN).parameters
    assert (values["x_scale"], values["r_scale"], values["y_scale"]) == (1.0, 1.0, 1.0)


def test_a_gpu_with_too_little_shared_memory_is_named() -> None:
    node = replace(STAGE, shape=(1, 4096, 7, 7), form=F32_HWC, output=F32_HWC, weights="f32")
    with pytest.raises(UsageError, match="49152 bytes of shared memory are too few for 4096 channels"):
        plan(node, Gpu("7.5", 40, 49_152))


def test_every_combination_of_forms_has_its_entries() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(names) == len(set(names)) == 5 + 2 * len(COMBINATIONS)
    assert "edgefer_cbam_pool_i8c" in names
    assert "edgefer_cbam_apply_f16h_i8c" in names
    assert "edgefer_cbam_single_i8c_i8c_w32" in names
