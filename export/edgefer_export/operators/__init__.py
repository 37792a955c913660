"""Operators of domain `edgefer`, version 1: signatures, bodies of standard operators, and their place in a model.

An attention block is a node of this domain and a model-local function of the same name. Whoever has no kernel for the
node runs the function, so one ONNX file is portable.
"""

from edgefer_export.operators.bodies import function_body
from edgefer_export.operators.functions import Attached, attach_functions, operator_counts
from edgefer_export.operators.signatures import (
    DOMAIN,
    IR_VERSION,
    OPERATORS,
    OPSET,
    PLUGIN_VERSION,
    Operator,
    Variant,
    variant,
    variant_of,
)

__all__ = [
    "DOMAIN",
    "IR_VERSION",
    "OPERATORS",
    "OPSET",
    "PLUGIN_VERSION",
    "Attached",
    "Operator",
    "Variant",
    "attach_functions",
    "function_body",
    "operator_counts",
    "variant",
    "variant_of",
]
