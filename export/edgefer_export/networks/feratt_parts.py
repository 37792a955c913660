"""The layers that FERAtt's modules are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def conv_relu(inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution and a ReLU, at the same size."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True))


class BilinearUp(nn.Module):
    """Twice the size by bilinear interpolation (half-pixel centres), then two 3x3 convolutions with ReLU:
    (N, C_in, H, W) to (N, C_out, 2H, 2W)."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.first = conv_relu(inputs, middle)
        self.second = conv_relu(middle, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        y: torch.Tensor = self.second(self.first(x))
        return y


class TransposedUp(nn.Module):
    """A 3x3 convolution, then a transposed one of 4x4 with stride 2, each with ReLU: (N, C_in, H, W) to
    (N, C_out, 2H, 2W)."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.first = conv_relu(inputs, middle)
        self.second = nn.Sequential(nn.ConvTranspose2d(middle, outputs, 4, stride=2, padding=1), nn.ReLU(inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.first(x))
        return y


class PooledCentre(nn.Module):
    """The bottom of the decoder in the code of 2019: 2x2 maxima, then `BilinearUp`, at the same size."""

    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.up = BilinearUp(inputs, middle, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.up(F.max_pool2d(x, 2))
        return y


class DilatedCentre(nn.Module):
    """The bottom of the decoder in the figure: four 3x3 convolutions in a row, dilated by 1 to 4, whose results are
    added up before the one ReLU; (N, C_in, H, W) to (N, C_out, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs if rate == 1 else outputs, outputs, 3, padding=rate, dilation=rate) for rate in range(1, 5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *others = self.convolutions
        x = first(x)
        total = x
        for convolution in others:
            x = convolution(x)
            total = total + x
        return F.relu(total)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, LeakyReLU of slope 0.2 between them, and the input added; no normalisation, and no
    activation behind the addition. (N, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(F.leaky_relu(self.first(x), 0.2)) + x
        return y


class FeatureNet(nn.Module):
    """G_ft: a 9x9 convolution, residual blocks and a 3x3 convolution, with one long shortcut around the latter two:
    (N, 3, H, W) to (N, channels, H, W)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 9, padding=4)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        y: torch.Tensor = self.last(self.blocks(first)) + first
        return y


class ChannelAffine(nn.Module):
    """x * scale + shift per channel of (N, C, H, W): constants, not weights, so that a checkpoint holds neither and a
    graph one Mul and one Add."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.shift


class Threshold(nn.Module):
    """x where |x| >= `least`, else 0; the gradient passes where the value does."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.abs() >= self.least, x, 0.0)
