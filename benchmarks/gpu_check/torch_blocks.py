"""The operations as one writes them in PyTorch, in half precision: what the kernels are held against.

Each takes the tensors of a workload by name, maps in (N, C, H, W), and gives its output, maps in (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

Tensors = Mapping[str, torch.Tensor]
Block = Callable[[Tensors], torch.Tensor]


def cbam(t: Tensors) -> torch.Tensor:
    """As `CbamAttention` with residual and ReLU; the spatial gate's batch norm is folded here as it is there."""
    x = t["X"]
    average, largest = x.mean((2, 3)), x.amax((2, 3))
    hidden = F.relu(F.linear(average, t["W1"], t["b1"])) + F.relu(F.linear(largest, t["W1"], t["b1"]))
    gated = x * torch.sigmoid(F.linear(hidden, t["W2"], 2 * t["b2"]))[:, :, None, None]
    maps = torch.cat([gated.amax(1, keepdim=True), gated.mean(1, keepdim=True)], 1)
    spatial = torch.sigmoid(F.conv2d(maps, t["Ws"], t["bs"], padding=t["Ws"].shape[-1] // 2))
    return F.relu(gated * spatial + t["R"])


def channel_gate(t: Tensors) -> torch.Tensor:
    hidden = F.relu(F.linear(t["X"].mean((2, 3)), t["W1"], t["b1"]))
    return t["X"] * torch.sigmoid(F.linear(hidden, t["W2"], t["b2"]))[:, :, None, None]


def gated_pool(t: Tensors) -> torch.Tensor:
    return _pooled(t["F"], t["W"], t["b"])


def gated_fusion(t: Tensors) -> torch.Tensor:
    """Interleaved, without a mask."""
    towers = [_pooled(t[f"F{camera}"], t[f"W{camera}"], t[f"b{camera}"]) for camera in "vi"]
    return torch.stack(towers, 2).flatten(1)


def local_gate(t: Tensors) -> torch.Tensor:
    z = t["Z"]
    hidden = F.relu(F.conv2d(z, t["W1"][:, :, None, None], t["b1"]))
    return (z + z * torch.sigmoid(F.conv2d(hidden, t["W2"][:, :, None, None], t["b2"]))).mean((2, 3))


def _pooled(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    pooled = features.mean((2, 3))
    return pooled * torch.sigmoid(F.linear(pooled, weight, bias))


BLOCKS: dict[str, Block] = {
    "cbam": cbam,
    "channel_gate": channel_gate,
    "gated_pool": gated_pool,
    "gated_fusion": gated_fusion,
    "local_gate": local_gate,
}


def tensors_of(inputs: Mapping[str, Any], device: str) -> dict[str, torch.Tensor]:
    """A workload's inputs on a device; maps (N, H, W, C) seen as (N, C, H, W), which PyTorch calls channels last."""
    found = {}
    for name, array in inputs.items():
        tensor = torch.from_numpy(array).to(device)
        is_map = tensor.ndim == 4 and name != "Ws"
        found[name] = tensor.permute(0, 3, 1, 2) if is_map else tensor
    return found
