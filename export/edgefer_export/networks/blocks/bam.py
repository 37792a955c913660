"""Bottleneck attention: a channel and a spatial branch side by side, between the stages of a trunk."""

from __future__ import annotations

import torch
from torch import nn


class BottleneckAttention(nn.Module):
    """x (1 + sigmoid(c s)): (N, C, H, W) to (N, C, H, W).

    c (N, C, 1, 1) comes from the mean over H and W through C → C/r → C; s (N, 1, H, W) from x through a 1x1 convolution
    to C/r, two 3x3 convolutions of dilation d and a 1x1 convolution to 1. Batch norm and ReLU follow every layer but
    the last of a branch; all layers have biases. Park et al., "BAM: Bottleneck Attention Module", BMVC 2018, section 3.

    The product is that of the authors' code; the paper adds the two branches, each with a batch norm at its end. The
    channel branch's fully connected layers are 1x1 convolutions here, so that its batch norm folds into one.

    In training, batch norm on (N, C/r, 1, 1) needs N of two or more, else torch raises a ValueError.

    Args:
        channels: C.
        reduction: r; at least one hidden channel stays.
        dilation: d.
    """

    def __init__(self, channels: int, *, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.channel = nn.Sequential(*_layer(channels, hidden), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(
            *_layer(channels, hidden),
            *_layer(hidden, hidden, 3, dilation),
            *_layer(hidden, hidden, 3, dilation),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channel = self.channel(x.mean(dim=(2, 3), keepdim=True))
        return x + x * torch.sigmoid(channel * self.spatial(x))


def _layer(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> tuple[nn.Module, ...]:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
