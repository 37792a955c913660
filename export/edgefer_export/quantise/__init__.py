"""INT8 by explicit Q/DQ, as TensorRT and TensorRT-RTX take it.

Symmetric signed INT8 with zero point 0; weights per output channel, stored as INT8 behind a DequantizeLinear;
activations per tensor, Q/DQ on what Conv, Gemm and MatMul read; biases and outputs in floating point.

The ranges and the nodes are our own. onnxruntime's quantiser takes no ranges from outside, keeps intermediate tensors
of all samples in memory, defaults to forms that TensorRT's parser refuses (unsigned activations, 32-bit biases), and
its entropy method chooses the same thresholds as its maximum.
"""

from edgefer_export.quantise.calibrate import Feed, Feeds
from edgefer_export.quantise.pipeline import quantise
from edgefer_export.quantise.result import Layer, QuantisedGraph, Range
from edgefer_export.quantise.spec import METHODS, Method, QuantiseSpec

__all__ = [
    "METHODS",
    "Feed",
    "Feeds",
    "Layer",
    "Method",
    "QuantiseSpec",
    "QuantisedGraph",
    "Range",
    "quantise",
]
