"""The trunks of ResNet-18 and ResNet-34, up to their last feature map, with torchvision's names for every weight.

Architecture: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1 (18 and 34 layers), with the
stride in the first 3x3 convolution of a stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

_STAGES = (64, 128, 256, 512)
_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}

Depth = Literal[18, 34]

# Makes the attention module of a block with that many channels; it takes (x, residual) and ends with the ReLU.
AttentionFactory = Callable[[int], nn.Module]

# Makes what stands between two stages, on a map with that many channels; it takes x and keeps its shape.
MapFactory = Callable[[int], nn.Module]


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, to the nearest multiple of 8 and at least 8: what tensor-core kernels want."""
    return max(8, round(channels * width / 8) * 8)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, C_in, H, W) to (N, C_out, H/stride, W/stride).

    With an attention module, that takes the second batch norm's output together with the shortcut and does the
    addition and the last ReLU itself.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.attention = attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        y: torch.Tensor = self.relu(x + shortcut) if self.attention is None else self.attention(x, shortcut)
        return y


class ResNetTrunk(nn.Module):
    """ResNet without pooling and classifier: (N, channels, H, W) to (N, 512 width, H/32, W/32).

    Args:
        channels: channels of the image.
        width: multiplies the channels of every stage.
        attention: makes the attention module of each block, if any.
        between: makes what follows the first three stages, `between1` to `between3`, if anything does.
        depth: number of layers with weights, the classifier that is not here included.
    """

    def __init__(
        self,
        channels: int = 3,
        width: float = 1.0,
        attention: AttentionFactory | None = None,
        *,
        between: MapFactory | None = None,
        depth: Depth = 18,
    ) -> None:
        super().__init__()
        first, *_, last = stages = [scaled(stage, width) for stage in _STAGES]
        self.out_channels = last
        self.conv1 = nn.Conv2d(channels, first, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = first
        for number, (outputs, count) in enumerate(zip(stages, _BLOCKS[depth], strict=True), start=1):
            blocks = []
            for place in range(count):
                stride = 2 if place == 0 and number > 1 else 1
                gate = None if attention is None else attention(outputs)
                blocks.append(BasicBlock(inputs, outputs, stride, gate))
                inputs = outputs
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            if between is not None and number < len(_STAGES):
                self.add_module(f"between{number}", between(outputs))
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
            after = getattr(self, f"between{number}", None)
            x = x if after is None else after(x)
        return x


def _initialise(module: nn.Module) -> None:
    # He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2, by fan-out.
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
