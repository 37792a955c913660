"""Convolutional networks with attention in plain PyTorch, as somebody else would write them."""

from __future__ import annotations

import io
from itertools import pairwise

import onnx
import torch
from torch import nn

SIZE, OPSET = 112, 19


class Squeeze(nn.Module):
    """Squeeze-and-excite by point-wise convolutions and a hard sigmoid, as networks for phones have it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.expand(torch.relu(self.reduce(pooled))))


class Cbam(nn.Module):
    """Channel gate by a shared MLP, spatial gate by a convolution over the channels' maximum and mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, channels // 16), nn.ReLU(), nn.Linear(channels // 16, channels))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x = x * torch.sigmoid(score)[:, :, None, None]
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(seen))


class Block(nn.Module):
    def __init__(self, ins: int, outs: int, attention: type[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(ins, outs, 3, 2, 1), nn.ReLU(), nn.Conv2d(outs, outs, 3, 1, 1), attention(outs)
        )
        self.skip = nn.Conv2d(ins, outs, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def exported(attention: type[nn.Module]) -> onnx.ModelProto:
    """A network of four such blocks, from torch's own exporter; input `x` (1, 3, 112, 112)."""
    torch.manual_seed(0)
    widths = (3, 64, 128, 256, 512)
    blocks = [Block(ins, outs, attention) for ins, outs in pairwise(widths)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 7)).eval()
    buffer = io.BytesIO()
    sample = torch.rand(1, 3, SIZE, SIZE)
    torch.onnx.export(network, (sample,), buffer, opset_version=OPSET, dynamo=False, input_names=["x"])
    return onnx.load_from_string(buffer.getvalue())
