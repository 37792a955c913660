"""Self-attention over positions in plain operators, spelt as TensorRT fuses it."""

from __future__ import annotations

import math

import torch
from torch import nn

from edgefer.errors import InputError


class SelfAttention(nn.Module):
    """x + attention(LayerNorm(x)) with several heads: (N, *positions, C) to the same shape.

    Vaswani et al., "Attention Is All You Need", 2017, section 3.2, with the norm before it. TensorRT's fused attention
    asks for the scale on Q, ahead of the first product, and for MatMul, Softmax and MatMul with nothing between them;
    `nn.MultiheadAttention` leaves as another graph.

    Args:
        channels: of a position; a multiple of `heads`.
        positions: how many there are along each dimension, such as height and width. Stated once, so that every size
            but the batch is a constant of the exported graph.
        heads: number of attention maps, each over `channels / heads` channels.
    """

    def __init__(self, channels: int, positions: tuple[int, ...], *, heads: int = 8) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self._whole = (*positions, channels)
        self._split = (math.prod(positions), heads, channels // heads)
        self._scale = (channels // heads) ** -0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Raises InputError for other positions or channels."""
        # In a trace sizes are tensors, and the export runs the network on its sample beforehand.
        if not torch.onnx.is_in_onnx_export() and x.shape[1:] != self._whole:
            raise InputError(
                f"the self-attention was given {tuple(x.shape[1:])}, expected {self._whole}",
                hint="a network with self-attention takes images of the size that it was made for",
            )
        normed = self.norm(x)
        query = self._heads(self.query(normed)).transpose(1, 2) * self._scale
        key = self._heads(self.key(normed)).permute(0, 2, 3, 1)
        value = self._heads(self.value(normed)).transpose(1, 2)
        attended = torch.matmul(torch.softmax(torch.matmul(query, key), dim=-1), value)
        y: torch.Tensor = x + self.output(attended.transpose(1, 2).reshape(-1, *self._whole))
        return y

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *positions, C) to (N, L, heads, C / heads)."""
        return x.reshape(-1, *self._split)
