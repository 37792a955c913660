"""The ends of a residual block: what takes (x, residual) and gives the block's answer, as `CbamAttention` does."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class GatedAddition(nn.Module):
    """relu(gate(x) + residual), for an attention that takes x alone: (N, C, H, W) twice to (N, C, H, W)."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return F.relu(self.gate(x) + residual)


class FusedAddition(nn.Module):
    """relu(fusion(x, residual)), for a fusion in place of the addition: (N, C, H, W) twice to (N, C, H, W)."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return F.relu(self.fusion(x, residual))
