"""Two trained trunks fused by self-attention and local attention, after Tran 2023.

"Local and global fusion attention network for facial emotions recognition", thesis page of 2023-06-21. Public is the
order alone: features of two trained networks, a multi-layer perceptron on both to "the same size", the average, the
self-attention block, the local attention block, fully connected layers. Input size, shape of the features, widths,
heads, kernels, residuals, norms, dropout, and how any of it was trained are not stated; what is here for them is our
choice.

All four trunks end in 512x7x7 for images of 224x224, and self-attention differs from local attention only where there
are positions, so the features are taken to be the maps (`variant=maps`). The other reading, the pooled vectors, is
`variant=tokens`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from edgefer.errors import UsageError
from edgefer_export.networks.attention import LocalGate
from edgefer_export.networks.backbones import (
    ATTENTION_OPTION,
    PAIRS,
    Trunk,
    trunk_pair,
    visible_input,
    visible_norm,
)
from edgefer_export.networks.family import NetworkFamily, common_options
from edgefer_export.networks.options import Option, Settings
from edgefer_export.networks.resnet import scaled
from edgefer_export.networks.self_attention import SelfAttention

_HIDDEN = 256
_STRIDE = 32
_ECA_KERNEL = 5

PAPER = "Tran 2023, local and global fusion attention network (thesis page); its layers are not stated"

PAIR_OPTION = Option("backbones", PAIRS[0], "the two trunks; VGG without batch norm", choices=PAIRS)


class MapFusion(nn.Module):
    """Two maps (N, C, H, W) to one vector (N, C), by attention between positions and at each.

    m = W2 relu(W1 [a, b]), point-wise; z = (a + b + m) / 3; self-attention over the H·W positions; `LocalGate`. Height
    and width are `side`.
    """

    def __init__(self, channels: int, side: int, *, heads: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.attention = SelfAttention(channels, (side, side), heads=heads)
        self.gate = LocalGate(channels)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        mixed = self.mlp(torch.cat((first, second), dim=1))
        attended = self.attention(((first + second + mixed) / 3).permute(0, 2, 3, 1))
        fused: torch.Tensor = self.gate(attended.permute(0, 3, 1, 2))
        return fused


class TokenFusion(nn.Module):
    """Two maps (N, C, H, W) to one vector (N, C), by attention between pooled vectors.

    Tokens are both means over the positions and m = W2 relu(W1 [a, b]) of them; self-attention over the three; their
    mean f; f · sigmoid(convolution of f along the channels), the local cross-channel attention of Wang et al.,
    "ECA-Net", CVPR 2020, with the kernel 5 that its rule gives for 512 channels.
    """

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.attention = SelfAttention(channels, (3,), heads=heads)
        # In two dimensions, for the sake of runtimes without convolutions in one.
        self.local = nn.Conv2d(1, 1, (1, _ECA_KERNEL), padding=(0, _ECA_KERNEL // 2), bias=False)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        a, b = first.mean(dim=(2, 3)), second.mean(dim=(2, 3))
        tokens = torch.stack((a, b, self.mlp(torch.cat((a, b), dim=1))), dim=1)
        fused: torch.Tensor = self.attention(tokens).mean(dim=1)
        score = self.local(fused[:, None, None, :])
        return fused * torch.sigmoid(score.flatten(1))


class FusionAttention(nn.Module):
    """`fusion-attention`: visible (N, 3, H, W) to logits (N, classes)."""

    loss = "ce_on_logits"
    stages = ("end-to-end", "head", "fine-tune")

    def __init__(self, trunks: tuple[Trunk, Trunk], fusion: nn.Module, head: nn.Module, *, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.first, self.second = trunks
        self.fusion = fusion
        self.head = head

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        image = self.norm(visible)
        logits: torch.Tensor = self.head(self.fusion(self.first(image), self.second(image)))
        return logits

    def stage_parameters(self, stage: str) -> Mapping[str, float]:
        """Trunks that are trained already stay as they are first, and move at a tenth of the rate afterwards."""
        factor = {"end-to-end": 1.0, "head": 0.0, "fine-tune": 0.1}[stage]
        return {"first": factor, "second": factor}


def classifier(channels: int, settings: Settings) -> nn.Sequential:
    """Two fully connected layers: (N, channels) to (N, classes)."""
    hidden = scaled(_HIDDEN, settings.number("width"))
    return nn.Sequential(
        nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, settings.integer("classes"))
    )


def _build(settings: Settings) -> nn.Module:
    size, maps = settings.integer("size"), settings.text("variant") == "maps"
    if maps and size % _STRIDE:
        raise UsageError(
            f"size={size} is not a multiple of {_STRIDE}, so that a ResNet and a VGG end in maps of different sizes",
            hint=f"take {max(1, round(size / _STRIDE)) * _STRIDE}, or variant=tokens",
        )
    trunks = trunk_pair(settings)
    channels, heads = trunks[0].out_channels, settings.integer("heads")
    fusion = MapFusion(channels, size // _STRIDE, heads=heads) if maps else TokenFusion(channels, heads=heads)
    return FusionAttention(trunks, fusion, classifier(channels, settings), norm=visible_norm(settings))


FAMILIES = (
    NetworkFamily(
        name="fusion-attention",
        summary="two trunks fused by an MLP, their mean, self-attention and local attention",
        paper=PAPER,
        graph_role="visible",
        options=(
            *common_options("raf-db", norm="imagenet"),
            PAIR_OPTION,
            Option(
                "variant",
                "maps",
                "what is attended to: the positions of the feature maps, or three pooled vectors",
                choices=("maps", "tokens"),
            ),
            Option("heads", "8", "heads of the self-attention", choices=("1", "8")),
            ATTENTION_OPTION,
        ),
        build=_build,
        inputs=visible_input,
        label_sets=("raf-db",),
    ),
)
