"""What a rival is: another way to run the graph of a bundle, made ready to be called again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from edgefer.benchmark.result import Settings
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec

Outputs = Mapping[str, npt.NDArray[Any]]
Feeds = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """What all are to run: a graph of a bundle on the same tensors, by input name, with as many threads."""

    bundle: Bundle
    graph: GraphSpec
    feeds: Feeds
    threads: int

    @property
    def onnx(self) -> bytes:
        """The graph as it is deployed."""
        return bytes(self.bundle.onnx(self.graph))

    def settings(self, runner: str, versions: Mapping[str, str], note: str = "") -> Settings:
        """How a rival on the CPU runs it."""
        return Settings(
            runner=runner,
            device="cpu",
            measured="runner",
            precision=str(self.bundle.manifest.precision),
            threads=self.threads,
            batch=next(iter(self.feeds.values())).shape[0],
            versions=dict(versions),
            note=note,
        )


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Prepared:
    """A rival ready to run: `run` answers once, with every output by name; `close` puts back what preparing changed in
    the process."""

    run: Callable[[], Outputs]
    settings: Settings
    close: Callable[[], None] = _nothing


@dataclass(frozen=True)
class Sampled:
    """A rival that runs in a process of its own and times itself: `sample` gives the durations of about so many seconds
    of running, in seconds."""

    sample: Callable[[float], Sequence[float]]
    settings: Settings
    close: Callable[[], None] = _nothing


@dataclass(frozen=True)
class Absent:
    """Why a rival cannot run the graph here."""

    reason: str


class Rival(Protocol):
    """One of the other ways."""

    @property
    def name(self) -> str:
        """As it is asked for."""

    def prepare(self, task: Task) -> Prepared | Sampled | Absent:
        """Load the graph, ready to run. Nothing is raised for what this machine or the rival cannot do."""
