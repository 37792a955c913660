"""Element types of ONNX by the short names that the facts use."""

from __future__ import annotations

_NAMES = {
    "FLOAT": "fp32",
    "FLOAT16": "fp16",
    "BFLOAT16": "bf16",
    "DOUBLE": "fp64",
    "FLOAT8E4M3FN": "fp8",
    "FLOAT4E2M1": "fp4",
}


def short_name(number: int) -> str | None:
    """The short name of a `TensorProto.DataType`; ONNX's own in lower case where there is none, None for no type."""
    if number == 0:
        return None
    from onnx import TensorProto

    try:
        name: str = TensorProto.DataType.Name(number)
    except ValueError:
        return f"type {number}"
    return _NAMES.get(name, name.lower())
