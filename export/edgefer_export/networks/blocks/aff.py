"""Multi-scale channel attention and attentional feature fusion: a gate from each position and from the whole map."""

from __future__ import annotations

import torch
from torch import nn


class MultiScaleGate(nn.Module):
    """sigmoid(local(x) + whole(mean(x))): the gate alone, (N, C, H, W) to (N, C, H, W).

    Both branches are 1x1 convolution C → C/r, batch norm, ReLU, 1x1 convolution C/r → C, batch norm; `local` at every
    position, `whole` on the mean over H and W. Dai et al., "Attentional Feature Fusion", WACV 2021, MS-CAM; r = 4 and
    biases in the convolutions are those of the authors' PyTorch code.

    In training, batch norm on (N, C/r, 1, 1) needs N of two or more, else torch raises a ValueError.

    Args:
        channels: C.
        reduction: r; at least one hidden channel stays.
    """

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.local = _branch(channels, hidden)
        self.whole = _branch(channels, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = self.whole(x.mean(dim=(2, 3), keepdim=True))
        return torch.sigmoid(self.local(x) + whole)


class MultiScaleAttention(nn.Module):
    """x times its multi-scale gate (MS-CAM): (N, C, H, W) to (N, C, H, W)."""

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        self.gate = MultiScaleGate(channels, reduction=reduction)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gated: torch.Tensor = x * self.gate(x)
        return gated


class AttentionalFusion(nn.Module):
    """Two maps in one, each position and channel its own mixture: (N, C, H, W) twice to (N, C, H, W).

    w = gate(x + y); z = 2 (x w + y (1 - w)). Dai et al., WACV 2021, AFF. The factor 2 is that of the
    authors' PyTorch code and not in the paper's equation: at w = 1/2 the fusion is then the sum that it replaces.
    """

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        self.gate = MultiScaleGate(channels, reduction=reduction)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        weight: torch.Tensor = self.gate(x + y)
        # y + w (x - y), which is the mixture with one product instead of two.
        return 2 * (y + weight * (x - y))


def _branch(channels: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1),
        nn.BatchNorm2d(hidden),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, channels, 1),
        nn.BatchNorm2d(channels),
    )
