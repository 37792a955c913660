"""How many parameters each attention adds to a trunk, and that it leaves the trunk's own weights alone."""

from __future__ import annotations

import math
from functools import cache

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import CbamAttention, GatedPool  # noqa: E402
from edgefer_export.networks.blocks import choose  # noqa: E402
from edgefer_export.networks.blocks.bam import BottleneckAttention  # noqa: E402
from edgefer_export.networks.blocks.channel_gate import ChannelGate  # noqa: E402
from edgefer_export.networks.blocks.efficient import (  # noqa: E402
    EfficientChannelAttention,
    formula_kernel,
    released_kernel,
)
from edgefer_export.networks.preact_resnet import PreActResNet18  # noqa: E402
from edgefer_export.networks.resnet import ResNetTrunk  # noqa: E402
from edgefer_export.networks.vgg import VggTrunk  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}
# Blocks of each stage, and the channels of the stages.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
STAGES = (64, 128, 256, 512)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@cache
def trunk(name: str, depth: int) -> ResNetTrunk:
    attention = choose.choose(name)
    with torch.device("meta"):
        return ResNetTrunk(3, 1.0, attention.block, between=attention.between, depth=depth)


def scale_gates(channels: int) -> int:
    hidden = channels // 4
    # Two convolutions with biases and their batch norms, twice: at every position and on the mean.
    return 2 * (2 * channels * hidden + hidden + channels + 2 * hidden + 2 * channels)


def over_blocks(depth: int, per_block: list[int]) -> int:
    return sum(blocks * each for blocks, each in zip(BLOCKS[depth], per_block, strict=True))


