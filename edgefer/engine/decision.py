"""Plugins or standard operators: what was asked for, what was taken and why, as a record beside an engine."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from edgefer.bundle.manifest import PluginPolicy

POLICIES: tuple[PluginPolicy, ...] = get_args(PluginPolicy)
Way = Literal["plugin", "inline"]
"""The two forms of a graph: its operators of domain `edgefer` as plugins where there are kernels, or none of them."""

RaceVerdict = Literal["faster", "slower", "within-noise"]


NO_OPERATOR = "the graph has no operator of domain edgefer"
ASKED = "it was asked for"


class WrittenOut(msgspec.Struct, frozen=True, kw_only=True):
    """A node whose operator has a plugin, but none for its sizes or attributes: standard operators took its place."""

    node: str
    operator: str
    reason: str

    def text(self) -> str:
        return f"node {self.node} ({self.operator}): {self.reason}: written out"


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """One way in a race: its time, and the error of each output against the bundle's golden answers.

    `seconds` is the median of one inference, replayed from a CUDA graph; None where it was not timed. `problem` says
    what kept it from answering or being timed. `right` is whether all errors are within the bundle's tolerances.
    """

    seconds: float | None = None
    errors: dict[str, float] = {}
    right: bool = False
    problem: str = ""


class RaceResult(msgspec.Struct, frozen=True, kw_only=True):
    """Both ways on one GPU in turn. `ratio` is plugin over inline, of medians, with its interval.

    `difference` is between the two, by output. `replays` in a block are timed as one; `blocks` of each were.
    """

    plugin: Contender
    inline: Contender
    batch: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    verdict: RaceVerdict | None = None
    difference: dict[str, float] = {}
    replays: int = 0
    blocks: int = 0


class PluginDecision(msgspec.Struct, frozen=True, kw_only=True):
    """How the operators of domain `edgefer` were compiled.

    `asked` is the policy, `taken` what the engine is, `reason` why. `operators` counts the nodes that are plugins;
    `written_out` are those that a plugin does not take; `absorbed` names the nodes that read or write INT8 themselves.
    `notes` say what went wrong on the way. `race` is there where both ways were timed.
    """

    asked: PluginPolicy
    taken: Way
    reason: str
    operators: dict[str, int] = {}
    written_out: tuple[WrittenOut, ...] = ()
    absorbed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    race: RaceResult | None = None

    def lines(self) -> tuple[str, ...]:
        """The decision for a reader: how it went, then what was left out, and what went wrong. Nothing where there was
        nothing to decide."""
        if self.reason == NO_OPERATOR:
            return ()
        counted = ", ".join(f"{count} {name}" for name, count in self.operators.items())
        asked = f"{self.asked} was asked for"
        why = f": {asked}" if self.reason == ASKED else f" ({asked}): {self.reason}"
        first = f"{counted or 'none'}{why}"
        if self.absorbed:
            verb = "reads or writes" if len(self.absorbed) == 1 else "read or write"
            first += f"; {len(self.absorbed)} of them {verb} INT8"
        return (first, *(each.text() for each in self.written_out), *self.notes)
