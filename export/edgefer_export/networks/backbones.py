"""The four trunks that are fused in pairs, and `backbone`: one of them alone with a classifier.

A pair is fused after each of its trunks has been trained alone, so `backbone` is the first stage of that recipe. How
its authors ended a trunk is not stated: the mean over positions and one fully connected layer are our choice.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from edgefer.bundle.manifest import InputSpec
from edgefer_export.networks.blocks.choose import choose, residual_trunk, stage_names
from edgefer_export.networks.family import Band, ImageNetNorm, NetworkFamily, common_options, image_input
from edgefer_export.networks.options import Option, Settings
from edgefer_export.networks.resnet import ResNetTrunk
from edgefer_export.networks.vgg import VggDepth, VggTrunk

Trunk = ResNetTrunk | VggTrunk


def _vgg(settings: Settings, depth: VggDepth) -> VggTrunk:
    after = choose(settings.text("attention")).stage
    return VggTrunk(3, settings.number("width"), after=after, depth=depth)


_TRUNKS: dict[str, Callable[[Settings], Trunk]] = {
    "resnet18": lambda settings: residual_trunk(settings, 3, depth=18),
    "resnet34": lambda settings: residual_trunk(settings, 3, depth=34),
    "vgg11": lambda settings: _vgg(settings, 11),
    "vgg13": lambda settings: _vgg(settings, 13),
}

PAIRS = ("resnet18+resnet34", "vgg13+resnet34", "vgg11+resnet34", "vgg11+vgg13")
"""As the published table names its columns."""

ATTENTION_OPTION = Option(
    "attention",
    "none",
    "attention in every residual block of a ResNet (bam: between stages), at the end of every stage of a VGG",
    choices=stage_names(),
)


def trunk_pair(settings: Settings) -> tuple[Trunk, Trunk]:
    """The two trunks of the options `backbones`, `width` and `attention`, in the order of the name."""
    first, second = settings.text("backbones").split("+")
    return _TRUNKS[first](settings), _TRUNKS[second](settings)


def visible_norm(settings: Settings) -> nn.Module:
    """What the option `norm` asks for."""
    return ImageNetNorm(3) if settings.text("norm") == "imagenet" else nn.Identity()


def visible_input(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    """The one image of these networks."""
    return (image_input("visible", "visible", 3, settings.integer("size")),)


class Backbone(nn.Module):
    """`backbone`: visible (N, 3, H, W) to logits (N, classes)."""

    loss = "ce_on_logits"

    def __init__(self, trunk: Trunk, classes: int, *, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.trunk = trunk
        self.fc = nn.Linear(trunk.out_channels, classes)

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.trunk(self.norm(visible)).mean(dim=(2, 3)))
        return logits


def _build(settings: Settings) -> nn.Module:
    trunk = _TRUNKS[settings.text("backbone")](settings)
    return Backbone(trunk, settings.integer("classes"), norm=visible_norm(settings))


FAMILIES = (
    NetworkFamily(
        name="backbone",
        summary="one trunk with a linear classifier: what fusion-attention and its baselines start from",
        paper="He et al. 2016, ResNet, CVPR; Simonyan and Zisserman 2015, VGG, ICLR",
        graph_role="visible",
        options=(
            *common_options("raf-db", norm="imagenet"),
            Option("backbone", "resnet18", "the trunk; VGG without batch norm", choices=tuple(_TRUNKS)),
            ATTENTION_OPTION,
        ),
        build=_build,
        inputs=visible_input,
        label_sets=("raf-db",),
    ),
)
