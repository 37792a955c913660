"""The channel gate's launch plans: within a GPU's limits, complete, and refused with a reason where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.errors import UsageError
from edgefer.kernels import gating
from edgefer.kernels.channel_gate import ENTRIES, ChannelGate, bytes_moved, floor_bytes, plan, unsupported
from edgefer.kernels.forms import F16_HWC, F32_HWC, I8_CHW32
from edgefer.kernels.gating import COMBINATIONS
from edgefer.kernels.plan import HOPPER, ORIN, THOR, Gpu

GPUS = (ORIN, replace(ORIN, multiprocessors=8), THOR, HOPPER, Gpu("8.6", 84, 101_376))
STAGE = ChannelGate((1, 64, 56, 56), 4, F16_HWC, F16_HWC, "f16")


@st.composite
def nodes(draw: st.DrawFn) -> ChannelGate:
    """Any node that is supported, small sizes and limits alike."""
    forms = draw(st.sampled_from(COMBINATIONS))
    multiple = 32 if "i8" in (forms.x.element, forms.y.element) else forms.x.channel_multiple
    channels = multiple * draw(st.integers(1, gating.MAXIMUM_CHANNELS // multiple))
    side = st.one_of(st.integers(1, 64), st.integers(1, 700))
    shape = (draw(st.integers(1, 300)), channels, draw(side), draw(side))
    hidden = draw(st.integers(1, gating.MAXIMUM_HIDDEN))
    return ChannelGate(shape, hidden, forms.x, forms.y, forms.weights, x_scale=0.5, y_scale=0.25)


@settings(max_examples=150, deadline=None)
@given(nodes(), st.sampled_from(GPUS))
def test_every_launch_is_one_that_the_gpu_takes(node: ChannelGate, gpu: Gpu) -> None:
    planned = plan(node, gpu)
    entries = {entry.name: entry for entry in ENTRIES}
    assert 1 <= len(planned.launches) <= 2
    for launch in planned.launches:
        assert launch.block == entries[launch.entry].threads
        assert 0 < launch.shared_bytes <= gpu.shared_bytes
        assert launch.grid[1:] == (1, node.batch)


@settings(max_examples=150, deadline=None)
@given(nodes(), st.sampled_from(GPUS))
def test_bands_and_tiles_hold_every_pixel_once(node: ChannelGate, gpu: Gpu) -> None:
    planned = plan(node, gpu)
    values = planned.parameters
    tile, tiles = int(values["tile_pixels"]), planned.launches[-1].grid[0]
    assert (tiles - 1) * tile < node.pixels <= tiles * tile
    bands, pixels = int(values["pool_bands"]), int(values["pool_pixels"])
    assert (bands - 1) * pixels < node.pixels <= bands * pixels
    if len(planned.launches) == 2:
        assert planned.launches[0].grid[0] == bands
        assert planned.workspace_bytes == node.batch * bands * gating.pitch(node.channels) * 4
    else:
        assert (tile, values["copied"], bands, planned.workspace_bytes) == (node.pixels, 1, 1, 0)


def test_two_launches_read_the_input_twice_and_one_reads_it_once() -> None:
    tensor = 64 * 56 * 56 * 2
    weights = (2 * 64 * 4 + 4 + 64) * 2
    two = plan(STAGE, HOPPER)
    assert len(two.launches) == 2
    assert bytes_moved(STAGE, two) == 3 * tensor + weights + 2 * two.workspace_bytes
    assert floor_bytes(STAGE) == 2 * tensor
    small = replace(STAGE, shape=(1, 512, 7, 7), hidden=32)
    one = plan(small, HOPPER)
    assert len(one.launches) == 1
    assert bytes_moved(small, one) == floor_bytes(small) + (2 * 512 * 32 + 32 + 512) * 2


def test_what_does_not_fit_is_read_where_it_lies() -> None:
    node = ChannelGate((1, 4096, 7, 7), 16, F32_HWC, F32_HWC, "f32")
    small = Gpu("8.6", 1, 101_376)
    assert plan(node, small).launches[-1].shared_bytes <= small.shared_bytes
    assert plan(STAGE, ORIN).parameters["copied"] == 1


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (replace(STAGE, gate="tanh"), "'tanh'"),
        (replace(STAGE, shape=(1, 64, 0, 56)), "none may be 0"),
        (replace(STAGE, hidden=0), "none may be 0"),
        (replace(STAGE, hidden=1025), "1025 hidden units"),
        (replace(STAGE, shape=(1, 4104, 8, 8)), "4104 channels"),
        (replace(STAGE, shape=(65_536, 64, 8, 8)), "65536 images"),
        (replace(STAGE, shape=(1, 60, 8, 8)), "multiples of 8"),
        (replace(STAGE, weights="f32"), "weights in f32"),
    ],
)
def test_what_has_no_kernel_is_refused_with_a_reason(node: ChannelGate, reason: str) -> None:
    assert reason in unsupported(node)
    with pytest.raises(UsageError, match="no kernel does this") as caught:
        plan(node, ORIN)
    assert reason in str(caught.value)


def test_the_gate_goes_into_the_parameters() -> None:
    assert unsupported(STAGE) == ""
    hard = plan(replace(STAGE, gate="hard_sigmoid", alpha=0.25, beta=0.75), ORIN).parameters
    assert (hard["hard"], hard["alpha"], hard["beta"]) == (1, 0.25, 0.75)
    assert plan(STAGE, ORIN).parameters["hard"] == 0


@pytest.mark.parametrize("name", ["x_scale", "y_scale"])
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_an_int8_tensor_needs_its_scale(name: str, scale: float) -> None:
    node = ChannelGate((1, 32, 8, 8), 2, I8_CHW32, I8_CHW32, "f16", x_scale=0.1, y_scale=0.1)
    assert plan(node, ORIN).parameters[name] == 0.1
    with pytest.raises(UsageError, match=f"{name} is"):
        plan(replace(node, **{name: scale}), ORIN)


def test_a_gpu_with_too_little_shared_memory_is_named() -> None:
    node = ChannelGate((1, 4096, 7, 7), 1024, F32_HWC, F32_HWC, "f32")
    with pytest.raises(UsageError, match="32768 bytes of shared memory are too few for 4096 channels"):
        plan(node, Gpu("5.0", 5, 32_768))
