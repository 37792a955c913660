"""Attention blocks that leave as operators of domain `edgefer`.

In training and in plain PyTorch they compute with torch alone; while torch exports to ONNX each becomes one node, with
its weights as inputs in the order of `edgefer_export.operators`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from edgefer_export.networks.symbolic import CbamAttentionOp, GatedFusionOp, GatedPoolOp, run


class GatedPool(nn.Module):
    """Feature gate on the pooled vector: (N, C, H, W) to (N, C).

    p = mean over H and W; p · sigmoid(W p + b), or of p² in place of p inside the sigmoid where `square`. After the
    networks of Naseem et al. 2025 (PeerJ Computer Science 11:e2676).
    """

    def __init__(self, channels: int, *, square: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        self.square = square

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return run(GatedPoolOp, features, self.linear.weight, self.linear.bias, self.square)


class GatedFusion(nn.Module):
    """Two gated pools in one vector: two (N, C, H, W) and optionally `present` (N, 2) to (N, 2C).

    With `interleave` the vector is v0, i0, v1, i1, ...; otherwise all of v, then all of i. `present` multiplies the
    visible half by its first column and the infrared half by its second: 1 there, 0 missing.
    """

    def __init__(self, channels: int, *, square: bool, interleave: bool) -> None:
        super().__init__()
        self.visible = nn.Linear(channels, channels)
        self.infrared = nn.Linear(channels, channels)
        self.square = square
        self.interleave = interleave

    def forward(
        self, visible: torch.Tensor, infrared: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        weights = (self.visible.weight, self.visible.bias, self.infrared.weight, self.infrared.bias)
        return run(GatedFusionOp, visible, infrared, *weights, present, self.square, self.square, self.interleave)


class CbamAttention(nn.Module):
    """Convolutional block attention with the block's addition and ReLU: (N, C, H, W) twice to (N, C, H, W).

    Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, section 3: channel gate from average and
    maximum through a shared MLP (reduction `reduction`), then the spatial gate: a k x k convolution over the channels'
    maximum and mean, in that order, and a batch norm.
    """

    def __init__(self, channels: int, *, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(1)
        self._folded: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            if self._folded is None:
                raise RuntimeError("CbamAttention is exported inside edgefer_export.networks.attention.folded(module)")
            return run(CbamAttentionOp, x, *self._mlp(), *self._folded, residual, True)
        gated = CbamAttentionOp.channel_gate(x, *self._mlp())
        gate = torch.sigmoid(self.bn(self.spatial(CbamAttentionOp.channel_pool(gated))))
        return F.relu(gated * gate + residual)

    def _mlp(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.squeeze.weight, self.squeeze.bias, self.expand.weight, self.expand.bias

    def fold(self) -> None:
        """Merge the spatial batch norm's running statistics into the convolution, for the node's Ws and bs."""
        with torch.no_grad():
            bn = self.bn
            mean, variance = bn.running_mean.double(), bn.running_var.double()  # type: ignore[union-attr]
            scale = bn.weight.double() / torch.sqrt(variance + bn.eps)
            weight = self.spatial.weight.double() * scale.view(-1, 1, 1, 1)
            bias = bn.bias.double() - mean * scale
            self._folded = (weight.to(self.spatial.weight), bias.to(self.spatial.weight))

    def unfold(self) -> None:
        self._folded = None


def has_operators(module: nn.Module) -> bool:
    """Whether an export of `module` will have nodes of domain `edgefer`."""
    return any(isinstance(block, (GatedPool, GatedFusion, CbamAttention)) for block in module.modules())


@contextmanager
def folded(module: nn.Module) -> Iterator[None]:
    """While open, every attention block inside `module` has its batch norm folded, ready to be exported."""
    blocks = [block for block in module.modules() if isinstance(block, CbamAttention)]
    try:
        for block in blocks:
            block.fold()
        yield
    finally:
        for block in blocks:
            block.unfold()
