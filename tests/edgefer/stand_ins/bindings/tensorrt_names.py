"""Which names of TensorRT a module of edgefer uses, found in its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

MODULES = frozenset({"trt", "_trt"})
"""Variables and attributes that hold the module itself; so does the attribute `module` of a flavour."""

HOLDERS: Mapping[str, Mapping[str, str]] = {
    "builder.py": {
        "config": "IBuilderConfig",
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "profile": "IOptimizationProfile",
        "error": "ParserError",
        "tensor": "ITensor",
    },
    "ask_worker.py": {"parser": "OnnxParser"},
    "progress.py": {"config": "IBuilderConfig"},
    "timing_cache.py": {
        "config": "IBuilderConfig",
        "cache": "ITimingCache",
        "other": "ITimingCache",
        "both": "ITimingCache",
    },
    "loaded.py": {
        "_engine": "ICudaEngine",
        "_runtime": "Runtime",
        "context": "IExecutionContext",
        "config": "IRuntimeConfig",
    },
    "inference.py": {"_context": "IExecutionContext"},
    "race_engine.py": {"_context": "IExecutionContext"},
    "tensorrt_profile.py": {
        "engine": "ICudaEngine",
        "context": "IExecutionContext",
        "inspector": "EngineInspector",
    },
}
"""The variables and attributes of a module that hold an object of TensorRT, and of which class."""

UNLISTED: Mapping[str, str] = {}
"""Names that edgefer and a class of TensorRT have in common, and whose they are here."""


def names_in(source: str) -> set[str]:
    """Every attribute that is named, and every text that could name one."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


def used_in(source: str, holders: Mapping[str, str] | None = None) -> set[str]:
    """Names of TensorRT as the tables have them: `Class`, `Class.member`, or a function of the module."""
    found = set()
    for base, name in _accesses(ast.parse(source)):
        owner = _owner(base, holders or {})
        if owner is not None and not name.startswith("__init"):
            found.add(f"{owner}.{name}" if owner else name)
    return found


def _accesses(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.value, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.args[0], name.value


def _owner(base: ast.expr, holders: Mapping[str, str]) -> str | None:
    """The class of TensorRT that the expression is an object of, "" for the module; None for anything else."""
    name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
    if name in MODULES or (name == "module" and isinstance(base, ast.Attribute)):
        return ""
    if isinstance(base, ast.Attribute) and _owner(base.value, holders) == "":
        return name  # trt.DataType.FLOAT
    return holders.get(name)
