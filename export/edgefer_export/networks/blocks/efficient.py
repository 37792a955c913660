"""Efficient channel attention: a gate from each channel's neighbours, without a bottleneck."""

from __future__ import annotations

import math

import torch
from torch import nn

from edgefer.errors import UsageError


class EfficientChannelAttention(nn.Module):
    """x times a gate for each channel: (N, C, H, W) to (N, C, H, W).

    gate = sigmoid(conv(mean(x))), the convolution over k neighbouring channels, zeros beyond the ends, without bias.
    Wang et al., "ECA-Net", CVPR 2020, section 3.2. A Conv2d with a (1, k) kernel over (N, 1, 1, C) stands for the
    Conv1d of the authors' code, because TensorRT serves it better; their weight (1, 1, k) fits after `[:, :, None]`.

    Args:
        channels: C.
        kernel: k, odd; by `formula_kernel` unless given.

    Raises:
        UsageError: the kernel is even or not positive.
    """

    def __init__(self, channels: int, *, kernel: int | None = None) -> None:
        super().__init__()
        kernel = formula_kernel(channels) if kernel is None else kernel
        if kernel < 1 or kernel % 2 == 0:
            raise UsageError(
                f"the kernel of the channel attention is {kernel}, expected an odd positive number",
                hint=f"leave it out for {formula_kernel(channels)}, which is what {channels} channels get",
            )
        self.conv = nn.Conv2d(1, 1, (1, kernel), padding=(0, kernel // 2), bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        row = x.mean(dim=(2, 3), keepdim=True).transpose(1, 3)
        return x * torch.sigmoid(self.conv(row)).transpose(1, 3)


def formula_kernel(channels: int) -> int:
    """The odd number nearest to (log2 C + 1) / 2, the larger of two: 3, 5, 5, 5 for 64, 128, 256, 512. Wang et al.,
    section 3.2, with their gamma 2 and b 1."""
    return 2 * int((math.log2(channels) + 1) / 4) + 1


def released_kernel(channels: int) -> int:
    """What the authors' ResNet-18 has at its widths: 3, 5, 7, 7 for 64, 128, 256, 512; in between, that of the width
    below. The paper's formula gives other numbers."""
    return 3 if channels < 128 else 5 if channels < 256 else 7
