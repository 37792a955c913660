"""Finding attention in other people's graphs.

CBAM and squeeze-and-excite in plain operators become nodes of domain `edgefer`; scaled dot-product attention gets the
form that TensorRT fuses. `fuse_attention` changes a graph, `recognise` only looks.
"""

from edgefer_export.fuse_attention.fuse import Fused, fuse_attention, recognise
from edgefer_export.fuse_attention.report import Found, FusionReport, Near

__all__ = ["Found", "Fused", "FusionReport", "Near", "fuse_attention", "recognise"]
