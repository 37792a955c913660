"""The machine under a benchmark: what it is, its state at moments along the way, and what about it is not steady."""

from edgefer.benchmark.machine.cpu import features as cpu_features
from edgefer.benchmark.machine.describe import describe
from edgefer.benchmark.machine.observe import Observer, moment
from edgefer.benchmark.machine.steadiness import warnings

__all__ = ["Observer", "cpu_features", "describe", "moment", "warnings"]
