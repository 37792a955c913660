"""Squeeze-and-excite, which leaves as `edgefer::ChannelGate`."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from edgefer.errors import UsageError
from edgefer_export.networks.symbolic import ChannelGateOp, run

Gate = Literal["sigmoid", "hard_sigmoid"]


class ChannelGate(nn.Module):
    """x times a gate for each channel: (N, C, H, W) to (N, C, H, W).

    gate = sigmoid(W2 relu(W1 mean(x) + b1) + b2) with W1 (C/r, C) and W2 (C, C/r). Hu et al., "Squeeze-and-Excitation
    Networks", CVPR 2018, section 3, r = 16 being the authors' choice. The hard sigmoid, max(0, min(1, s/6 + 1/2)), is
    that of Howard et al., "Searching for MobileNetV3", ICCV 2019, which has r = 4 and biases.

    Args:
        channels: C.
        reduction: r; at least one hidden value stays.
        gate: the function that ends the gate.
        bias: whether the two layers have b1 and b2.

    Raises:
        UsageError: `gate` is neither of the two.
    """

    def __init__(self, channels: int, *, reduction: int = 16, gate: Gate = "sigmoid", bias: bool = False) -> None:
        super().__init__()
        if gate not in get_args(Gate):
            raise UsageError(f"the gate is {gate!r}", hint=f"expected {' or '.join(get_args(Gate))}")
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)
        self.gate = gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = (self.squeeze.weight, self.squeeze.bias, self.expand.weight, self.expand.bias)
        return run(ChannelGateOp, x, *weights, self.gate == "hard_sigmoid")
