"""Pooling without a gate: what the gated pools are compared with."""

from __future__ import annotations

import torch
from torch import nn


class MeanPool(nn.Module):
    """The mean over height and width: (N, C, H, W) to (N, C)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean(dim=(2, 3))


class MeanFusion(nn.Module):
    """`GatedFusion` without its gates: two (N, C, H, W) and optionally `present` (N, 2) to (N, 2C), interleaved or side
    by side."""

    def __init__(self, *, interleave: bool) -> None:
        super().__init__()
        self.interleave = interleave

    def forward(
        self, visible: torch.Tensor, infrared: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        pooled = [visible.mean(dim=(2, 3)), infrared.mean(dim=(2, 3))]
        if present is not None:
            pooled = [each * present[:, column : column + 1] for column, each in enumerate(pooled)]
        return torch.stack(pooled, 2).flatten(1) if self.interleave else torch.cat(pooled, 1)
