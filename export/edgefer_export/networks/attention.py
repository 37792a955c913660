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

from edgefer_export.networks.blocks.channel_gate import ChannelGate
from edgefer_export.networks.symbolic import CbamAttentionOp, GatedFusionOp, GatedPoolOp, LocalGateOp, run


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
    """Convolutional block attention: (N, C, H, W) to (N, C, H, W); with a residual of that shape, its addition and the
    ReLU that ends a residual block too.

    Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, section 3: channel gate from average and
    maximum through a shared MLP (reduction `reduction`), then the spatial gate: a k x k convolution over the channels'
    maximum and mean, in that order, and a batch norm.

    With `released_start` that batch norm begins as in the authors' code: its scale at zero, so that the spatial gate is
    1/2 everywhere at first, and its statistics moving by 0.01 a step. Without, both are as torch has them (1 and 0.1),
    which suits short trainings.
    """

    def __init__(self, channels: int, *, reduction: int = 16, kernel: int = 7, released_start: bool = False) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01 if released_start else 0.1)
        if released_start:
            nn.init.zeros_(self.bn.weight)
        self._folded: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            if self._folded is None:
                raise _not_folded(self)
            return run(CbamAttentionOp, x, *self._mlp(), *self._folded, residual, residual is not None)
        gated = CbamAttentionOp.channel_gate(x, *self._mlp())
        gate = torch.sigmoid(self.bn(self.spatial(CbamAttentionOp.channel_pool(gated))))
        attended = gated * gate
        return attended if residual is None else F.relu(attended + residual)

    def _mlp(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.squeeze.weight, self.squeeze.bias, self.expand.weight, self.expand.bias

    def fold(self) -> None:
        """Merge the spatial batch norm's running statistics into the convolution, for the node's Ws and bs."""
        self._folded = _merged(self.spatial, self.bn)

    def unfold(self) -> None:
        self._folded = None


class LocalGate(nn.Module):
    """A gate of its own at every position, with residual, then the mean: (N, C, H, W) to (N, C).

    z + z · sigmoid(B2 W2 relu(B1 W1 z)), W1 and W2 point-wise convolutions C to C/`reduction` to C and B1 and B2 batch
    norms: the local branch of the multi-scale channel attention in Dai et al., "Attentional Feature Fusion", WACV 2021.
    """

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self._folded: tuple[torch.Tensor, ...] | None = None

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            if self._folded is None:
                raise _not_folded(self)
            return run(LocalGateOp, z, *self._folded)
        gate = torch.sigmoid(self.bn2(self.expand(F.relu(self.bn1(self.squeeze(z))))))
        return (z + z * gate).mean(dim=(2, 3))

    def fold(self) -> None:
        """Merge both batch norms' running statistics into the convolutions, for the node's W1, b1, W2 and b2."""
        pairs = (_merged(self.squeeze, self.bn1), _merged(self.expand, self.bn2))
        self._folded = tuple(tensor for weight, bias in pairs for tensor in (weight.flatten(1), bias))

    def unfold(self) -> None:
        self._folded = None


_BLOCKS = (GatedPool, GatedFusion, CbamAttention, LocalGate, ChannelGate)
_FOLDED_BLOCKS = (CbamAttention, LocalGate)


def has_operators(module: nn.Module) -> bool:
    """Whether an export of `module` will have nodes of domain `edgefer`."""
    return any(isinstance(block, _BLOCKS) for block in module.modules())


@contextmanager
def folded(module: nn.Module) -> Iterator[None]:
    """While open, every attention block inside `module` has its batch norms folded, ready to be exported."""
    blocks = [block for block in module.modules() if isinstance(block, _FOLDED_BLOCKS)]
    try:
        for block in blocks:
            block.fold()
        yield
    finally:
        for block in blocks:
            block.unfold()


def _merged(convolution: nn.Conv2d, bn: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the convolution that does what `convolution` and `bn` with its running statistics do."""
    weight = convolution.weight.detach()
    mean, variance = bn.running_mean.double(), bn.running_var.double()  # type: ignore[union-attr]
    scale = bn.weight.detach().double() / torch.sqrt(variance + bn.eps)
    before = 0.0 if convolution.bias is None else convolution.bias.detach().double()
    bias = bn.bias.detach().double() + (before - mean) * scale
    return (weight.double() * scale.view(-1, 1, 1, 1)).to(weight), bias.to(weight)


def _not_folded(block: nn.Module) -> RuntimeError:
    name = type(block).__name__
    return RuntimeError(f"{name} is exported inside edgefer_export.networks.attention.folded(module)")
