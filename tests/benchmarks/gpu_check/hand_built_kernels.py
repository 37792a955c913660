"""What the kernels of the hand-built network compute, in NumPy, for a simulated GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from simulated_gpu import SimulatedGpu

from edgefer.kernels.channel_gate import ChannelGateParams
from edgefer.kernels.gated_fusion import GatedFusionParams


def teach(gpu: SimulatedGpu) -> None:
    """Have the GPU compute them. Where there are two launches, the last one does it all."""
    for phase in ("single", "apply"):
        gpu.kernel(f"edgefer_channel_gate_{phase}_f32n_f32n", ChannelGateParams, _channel_gate)
    gpu.kernel("edgefer_gated_fusion_gate_w32", GatedFusionParams, _gated_fusion)


def _channel_gate(gpu: SimulatedGpu, p: Any, grid: tuple[int, int, int]) -> None:
    def read(address: int, *shape: int) -> Any:
        return gpu.view(address, shape, np.float32)

    images = grid[2]
    x = read(p.X, images, p.channels, p.pixels)
    hidden = np.maximum(x.mean(axis=2) @ read(p.W1, p.hidden, p.channels).T + read(p.b1, p.hidden), 0)
    scores = hidden @ read(p.W2, p.channels, p.hidden).T + read(p.b2, p.channels)
    read(p.Y, images, p.channels, p.pixels)[...] = x * _sigmoid(scores)[:, :, None]


def _gated_fusion(gpu: SimulatedGpu, p: Any, grid: tuple[int, int, int]) -> None:
    def read(address: int, *shape: int) -> Any:
        return gpu.view(address, shape, np.float32)

    halves = []
    for f, w, b, pixels in ((p.Fv, p.Wv, p.bv, p.visible_pixels), (p.Fi, p.Wi, p.bi, p.infrared_pixels)):
        mean = read(f, p.images, p.channels, pixels).mean(axis=2)
        halves.append(mean * _sigmoid(mean @ read(w, p.channels, p.channels).T + read(b, p.channels)))
    read(p.f, p.images, 2 * p.channels)[...] = np.concatenate(halves, axis=1)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))
