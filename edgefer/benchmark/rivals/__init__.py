"""The same network by other means, measured in turn with ours: bare runtimes, OpenCV, PyTorch, trtexec."""

from edgefer.benchmark.rivals.measure import measure_rivals
from edgefer.benchmark.rivals.table import RIVALS, rival_names

__all__ = ["RIVALS", "measure_rivals", "rival_names"]
