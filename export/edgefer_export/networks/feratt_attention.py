"""G_att of FERAtt: a ResNet-34 and a decoder that takes the maps of its stages in, as a U-Net does."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from edgefer_export.networks.feratt_parts import BilinearUp, DilatedCentre, PooledCentre, TransposedUp, conv_relu
from edgefer_export.networks.resnet import ResNetTrunk, scaled

Up = Literal["bilinear", "transposed"]
Centre = Literal["pooled", "dilated"]

FILTERS = 32
_UPS: dict[Up, type[BilinearUp] | type[TransposedUp]] = {"bilinear": BilinearUp, "transposed": TransposedUp}


class AttentionNet(nn.Module):
    """Images (N, 3, H, W) to attention (N, maps, H, W) before the sigmoid. H and W are multiples of 64.

    The encoder is torchvision's ResNet-34 but for its first pooling, the maximum of 2x2 pixels and not of 3x3, and
    without its classifier, which the published code keeps and never calls.

    Args:
        maps: channels of the attention, one for all classes or one for each.
        up: how the decoder doubles the size.
        centre: what stands at its bottom.
        width: multiplies the channels of every layer.
    """

    def __init__(self, maps: int, *, up: Up, centre: Centre, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = ResNetTrunk(3, width, depth=34)
        self.encoder.maxpool = nn.MaxPool2d(2, stride=2)
        skips = [scaled(stage, width) for stage in (512, 256, 128, 64)]

        def filters(times: int) -> int:
            return scaled(FILTERS * times, width)

        deepest = filters(8)
        self.centre: nn.Module = (
            PooledCentre(skips[0], filters(16), deepest) if centre == "pooled" else DilatedCentre(skips[0], deepest)
        )
        block = _UPS[up]
        self.up5 = block(skips[0] + deepest, filters(16), deepest)
        self.up4 = block(skips[1] + deepest, filters(16), deepest)
        self.up3 = block(skips[2] + deepest, filters(8), filters(2))
        self.up2 = block(skips[3] + filters(2), filters(4), filters(4))
        self.up1 = block(filters(4), filters(4), filters(1))
        self.head = nn.Sequential(conv_relu(filters(1), filters(1)), nn.Conv2d(filters(1), maps, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        encoder = self.encoder
        x = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(x))))
        stages = []
        for number in range(1, 5):
            x = encoder.get_submodule(f"layer{number}")(x)
            stages.append(x)
        x = self.centre(x)
        for up, stage in zip((self.up5, self.up4, self.up3, self.up2), reversed(stages), strict=True):
            x = up(torch.cat((x, stage), dim=1))
        y: torch.Tensor = self.head(self.up1(x))
        return y
