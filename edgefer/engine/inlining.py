"""Functions of an ONNX model inlined, with opset and IR version kept."""

from __future__ import annotations

from typing import Any

from edgefer.errors import CompileError

Operator = tuple[str, str]
"""Domain and name, as in ("edgefer", "CbamAttention")."""


def inlined(model: Any, functions: list[Operator]) -> Any:
    """`model` with `functions` inlined, nested ones too: the inliner replaces calls inside inlined bodies.

    Raises:
        CompileError: a function cannot be inlined, or only with another opset.
    """
    if not functions:
        return model
    from onnx import inliner

    opsets = {each.domain: each.version for each in model.opset_import}
    try:
        result = inliner.inline_selected_functions(model, functions)
    except (RuntimeError, ValueError) as error:
        names = ", ".join(f"{domain}::{name}" for domain, name in functions)
        raise CompileError(f"cannot inline {names}", hint="check the function bodies", details=str(error)) from error
    after = {each.domain: each.version for each in result.opset_import}
    if after.get("") != opsets.get("") or result.ir_version != model.ir_version:
        raise CompileError(
            f"inlining changed opset {opsets.get('')} to {after.get('')} or IR {model.ir_version} to "
            f"{result.ir_version}",
            hint="write the function bodies in the model's own opset",
        )
    return result
