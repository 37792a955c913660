"""Networks that come as an ONNX file from elsewhere: read, refused or brought into the project's form."""

from edgefer_export.foreign.load import Said, load_onnx, with_labels
from edgefer_export.foreign.network import ForeignNetwork

__all__ = ["ForeignNetwork", "Said", "load_onnx", "with_labels"]
