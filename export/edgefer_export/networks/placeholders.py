"""What a network takes in place of a camera that is missing: nothing, or values that it has learned.

Where a network is trained with cameras left out (`--modality-dropout`), a learned placeholder lets it tell "there is no
camera" from "the camera sees black". Plain operators alone, so that every exporter and quantiser takes them.
"""

from __future__ import annotations

import torch
from torch import nn

from edgefer.errors import UsageError
from edgefer_export.networks.options import Option, Settings

PRESENT = Option(
    "present", "false", "a third input (N, 2) that says which cameras are there: visible, infrared", kind="flag"
)
PLACEHOLDER = Option(
    "placeholder",
    "none",
    "what stands for a missing camera: nothing, or values that are learned (needs present=true)",
    choices=("none", "learned"),
)


def learns(settings: Settings) -> bool:
    """Whether the network has placeholders.

    Raises:
        UsageError: it should, but has no input that says which cameras are there.
    """
    learned = settings.text("placeholder") == "learned"
    if learned and not settings.flag("present"):
        raise UsageError(
            "option placeholder=learned needs present=true: the network must be told which camera is missing",
            hint="--option present=true placeholder=learned",
        )
    return learned


class FeaturePlaceholder(nn.Module):
    """A vector for each of two cameras: f and present (N, 2) to f + (1 - present) · placeholder, of f's shape (N, 2C).

    `f` is 0 already where a camera is missing. The vectors begin at 0, which is no placeholder at all.

    Args:
        channels: C, of one camera.
        interleave: whether f is v0, i0, v1, i1, ... or all of v, then all of i.
    """

    def __init__(self, channels: int, *, interleave: bool) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(2, channels))
        self.interleave = interleave

    def forward(self, fused: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        missing = 1 - present
        if self.interleave:
            return fused + (missing.unsqueeze(1) * self.vectors.t()).flatten(1)
        return fused + (missing.unsqueeze(2) * self.vectors).flatten(1)


class PixelMask(nn.Module):
    """Two images, the missing ones replaced by a constant per channel: 0, or one that is learned.

    Visible (N, A, H, W), infrared (N, B, H, W) and present (N, 2) to both stacked, (N, A + B, H, W). The constant takes
    the place of normalised pixels, so that 0 is the mean colour where the network normalises.

    Args:
        channels: A + B.
        visible: A.
        learned: whether the constants are parameters; they begin at 0.
    """

    def __init__(self, channels: int, visible: int, *, learned: bool) -> None:
        super().__init__()
        self._visible = visible
        self.constant = nn.Parameter(torch.zeros(channels)) if learned else None

    def forward(self, visible: torch.Tensor, infrared: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        masks = [present[:, column, None, None, None] for column in range(2)]
        stacked = torch.cat((visible * masks[0], infrared * masks[1]), dim=1)
        if self.constant is None:
            return stacked
        constant = self.constant.view(1, -1, 1, 1)
        first, second = constant[:, : self._visible], constant[:, self._visible :]
        return stacked + torch.cat(((1 - masks[0]) * first, (1 - masks[1]) * second), dim=1)
