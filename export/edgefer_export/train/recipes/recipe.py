"""A recipe: the settings of a training as somebody published them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from edgefer_export.train.spec import Composite, Offline, Sampler

_ABOUT = frozenset({"name", "summary", "source", "networks", "ours", "left_out"})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training under a name; each is explained at the field of `TrainSpec` with the same name.

    Attributes:
        name: what `--recipe` takes. Several recipes may share it where no network belongs to two of them.
        summary: in one line.
        source: where the settings come from.
        networks: what it is for; empty: any.
        ours: the settings (and options, as `option size`) that the source does not state, and that are our choice.
        left_out: what of the source is not done, in sentences.
        options: of the network.
    """

    name: str
    summary: str
    source: str
    networks: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    optimiser: str
    learning_rate: float
    schedule: str
    epochs: int
    batch: int
    head_rate: float = 1.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    dropout: float | None = None
    flip: bool = False
    crop: float = 0.0
    rotation: float = 0.0
    padding: int = 0
    moved: float = 1.0
    erasing: float = 0.0
    offline: Offline = "none"
    apart: bool = False
    composite: Composite = "none"
    sampler: Sampler = "shuffled"
    epoch_samples: int | None = None
    patience: int | None = None
    validation_share: float = 0.1
    stage: str | None = None

    def settings(self) -> dict[str, Any]:
        """What it says of the fields of `TrainSpec`."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _ABOUT}
