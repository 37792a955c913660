"""What a registered network is made of, and the pieces that the families share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from edgefer.bundle.manifest import GraphRole, ImageSpec, InputSpec
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.networks.options import Option, Settings

Band = Literal["nir", "lwir"]

# Five halvings lie between the image and the last feature map.
SMALLEST_SIZE = 32


def label_options(*sets: str) -> tuple[Option, Option]:
    """The options `classes` and `labels` of a network that was published for these sets of `LABEL_SETS`, the first
    being its default; `auto` takes the first of them that has as many classes as asked for."""
    named = ", ".join(f"{name} ({', '.join(LABEL_SETS[name])})" for name in sets)
    return (
        Option("classes", str(len(LABEL_SETS[sets[0]])), "number of expressions", "int", minimum=2, maximum=10000),
        Option(
            "labels",
            "auto",
            f"names of the classes: {named}, or those of another data set; auto: the first of these with that many",
            choices=("auto", *LABEL_SETS),
        ),
    )


def common_options(*sets: str, size: int = 224, norm: str = "none") -> tuple[Option, ...]:
    """Width, size, classes, labels and normalisation, which every network has."""
    return (
        Option(
            "width", "1", "multiplies the channels of every layer (at least 8 stay)", "float", minimum=0.01, maximum=8
        ),
        Option(
            "size", str(size), "height and width of the images in pixels", "int", minimum=SMALLEST_SIZE, maximum=4096
        ),
        *label_options(*sets),
        Option(
            "norm", norm, "normalise by ImageNet's mean and deviation inside the graph", choices=("none", "imagenet")
        ),
    )


COMMON_OPTIONS = common_options("viri", "nvie")


@dataclass(frozen=True)
class NetworkFamily:
    """A registered network: what it is, where it comes from, its options, and how to make it and its inputs.

    `label_sets` are those of `LABEL_SETS` that it was published for, the default first. `logits` is False for a network
    that does not classify. `targets` are the images that it is trained towards, where there are any.
    """

    name: str
    summary: str
    paper: str
    graph_role: GraphRole
    options: tuple[Option, ...]
    build: Callable[[Settings], nn.Module]
    inputs: Callable[[Settings, Band], tuple[InputSpec, ...]]
    label_sets: tuple[str, ...] = ("viri", "nvie")
    logits: bool = True
    targets: Callable[[Settings, Band], tuple[InputSpec, ...]] | None = None


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
