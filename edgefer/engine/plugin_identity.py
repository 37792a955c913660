"""What an engine with plugins depends on besides TensorRT and the GPU: the operators, their kernels and their code."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

import msgspec

import edgefer
from edgefer.engine.plugin_nodes import DOMAIN, SIGNATURES

LIBRARY = "EDGEFER_PLUGIN_LIBRARY"
"""The variable that names a C++ library to take the plugins from, as `edgefer.plugins.registry` reads it."""

_ROOT = Path(edgefer.__file__).parent
_CODE = ("plugins", "kernels")


class PluginIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The operators that there are plugins for, the SHA-256 of the index of kernel binaries (empty where there is
    none), that of the plugins' own code, and that of the C++ library in their place (empty: Python)."""

    operators: tuple[str, ...] = ()
    kernels: str = ""
    code: str = ""
    library: str = ""


def plugin_identity() -> PluginIdentity:
    """Of this edgefer, with the library that the environment names. A library that is not there has no digest: it is
    refused when plugins are registered."""
    named = os.environ.get(LIBRARY, "")
    return PluginIdentity(
        operators=tuple(sorted(f"{DOMAIN}::{name}" for name in SIGNATURES)),
        kernels=_digest([_ROOT / "cubins" / "index.json"]),
        code=_code_digest(),
        library=_digest([Path(named)]) if named else "",
    )


@cache
def _code_digest() -> str:
    return _digest(sorted(path for folder in _CODE for path in (_ROOT / folder).rglob("*.py")))


def _digest(paths: list[Path]) -> str:
    """Over the names and contents of files; empty where there are none."""
    digest = hashlib.sha256()
    found = [path for path in paths if path.is_file()]
    for path in found:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest() if found else ""
