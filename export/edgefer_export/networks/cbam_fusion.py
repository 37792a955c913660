"""Early fusion: one ResNet-18 with CBAM in every block over visible and infrared stacked to four channels.

CBAM after Woo et al., ECCV 2018 (reduction 16, kernel 7), in each block after the second batch norm and before the
addition; the option `attention` puts another in its place. The two images must be registered to each other.
"""

from __future__ import annotations

import torch
from torch import nn

from edgefer.bundle.manifest import InputSpec
from edgefer_export.networks.blocks.choose import residual_option, residual_trunk
from edgefer_export.networks.family import (
    COMMON_OPTIONS,
    Band,
    ImageNetNorm,
    NetworkFamily,
    image_input,
    present_input,
)
from edgefer_export.networks.options import Settings
from edgefer_export.networks.placeholders import PLACEHOLDER, PRESENT, PixelMask, learns
from edgefer_export.networks.resnet import ResNetTrunk


class CbamEarlyFusion(nn.Module):
    """`cbam-early-fusion`: visible (N, 3, H, W) and infrared (N, 1, H, W) to logits (N, classes)."""

    loss = "ce_on_logits"

    def __init__(
        self,
        trunk: ResNetTrunk,
        classes: int,
        *,
        norms: tuple[nn.Module, nn.Module],
        mask: PixelMask | None = None,
    ) -> None:
        super().__init__()
        self.norm_visible, self.norm_infrared = norms
        self.mask = mask
        self.trunk = trunk
        self.fc = nn.Linear(trunk.out_channels, classes)

    def forward(
        self, visible: torch.Tensor, infrared: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        visible, infrared = self.norm_visible(visible), self.norm_infrared(infrared)
        if self.mask is not None and present is not None:
            stacked = self.mask(visible, infrared, present)
        else:
            stacked = torch.cat((visible, infrared), dim=1)
        logits: torch.Tensor = self.fc(self.trunk(stacked).mean(dim=(2, 3)))
        return logits


def _build(settings: Settings) -> nn.Module:
    trunk = residual_trunk(settings, 4)
    imagenet = settings.text("norm") == "imagenet"
    norms = (ImageNetNorm(3), ImageNetNorm(1)) if imagenet else (nn.Identity(), nn.Identity())
    learned = learns(settings)
    mask = PixelMask(4, 3, learned=learned) if settings.flag("present") else None
    return CbamEarlyFusion(trunk, settings.integer("classes"), norms=norms, mask=mask)


def _inputs(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    size = settings.integer("size")
    present = (present_input(),) if settings.flag("present") else ()
    return (image_input("visible", "visible", 3, size), image_input("infrared", "infrared", 1, size, band), *present)


FAMILIES = (
    NetworkFamily(
        name="cbam-early-fusion",
        summary="ResNet-18 with CBAM in every block over visible and infrared stacked to 4 channels",
        paper="Woo et al. 2018, CBAM, ECCV; He et al. 2016, ResNet, CVPR",
        graph_role="fused",
        options=(*COMMON_OPTIONS, residual_option("cbam"), PRESENT, PLACEHOLDER),
        build=_build,
        inputs=_inputs,
    ),
)
