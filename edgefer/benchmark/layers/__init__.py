"""Layer by layer: profilers, blocks of the network, INT8 coverage, reformats, and the machine's roofline."""

from edgefer.benchmark.layers.measure import compiled_layers, layers

__all__ = ["compiled_layers", "layers"]