@pytest.mark.parametrize(
    ("name", "depth", "parameters"),
    [
        ("se", 18, 87_040),
        ("se", 34, 157_184),
        ("se-hard", 18, over_blocks(18, [2 * c * (c // 4) + c // 4 + c for c in STAGES])),
        ("eca", 18, 36),
        ("eca", 34, 3 * 3 + (4 + 6 + 3) * 5),
        ("eca-released", 18, 2 * (3 + 5 + 7 + 7)),
        ("cbam", 18, 89_880),
        ("cbam", 34, 162_796),
        ("cbam-released", 18, 89_880),
        ("bam", 18, 22_991),
        ("bam", 34, 22_991),
        ("ms-cam", 18, over_blocks(18, [scale_gates(c) for c in STAGES])),
        ("aff", 34, over_blocks(34, [scale_gates(c) for c in STAGES])),
    ],
)
def test_an_attention_adds_its_parameters_and_changes_no_others(name: str, depth: int, parameters: int) -> None:
    plain, attending = trunk("none", depth), trunk(name, depth)
    assert count(attending) - count(plain) == parameters
    shapes = {key: tensor.shape for key, tensor in attending.state_dict().items()}
    assert {key: shapes.get(key) for key in plain.state_dict()} == {k: t.shape for k, t in plain.state_dict().items()}


def test_every_attention_is_counted_somewhere() -> None:
    assert choose.names() == (
        *("none", "se", "se-hard", "eca", "eca-released", "cbam", "cbam-released", "bam", "ms-cam", "aff"),
    )


def test_the_gate_on_the_pooled_vector_has_its_parameters() -> None:
    with torch.device("meta"):
        assert count(GatedPool(512, square=True)) == 262_656


@pytest.mark.parametrize("name", ["viri-visible", "viri-infrared", "viri-fusion"])
def test_registered_networks_take_an_attention_in_every_tower(name: str) -> None:
    # Eight blocks of 8, 16, 32 and 64 channels; one hidden value is the least, where a sixteenth would be none.
    added = 2 * 2 * sum(channels * max(1, channels // 16) for channels in (8, 16, 32, 64))
    plain, attending = (registry.create(name, {**SMALL, **given}) for given in ({}, {"attention": "se"}))
    assert plain.options["attention"] == "none"
    assert attending.parameters - plain.parameters == added * (2 if name == "viri-fusion" else 1)


def test_early_fusion_keeps_cbam_unless_another_is_asked_for() -> None:
    default, bam = (registry.create("cbam-early-fusion", {**SMALL, **given}) for given in ({}, {"attention": "bam"}))
    assert default.options["attention"] == "cbam"
    kinds = [[type(module) for module in network.module.modules()] for network in (default, bam)]
    assert [found.count(CbamAttention) for found in kinds] == [8, 0]
    assert [found.count(BottleneckAttention) for found in kinds] == [0, 3]


def test_bam_stands_between_the_stages() -> None:
    made = trunk("bam", 18)
    places = {name for name, module in made.named_children() if isinstance(module, BottleneckAttention)}
    assert places == {"between1", "between2", "between3"}
    seen: list[tuple[int, ...]] = []
    small = ResNetTrunk(3, 0.125, between=choose.choose("bam").between)
    for name in sorted(places):
        small.get_submodule(name).register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape)))
    small.eval()(torch.rand(1, 3, 64, 64))
    assert seen == [(1, 8, 16, 16), (1, 16, 8, 8), (1, 32, 4, 4)]


@pytest.mark.parametrize("name", choose.stage_names())
def test_a_trunk_without_residual_blocks_takes_it_after_each_stage(name: str) -> None:
    stage = choose.choose(name).stage
    made = VggTrunk(3, 0.125, after=stage, depth=11)
    added = [key for key, _ in made.named_children() if key.startswith("after")]
    assert added == ([] if stage is None else ["after1", "after2", "after3", "after4", "after5"])
    assert set(VggTrunk(3, 0.125, depth=11).state_dict()) <= set(made.state_dict())
    assert made.eval()(torch.rand(1, 3, 32, 32)).shape == (1, 64, 1, 1)
    if stage is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(made.after1), "forward", lambda self, x: x * 0)
            assert made(torch.rand(1, 3, 32, 32)).abs().max() == 0


@pytest.mark.parametrize(("name", "added"), [("none", 0), ("se", 87_040), ("eca", 36), ("cbam", 89_880)])
def test_blocks_with_pre_activation_take_it_before_the_addition(name: str, added: int) -> None:
    stage = choose.choose(name).stage
    with torch.device("meta"):
        plain, attending = PreActResNet18(), PreActResNet18(attention=stage)
    assert count(attending) - count(plain) == added
    small = PreActResNet18(3, 0.125, lambda channels: nn.Dropout(1.0) if stage is not None else nn.Identity()).train()
    before = small.conv1(image := torch.rand(2, 3, 16, 16))
    assert torch.equal(small.layer1(before), before) == (stage is not None)
    assert small(image).shape == (2, 64)


def test_fusing_in_place_of_an_addition_needs_one() -> None:
    assert "aff" in choose.residual_option().choices
    assert set(choose.names()) - set(choose.stage_names()) == {"aff"}


@pytest.mark.parametrize(
    ("channels", "formula", "released"),
    [(8, 3, 3), (64, 3, 3), (128, 5, 5), (256, 5, 7), (512, 5, 7), (1024, 5, 7), (2**13, 7, 7)],
)
def test_how_many_neighbours_a_channel_looks_at(channels: int, formula: int, released: int) -> None:
    assert formula_kernel(channels) == formula
    assert released_kernel(channels) == released
    exact = (math.log2(channels) + 1) / 2
    assert all(abs(formula - exact) <= abs(other - exact) for other in range(1, 20, 2))


def test_an_unknown_attention_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"(?s)no attention 'cbm'; there are none, se, .*did you mean 'cbam'"):
        choose.choose("cbm")
    with pytest.raises(UsageError, match=r"(?s)attention='cbm' is not one of none, se, "):
        registry.create("viri-visible", {**SMALL, "attention": "cbm"})


def test_a_kernel_without_a_middle_is_an_error() -> None:
    for kernel in (4, 0, -1):
        with pytest.raises(UsageError, match=rf"(?s)is {kernel}, expected an odd positive number.*leave it out for 3"):
            EfficientChannelAttention(64, kernel=kernel)


def test_an_unknown_gate_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"(?s)the gate is 'tanh'.*sigmoid or hard_sigmoid"):
        ChannelGate(16, gate="tanh")  # type: ignore[arg-type]
