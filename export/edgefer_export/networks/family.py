"""What a registered network is made of, and the pieces that the families share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from edgefer.bundle.manifest import GraphRole, ImageSpec, InputSpec
from edgefer_export.networks.options import Option, Settings

Band = Literal["nir", "lwir"]

# Five halvings lie between the image and the last feature map.
SMALLEST_SIZE = 32

LABEL_SETS: dict[str, tuple[str, ...]] = {
    "viri": ("angry", "happy", "neutral", "sad", "surprise"),
    "nvie": ("disgust", "fear", "happy"),
}

COMMON_OPTIONS = (
    Option("width", "1", "multiplies the channels of every layer (at least 8 stay)", "float", minimum=0.01, maximum=8),
    Option("size", "224", "height and width of the images in pixels", "int", minimum=SMALLEST_SIZE, maximum=4096),
    Option("classes", "5", "number of expressions", "int", minimum=2, maximum=10000),
    Option(
        "labels",
        "auto",
        "names of the classes: viri (angry, happy, neutral, sad, surprise), nvie (disgust, fear, happy), or auto: "
        "whichever has that many classes",
        choices=("auto", *LABEL_SETS),
    ),
    Option("norm", "none", "normalise by ImageNet's mean and deviation inside the graph", choices=("none", "imagenet")),
)


@dataclass(frozen=True)
class NetworkFamily:
    """A registered network: what it is, where it comes from, its options, and how to make it and its inputs."""

    name: str
    summary: str
    paper: str
    graph_role: GraphRole
    options: tuple[Option, ...]
    build: Callable[[Settings], nn.Module]
    inputs: Callable[[Settings, Band], tuple[InputSpec, ...]]


class ImageNetNorm(nn.Module):
    """(x - mean) / deviation per channel of images in 0..1, by ImageNet's RGB statistics; their averages for one
    channel."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        if channels == 1:
            mean, deviation = mean.mean(dim=0, keepdim=True), deviation.mean(dim=0, keepdim=True)
        # Constants, not weights: a checkpoint is the same with and without.
        self.register_buffer("scale", (1 / deviation).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / deviation).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.scale + self.shift


def image_input(
    name: str, role: Literal["visible", "infrared"], channels: int, size: int, band: Band | None = None
) -> InputSpec:
    """A square image input (1, channels, size, size), float32 in 0..1; one channel is grey, three are RGB."""
    image = ImageSpec(colour="grey" if channels == 1 else "rgb", band=band if role == "infrared" else "visible")
    return InputSpec(name=name, role=role, shape=(1, channels, size, size), image=image)


def present_input() -> InputSpec:
    """The modality mask (1, 2): visible, infrared; 1 there, 0 missing."""
    return InputSpec(name="present", role="present", shape=(1, 2))
