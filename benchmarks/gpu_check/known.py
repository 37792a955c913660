"""What a session on the GPU must answer, and how answers are held against it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_check.subject import Feeds, OnGpu, Subject
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

EXAMPLES = 6


class Wrong(Exception):
    """A check found something wrong."""


class Absent(Exception):
    """A check cannot be made here."""


@dataclass(frozen=True)
class Known:
    """Examples, and their logits from plain enqueues, one inference at a time on one stream."""

    subject: Subject
    examples: list[Feeds]
    expected: list[NDArray[Any]]


def known(subject: Subject) -> Known:
    """Answers without any graph.

    Raises:
        Wrong: different examples have the same answer, or one is answered in two ways.
    """
    examples = [subject.feeds(seed=seed) for seed in range(EXAMPLES)]
    with subject.open(GpuSettings(graphs=False)) as session:
        found = Known(subject, examples, answers(session, examples))
        same("a second time", answers(session, examples), found.expected)
    if len({logits.tobytes() for logits in found.expected}) != EXAMPLES:
        raise Wrong(f"{EXAMPLES} different inputs have fewer answers")
    return found


def answers(session: Session, examples: list[Feeds]) -> list[NDArray[Any]]:
    """The logits of each."""
    return [logits_of(session, example) for example in examples]


def logits_of(session: Session, tensors: dict[str, Any]) -> NDArray[Any]:
    """The logits of one example, on the host or on the GPU."""
    return np.array(session.infer(**tensors).logits)


def on_gpu(feeds: Feeds, stack: ExitStack) -> dict[str, OnGpu]:
    """The example in the GPU's memory, until `stack` ends; taken as another library takes it, beside the session."""
    device = CudaDevice()
    stack.callback(device.close)
    return {name: OnGpu(device, array) for name, array in feeds.items()}


def same(what: str, found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> None:
    """Raises Wrong where a bit differs."""
    for each, wanted in zip(found, expected, strict=True):
        if each.tobytes() != wanted.tobytes():
            raise Wrong(f"with {what} the logits are {each.tolist()}, expected {wanted.tolist()} to the bit")


def close(what: str, found: NDArray[Any], expected: NDArray[Any], limit: float) -> float:
    """The largest |a - b| / (1 + |b|); raises Wrong above `limit`."""
    off = float((np.abs(found - expected) / (1 + np.abs(expected))).max())
    if not off <= limit:
        raise Wrong(f"{what} are off by {off:.3g}, at most {limit:g} allowed")
    return off
