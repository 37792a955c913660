"""Launch plans of GatedPool and GatedFusion: within limits for any size and GPU, and one launch where it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefer.errors import UsageError
from edgefer.kernels import gated_fusion, gated_pool
from edgefer.kernels.forms import F16_HWC, F16_LINEAR, F32_HWC, FORMS, I8_CHW32, Element, Form
from edgefer.kernels.gated_fusion import GatedFusion
from edgefer.kernels.gated_pool import GatedPool
from edgefer.kernels.gated_tower import weight_types
from edgefer.kernels.plan import HOPPER, ORIN, THOR, Gpu, Plan, fill
from edgefer.kernels.tiles import LEAST_SHARED_BYTES, THREADS

LEAST = Gpu("8.6", 82, LEAST_SHARED_BYTES)
GPUS = (ORIN, HOPPER, THOR, LEAST, Gpu("8.7", 1, ORIN.shared_bytes), Gpu("12.0", 256, LEAST_SHARED_BYTES))
ENTRIES = {entry.name: entry for entry in (*gated_pool.ENTRIES, *gated_fusion.ENTRIES)}
POOL = GatedPool((1, 512, 7, 7), F16_HWC, "f16")


@st.composite
def pools(draw: st.DrawFn) -> GatedPool:
    form = draw(st.sampled_from(FORMS))
    channels = form.channel_multiple * draw(st.integers(1, 2048 // form.channel_multiple))
    shape = (draw(st.integers(1, 300)), channels, draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    return GatedPool(shape, form, draw(st.sampled_from(weight_types(form))), x_scale=0.1)


@st.composite
def fusions(draw: st.DrawFn) -> GatedFusion:
    one = draw(pools())
    infrared = (*one.shape[:2], draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    mask: Element | None = draw(st.sampled_from([None, "f32", "f16"]))
    return GatedFusion(one.shape, infrared, one.form, one.weights, mask, x_scale=0.1, r_scale=0.2)


def check(plan: Plan, node: GatedPool | GatedFusion, towers: int, gpu: Gpu) -> None:
    assert 1 <= len(plan.launches) <= 2
    images, channels = node.shape[:2]
    size = 4 if node.weights == "f32" else 2
    value = plan.parameters
    for launch in plan.launches:
        assert launch.block == ENTRIES[launch.entry].threads == THREADS
        assert 0 < launch.shared_bytes <= gpu.shared_bytes
        assert launch.grid[2] == towers
        assert max(launch.grid[1:]) <= 65_535
    # Every row and every image has a block, and a tile is no more than its threads.
    gate = plan.launches[-1]
    rows, columns, quads = int(value["rows"]), int(value["columns"]), int(value["quads"])
    assert gate.grid[0] * rows >= channels > (gate.grid[0] - 1) * rows
    assert gate.grid[1] * columns >= images > (gate.grid[1] - 1) * columns
    assert 4 * quads >= columns
    assert rows & (rows - 1) == quads & (quads - 1) == 0
    assert rows * quads <= THREADS
    # Rows and columns lie an odd number of 16 bytes apart and hold what they must.
    assert value["padded"] * size % 16 == 0
    assert value["padded"] >= channels
    assert value["row_stride"] >= value["padded"]
    assert value["column_stride"] >= value["padded"]
    assert value["row_stride"] * size // 16 % 2 == 1
    assert value["column_stride"] % 8 == 4
    inside = rows * int(value["row_stride"]) * size + columns * int(value["column_stride"]) * 4
    assert gate.shared_bytes >= inside + 4 * 4 * THREADS
    # What pooling needs: a slice of the scratch memory for each thread, and every channel in some slice.
    group = 1 if node.form.layout == "linear" else 16 // node.form.size
    across = int(value["across"])
    assert THREADS % across == 0
    if len(plan.launches) == 2:
        pool = plan.launches[0]
        assert plan.workspace_bytes == towers * images * int(value["padded"]) * 4
        assert pool.shared_bytes == THREADS * group * 4
        assert pool.grid[0] * across * group >= value["padded"] > (pool.grid[0] - 1) * across * group
        assert pool.grid[1] == images
    else:
        assert plan.workspace_bytes == 0
        assert node.form.layout != "linear"
        assert gate.shared_bytes >= inside + THREADS * group * 4


@given(pools(), st.sampled_from(GPUS))
def test_any_pool_fits_any_gpu(node: GatedPool, gpu: Gpu) -> None:
    assert gated_pool.unsupported(node) == ""
    plan = gated_pool.plan(node, gpu)
    check(plan, node, 1, gpu)
    fill(gated_pool.GatedPoolParams, plan, {})
    assert gated_pool.bytes_moved(node, plan) >= gated_pool.floor_bytes(node)
    assert gated_pool.bytes_requested(node, gpu) >= gated_pool.floor_bytes(node)


@given(fusions(), st.sampled_from(GPUS))
def test_any_fusion_fits_any_gpu(node: GatedFusion, gpu: Gpu) -> None:
    assert gated_fusion.unsupported(node) == ""
    plan = gated_fusion.plan(node, gpu)
    check(plan, node, 2, gpu)
    fill(gated_fusion.GatedFusionParams, plan, {})
    assert gated_fusion.bytes_moved(node, plan) >= gated_fusion.floor_bytes(node)
    assert gated_fusion.bytes_requested(node, gpu) >= gated_fusion.floor_bytes(node)


@pytest.mark.parametrize("form", [F32_HWC, F16_HWC, I8_CHW32])
@pytest.mark.parametrize("gpu", [ORIN, HOPPER, THOR])
def test_one_image_of_a_resnet_is_one_launch(form: Form, gpu: Gpu) -> None:
    node = replace(POOL, form=form, weights=weight_types(form)[-1], x_scale=0.1)
    assert len(gated_pool.plan(node, gpu).launches) == 1


@pytest.mark.parametrize(("form", "images"), [(F32_HWC, 1), (F16_HWC, 2), (I8_CHW32, 5)])
def test_a_block_pools_again_at_most_128_kb(form: Form, images: int) -> None:
    """Of the images of its own tile, which on a GPU with many multiprocessors are not the whole batch."""
    node = replace(POOL, form=form, weights=weight_types(form)[-1], x_scale=0.1, shape=(images, 512, 7, 7))
    assert len(gated_pool.plan(node, ORIN).launches) == 1
    assert len(gated_pool.plan(replace(node, shape=(images + 1, 512, 7, 7)), ORIN).launches) == 2
    eight = replace(node, shape=(8, 512, 7, 7))
    found = {gpu: gated_pool.plan(eight, gpu) for gpu in (ORIN, HOPPER)}
    assert len(found[ORIN].launches) == 2
    held = int(found[HOPPER].parameters["columns"]) * 512 * 49 * form.size
    assert (len(found[HOPPER].launches) == 1) == (held <= 131_072)


def test_linear_maps_take_two_launches() -> None:
    assert len(gated_pool.plan(replace(POOL, form=F16_LINEAR), ORIN).launches) == 2


def test_tiles_fill_the_multiprocessors_and_read_weights_once_up_to_sixteen_images() -> None:
    grids = {gpu: gated_pool.plan(POOL, gpu).launches[0].grid for gpu in (ORIN, THOR, HOPPER)}
    assert grids == {ORIN: (16, 1, 1), THOR: (32, 1, 1), HOPPER: (128, 1, 1)}
    for images in (1, 8, 16):
        plan = gated_pool.plan(replace(POOL, shape=(images, 512, 7, 7)), ORIN)
        assert plan.launches[-1].grid[1] == 1


def test_bytes_by_hand() -> None:
    weights, features, output = 512 * 513 * 2, 49 * 512 * 2, 512 * 2
    plan = gated_pool.plan(POOL, ORIN)
    assert gated_pool.floor_bytes(POOL) == weights + features + output
    assert gated_pool.bytes_moved(POOL, plan) == weights + features + output
    # Sixteen blocks, each of which pools the map.
    assert gated_pool.bytes_requested(POOL, ORIN) == weights + 16 * features + output
    eight = replace(POOL, shape=(8, 512, 7, 7))
    two = gated_pool.plan(eight, ORIN)
    means = 8 * 512 * 4
    assert gated_pool.bytes_moved(eight, two) == weights + 8 * (features + output) + 2 * means
    assert gated_pool.bytes_requested(eight, ORIN) == weights + 8 * (features + output) + 17 * means
    fused = GatedFusion((1, 512, 7, 7), (1, 512, 7, 7), F16_HWC, "f16", "f16")
    assert gated_fusion.floor_bytes(fused) == 2 * (weights + features + output) + 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": (70_000, 512, 1, 1)}, "a batch of 70000, at most 65535"),
        ({"shape": (1, 36, 7, 7)}, "36 channels, f16h takes multiples of 8"),
        ({"weights": "f32"}, "weights f32 beside f16h, expected f16"),
        ({"shape": (1, 16_384, 1, 1)}, "16384 channels: four rows of weights and one image's means do not fit"),
        ({"shape": (0, 512, 7, 7)}, "a size is 0"),
    ],
)
def test_what_no_kernel_does_is_said(change: dict[str, object], reason: str) -> None:
    node = replace(POOL, **change)  # type: ignore[arg-type]
    assert reason in gated_pool.unsupported(node)
    with pytest.raises(UsageError, match="no kernel of gated_pool") as refused:
        gated_pool.plan(node, ORIN)
    assert reason in refused.value.message
    assert "function body" in refused.value.hint


def test_towers_that_differ_in_more_than_size_are_refused() -> None:
    node = GatedFusion((2, 64, 7, 7), (2, 32, 7, 7), F16_HWC, "f16")
    assert "only height and width may differ" in gated_fusion.unsupported(node)
    with pytest.raises(UsageError, match="only height and width may differ"):
        gated_fusion.plan(node, ORIN)
    node = GatedFusion((2, 64, 7, 7), (2, 64, 7, 7), F16_HWC, "f16", "i8")
    assert gated_fusion.unsupported(node) == "P is i8, expected f32 or f16"


@pytest.mark.parametrize("missing", ["x_scale", "r_scale"])
def test_an_int8_map_without_a_scale_is_refused(missing: str) -> None:
    node = GatedFusion((1, 64, 7, 7), (1, 64, 7, 7), I8_CHW32, "f16", x_scale=0.1, r_scale=0.2)
    assert gated_fusion.plan(node, ORIN).parameters["r_scale"] == 0.2
    with pytest.raises(UsageError, match=f"{missing} is 0 for an INT8 map"):
        gated_fusion.plan(replace(node, **{missing: 0.0}), ORIN)  # type: ignore[arg-type]


def test_a_gpu_with_too_little_shared_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="too little shared memory"):
        gated_pool.plan(POOL, Gpu("7.5", 40, 4096))


def test_entries_are_made_for_every_form() -> None:
    names = {entry.name.removeprefix("edgefer_gated_pool_") for entry in gated_pool.ENTRIES}
    assert names == {
        *("pool_f32n", "pool_f32h", "pool_f16n", "pool_f16h", "pool_i8c", "gate_w32", "gate_w16"),
        *("whole_f32h", "whole_f16h", "whole_i8c_w32", "whole_i8c_w16"),
    }
    by_name = {entry.name: entry for entry in gated_fusion.ENTRIES}
    entry = by_name["edgefer_gated_fusion_whole_i8c_w16"]
    assert entry.body == "edgefer::gated_fusion_whole<edgefer::int8, edgefer::Chw32, __half>"
    assert entry.parameters == "GatedFusionParams"
