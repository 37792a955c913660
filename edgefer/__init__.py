"""edgefer: expression recognition on embedded GPUs, from checkpoint to verified engine to answer."""

from edgefer.version import __version__

__all__ = ["__version__"]
