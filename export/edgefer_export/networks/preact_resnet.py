"""ResNet-18 with pre-activation for images of 32x32, up to its pooled vector.

Architecture: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, section 3, with a 3x3 first layer as
the public code of FERAtt has it: neither batch norm nor ReLU stands behind the first layer, nor behind the last block.
"""

from __future__ import annotations

import torch
from torch import nn

from edgefer_export.networks.resnet import MapFactory, scaled

_STAGES = (64, 128, 256, 512)
_BLOCKS = 2


class PreActBlock(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, twice, and a shortcut: (N, C_in, H, W) to (N, C_out, H/s, W/s), with a
    stride s of 1 or 2.

    A shortcut that changes the shape is a 1x1 convolution of what is already normalised; any other is the input itself.
    An attention module takes the second convolution's output, before the addition.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.attention = attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ready = self.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(ready)
        y: torch.Tensor = self.conv2(self.relu(self.bn2(self.conv1(ready))))
        return (y if self.attention is None else self.attention(y)) + shortcut


class PreActResNet18(nn.Module):
    """Images (N, channels, H, W) to pooled vectors (N, 512 width).

    Args:
        channels: channels of the image.
        width: multiplies the channels of every stage.
        attention: makes the attention module of each block, if any.
    """

    def __init__(self, channels: int = 3, width: float = 1.0, attention: MapFactory | None = None) -> None:
        super().__init__()
        stages = [scaled(stage, width) for stage in _STAGES]
        self.out_channels = stages[-1]
        self.conv1 = nn.Conv2d(channels, stages[0], 3, padding=1, bias=False)
        inputs = stages[0]
        for number, outputs in enumerate(stages, start=1):
            blocks = []
            for place in range(_BLOCKS):
                gate = None if attention is None else attention(outputs)
                blocks.append(PreActBlock(inputs, outputs, 2 if place == 0 and number > 1 else 1, gate))
                inputs = outputs
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3))
