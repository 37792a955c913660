"""The form of a deployed graph that onnxruntime computes fast on a CPU.

A bundle holds the graph that TensorRT wants: symmetric signed Q/DQ before convolutions and matrix products, or casts to
FP16. onnxruntime has no kernels for that and computes it in floating point behind the conversions, slower than FP32.
From the deployed graph alone, without new calibration, `derive` makes a graph of integer kernels that computes the
same; `choose` decides when it runs, checks it against the golden inputs, and keeps it in the user's cache.
"""

from typing import Literal

Asked = Literal["auto", "deployed", "reduced"]
"""Which form is asked for: the fastest that is sound here, the deployed graph itself, or one with 7-bit weights."""
