"""Launch plans of LocalGate: two launches, within limits for any size and GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefer.errors import UsageError
from edgefer.kernels.forms import F16_HWC, FORMS, I8_CHW32
from edgefer.kernels.gated_tower import weight_types
from edgefer.kernels.local_gate import (
    ENTRIES,
    LocalGate,
    LocalGateParams,
    bytes_moved,
    bytes_requested,
    floor_bytes,
    plan,
    unsupported,
)
from edgefer.kernels.plan import HOPPER, ORIN, THOR, Gpu, fill
from edgefer.kernels.tiles import LEAST_SHARED_BYTES, THREADS

GPUS = (ORIN, HOPPER, THOR, Gpu("8.6", 82, LEAST_SHARED_BYTES), Gpu("8.7", 1, ORIN.shared_bytes))
NODE = LocalGate((1, 512, 7, 7), 128, F16_HWC, "f16")


@st.composite
def nodes(draw: st.DrawFn) -> LocalGate:
    form = draw(st.sampled_from(FORMS))
    channels = form.channel_multiple * draw(st.integers(1, 2048 // form.channel_multiple))
    shape = (draw(st.integers(1, 100)), channels, draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    hidden = draw(st.integers(1, 1024))
    return LocalGate(shape, hidden, form, draw(st.sampled_from(weight_types(form))), x_scale=0.1)


@given(nodes(), st.sampled_from(GPUS))
def test_any_size_fits_any_gpu(node: LocalGate, gpu: Gpu) -> None:
    assert unsupported(node) == ""
    launched = plan(node, gpu)
    hidden, gate = launched.launches
    value = {name: int(number) for name, number in launched.parameters.items()}
    size = 4 if node.weights == "f32" else 2
    by_name = {entry.name: entry for entry in ENTRIES}
    for launch in launched.launches:
        assert launch.block == by_name[launch.entry].threads == THREADS
        assert 0 < launch.shared_bytes <= gpu.shared_bytes
        assert max(launch.grid[1:]) <= 65_535
    for number, length in ((1, value["padded"]), (2, value["hidden_padded"])):
        rows, columns, quads = (value[f"{name}{number}"] for name in ("rows", "columns", "quads"))
        assert rows & (rows - 1) == quads & (quads - 1) == 0
        assert rows * quads <= THREADS
        assert 4 * quads >= columns
        assert length * size % 16 == 0
        assert value[f"row_stride{number}"] >= length
        assert value[f"column_stride{number}"] >= length
        assert value[f"row_stride{number}"] * size // 16 % 2 == 1
        assert value[f"column_stride{number}"] % 8 == 4
    weights1 = value["rows1"] * value["row_stride1"] * size
    assert hidden.shared_bytes >= weights1 + value["columns1"] * value["column_stride1"] * 4 + 16 * THREADS
    weights2 = value["rows2"] * value["row_stride2"] * size
    columns2 = max(value["columns2"] * value["column_stride2"], THREADS) + value["columns2"] * value["rows2"]
    assert gate.shared_bytes == weights2 + columns2 * 4 + 16 * THREADS
    # Every hidden unit, with those that fill up, every pixel, every channel and every image has a block.
    assert value["hidden_padded"] <= hidden.grid[0] * value["rows1"] < value["hidden_padded"] + value["rows1"]
    assert node.pixels <= hidden.grid[1] * value["columns1"] < node.pixels + value["columns1"]
    assert hidden.grid[2] == gate.grid[1] == node.shape[0]
    assert node.shape[1] <= gate.grid[0] * value["rows2"] < node.shape[1] + value["rows2"]
    assert value["rows2"] % min(node.form.channel_multiple, 16) == 0
    assert launched.workspace_bytes == node.shape[0] * node.pixels * value["hidden_padded"] * 4
    fill(LocalGateParams, launched, {})
    assert bytes_moved(node, launched) > floor_bytes(node)
    assert bytes_requested(node, gpu) > floor_bytes(node)


def test_tiles_of_the_fused_map() -> None:
    grids = {gpu: tuple(launch.grid for launch in plan(NODE, gpu).launches) for gpu in (ORIN, THOR, HOPPER)}
    assert grids == {
        ORIN: ((4, 4, 1), (32, 1, 1)),
        THOR: ((8, 4, 1), (32, 1, 1)),
        HOPPER: ((16, 13, 1), (64, 1, 1)),
    }
    # All pixels at once: no block waits between tiles.
    assert plan(NODE, ORIN).parameters["columns2"] == 49
    assert plan(NODE, ORIN).parameters["columns1"] == 13


def test_bytes_by_hand() -> None:
    weights = (2 * 512 * 128 + 512 + 128) * 2
    features, output, hidden = 49 * 512 * 2, 512 * 2, 49 * 128 * 4
    assert floor_bytes(NODE) == weights + features + output
    assert bytes_moved(NODE, plan(NODE, ORIN)) == weights + 2 * features + output + 2 * hidden
    # Four tiles of W1's rows and of pixels, 32 of W2's rows.
    requested = 4 * 128 * 513 * 2 + 4 * features + hidden + 512 * 129 * 2 + 32 * hidden + features + output
    assert bytes_requested(NODE, ORIN) == requested


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": (70_000, 512, 1, 1)}, "a batch of 70000, at most 65535"),
        ({"shape": (1, 36, 7, 7)}, "36 channels, f16h takes multiples of 8"),
        ({"weights": "f32"}, "weights f32 beside f16h, expected f16"),
        ({"shape": (1, 16_384, 1, 1)}, "16384 channels and 128 hidden ones: one pixel's do not fit"),
        ({"hidden": 16_384}, "512 channels and 16384 hidden ones: one pixel's do not fit"),
        ({"hidden": 0}, "a size is 0"),
        ({"shape": (1, 512, 1024, 1024)}, "1048576 pixels of 512 channels, at most 1048560"),
    ],
)
def test_what_no_kernel_does_is_said(change: dict[str, object], reason: str) -> None:
    node = replace(NODE, **change)  # type: ignore[arg-type]
    assert reason in unsupported(node)
    with pytest.raises(UsageError, match="no kernel of local_gate") as refused:
        plan(node, ORIN)
    assert reason in refused.value.message
    assert "function body" in refused.value.hint


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("channels", [8, 512, 2048, 4096])
def test_the_largest_map_is_within_the_grid(channels: int, gpu: Gpu) -> None:
    node = replace(NODE, shape=(1, channels, 65_535, 16))
    while unsupported(node):
        node = replace(node, shape=(1, channels, 65_535, node.shape[3] - 1))
    assert max(plan(node, gpu).launches[0].grid[1:]) <= 65_535


def test_an_int8_map_without_a_scale_is_refused() -> None:
    node = replace(NODE, form=I8_CHW32)
    with pytest.raises(UsageError, match="x_scale is 0 for an INT8 map"):
        plan(node, ORIN)
    assert plan(replace(node, x_scale=0.5), ORIN).parameters["x_scale"] == 0.5


def test_a_gpu_with_too_little_shared_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="too little shared memory"):
        plan(NODE, Gpu("7.5", 40, 4096))
