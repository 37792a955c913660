"""Power and energy of a run: where they are read from, sampled beside the run, and integrated over it."""

from edgefer.benchmark.power.energy import power
from edgefer.benchmark.power.find import find_source
from edgefer.benchmark.power.series import PowerSampler, Series, Window
from edgefer.benchmark.power.source import PowerSource, SourceRail

__all__ = ["PowerSampler", "PowerSource", "Series", "SourceRail", "Window", "find_source", "power"]
