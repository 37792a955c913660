"""Attention blocks by name, and where a trunk takes each.

In a residual block an attention stands after the last batch norm and before the addition. BAM stands between stages. In
a trunk without residual blocks every attention stands on the map at the end of a stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from edgefer.errors import UsageError
from edgefer_export.networks.attention import CbamAttention
from edgefer_export.networks.blocks.aff import AttentionalFusion, MultiScaleAttention
from edgefer_export.networks.blocks.bam import BottleneckAttention
from edgefer_export.networks.blocks.channel_gate import ChannelGate
from edgefer_export.networks.blocks.efficient import EfficientChannelAttention, released_kernel
from edgefer_export.networks.blocks.residual import FusedAddition, GatedAddition
from edgefer_export.networks.options import Option, Settings, did_you_mean
from edgefer_export.networks.resnet import Depth, ResNetTrunk

Factory = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Attention:
    """One attention, by the number of channels that it stands on.

    `stage` makes what goes on a map, (N, C, H, W) to the same shape. `block` makes what takes (x, residual), both
    (N, C, H, W), adds and ends with the ReLU. `between` is there where a residual trunk takes the attention between its
    stages. None: there is none in that place.
    """

    stage: Factory | None = None
    block: Factory | None = None
    between: Factory | None = None


def _gated(stage: Factory) -> Attention:
    return Attention(stage=stage, block=lambda channels: GatedAddition(stage(channels)))


def _released_eca(channels: int) -> nn.Module:
    return EfficientChannelAttention(channels, kernel=released_kernel(channels))


def _cbam(*, released_start: bool) -> Attention:
    made = partial(CbamAttention, released_start=released_start)
    return Attention(stage=made, block=made)


_ATTENTIONS: dict[str, Attention] = {
    "none": Attention(),
    "se": _gated(ChannelGate),
    "se-hard": _gated(partial(ChannelGate, reduction=4, gate="hard_sigmoid", bias=True)),
    "eca": _gated(EfficientChannelAttention),
    "eca-released": _gated(_released_eca),
    "cbam": _cbam(released_start=False),
    "cbam-released": _cbam(released_start=True),
    "bam": Attention(stage=BottleneckAttention, between=BottleneckAttention),
    "ms-cam": _gated(MultiScaleAttention),
    "aff": Attention(block=lambda channels: FusedAddition(AttentionalFusion(channels))),
}


def names() -> tuple[str, ...]:
    """The names that `choose` takes, `none` first."""
    return tuple(_ATTENTIONS)


def stage_names() -> tuple[str, ...]:
    """The names of what goes on a map, with no second one to add; `none` first."""
    return tuple(name for name, each in _ATTENTIONS.items() if name == "none" or each.stage is not None)


def choose(name: str) -> Attention:
    """The attention of that name; `none` has nothing in any place.

    Raises:
        UsageError: there is no attention of that name.
    """
    if name not in _ATTENTIONS:
        raise UsageError(
            f"there is no attention {name!r}; there are {', '.join(_ATTENTIONS)}",
            hint=did_you_mean(name, _ATTENTIONS) or "docs/attention.md says what each is",
        )
    return _ATTENTIONS[name]


def residual_trunk(settings: Settings, channels: int, *, depth: Depth = 18) -> ResNetTrunk:
    """The ResNet trunk of a network with the options `width` and `attention`, for images of that many channels."""
    attention = choose(settings.text("attention"))
    return ResNetTrunk(channels, settings.number("width"), attention.block, between=attention.between, depth=depth)


def residual_option(default: str = "none") -> Option:
    """The option `attention` of a network with residual blocks."""
    meaning = "attention in every residual block (bam: between stages)"
    return Option("attention", default, meaning, choices=names())
