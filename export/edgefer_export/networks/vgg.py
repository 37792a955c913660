"""The trunks of VGG-11, VGG-13 and VGG-16, up to their last feature map, with torchvision's names for every weight.

Architecture: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
table 1, columns A, B and D, without batch norm.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from edgefer_export.networks.resnet import MapFactory, scaled

_STAGES = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}

VggDepth = Literal[11, 13, 16]


class VggTrunk(nn.Module):
    """VGG without its fully connected layers: (N, channels, H, W) to (N, 512 width, H/32, W/32), rounded down.

    Every convolution is 3x3 with a bias and followed by a ReLU; a 2x2 maximum ends each of the five stages.

    Args:
        channels: channels of the image.
        width: multiplies the channels of every stage.
        after: makes what follows each stage, `after1` to `after5`, if anything does.
        depth: number of layers with weights, the three fully connected ones that are not here included.
    """

    def __init__(
        self, channels: int = 3, width: float = 1.0, *, after: MapFactory | None = None, depth: VggDepth = 16
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for outputs, count in zip((scaled(stage, width) for stage in _STAGES), _CONVOLUTIONS[depth], strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.out_channels = inputs
        self.features = nn.Sequential(*layers)
        if after is not None:
            for number, stage in enumerate(_STAGES, start=1):
                self.add_module(f"after{number}", after(scaled(stage, width)))
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        number = 0
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                number += 1
                after = getattr(self, f"after{number}", None)
                x = x if after is None else after(x)
        return x


def _initialise(module: nn.Module) -> None:
    # He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2, by fan-out.
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
