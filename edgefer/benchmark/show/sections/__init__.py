"""What a result says, subject by subject: the same tables for the terminal and for the page."""

from __future__ import annotations

from edgefer.benchmark.result import Result
from edgefer.benchmark.show.sections.conditions import conditions
from edgefer.benchmark.show.sections.cost import cold_start, memory, power
from edgefer.benchmark.show.sections.latency import closed, opened
from edgefer.benchmark.show.sections.layers import compiled, layers
from edgefer.benchmark.show.sections.rivals import rivals
from edgefer.benchmark.show.sections.throughput import throughput
from edgefer.benchmark.show.table import Section


def sections(result: Result) -> tuple[Section, ...]:
    """All subjects in the order in which they are read; one that was not measured says why."""
    made = (closed, rivals, opened, throughput, layers, compiled, cold_start, memory, power, conditions)
    return tuple(each(result) for each in made)
