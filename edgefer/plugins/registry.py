"""Making the plugins known to a TensorRT, once in a process: those of Python, or those of the C++ library."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from edgefer.engine.flavours import Flavour
from edgefer.engine.inlining import Operator
from edgefer.errors import PluginMissing
from edgefer.kernels.launch import kernels
from edgefer.plugins import shim
from edgefer.plugins.creator import make_creator
from edgefer.plugins.fields import NAMESPACE, VERSION
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import ELSEWHERE, plugin_class
from edgefer.version import __version__

LIBRARY = "EDGEFER_PLUGIN_LIBRARY"
"""The variable that names a C++ library to take the plugins from."""
VERSION_SYMBOL = "edgefer_plugins_version"
"""What the library exports: a function without arguments that gives its version as text."""

_registered: dict[str, tuple[str, frozenset[Operator]]] = {}
_kept: list[Any] = []
"""Creators and libraries: TensorRT's registry has their addresses."""


def register(flavour: Flavour, library: str | os.PathLike[str] | None = None) -> frozenset[Operator]:
    """Register a plugin for every operator, and return the operators. Further calls in this process do nothing more.

    Args:
        flavour: the TensorRT to register with.
        library: the C++ library to take them from; by default that of `EDGEFER_PLUGIN_LIBRARY`, and where that is not
            set, the plugins in Python.

    Raises:
        PluginMissing: the library is missing, is none, or of another version; or plugins of the same names and another
            origin are registered already.
        EnvironmentMismatch: TensorRT-RTX's parser cannot be given what it needs for plugins.
    """
    source = os.fspath(library) if library is not None else os.environ.get(LIBRARY, "")
    if flavour.name in _registered:
        before, operators = _registered[flavour.name]
        if before != source:
            raise PluginMissing(
                f"the plugins of this process are from {before or 'Python'}, asked for those from {source or 'Python'}",
                hint="start another process: TensorRT keeps what was registered",
            )
        return operators
    if flavour.name == "tensorrt_rtx":
        shim.install()
    registry = flavour.module.get_plugin_registry()
    if source:
        _load(registry, Path(source))
    else:
        _register(flavour, registry)
    operators = frozenset((NAMESPACE, name) for name in OPERATIONS)
    _registered[flavour.name] = (source, operators)
    return operators


def _register(flavour: Flavour, registry: Any) -> None:
    gpus = ELSEWHERE if flavour.builds_without_gpu else ()
    for operation in OPERATIONS.values():
        plugin = plugin_class(flavour.module, operation, flavour.plugin_formats, gpus, kernels)
        creator = make_creator(flavour.module, operation, plugin)
        if not registry.register_creator(creator, NAMESPACE):
            raise PluginMissing(
                f"{flavour.name} {flavour.version} has another plugin {NAMESPACE}::{operation.name}, version {VERSION}",
                hint=f"a library with edgefer's plugins was loaded before; name it in {LIBRARY}",
            )
        _kept.append(creator)


def _load(registry: Any, path: Path) -> None:
    path = path.absolute()
    if not path.is_file():
        raise PluginMissing(f"there is no plugin library {path}", hint=f"correct {LIBRARY}, or unset it")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise PluginMissing(
            f"{path} cannot be loaded as a library: {error}",
            hint="build it on this machine, against this TensorRT",
        ) from error
    _kept.append(library)
    found = _version_of(library)
    if found != __version__:
        raise PluginMissing(
            f"{path} is {f'of version {found}' if found else 'no library of edgefer plugins'}, "
            f"expected version {__version__}",
            hint="build the library from the sources of this edgefer, or install the edgefer that it was built from",
        )
    handle = registry.load_library(str(path))
    if handle is None:
        raise PluginMissing(
            f"TensorRT does not take the plugin library {path}",
            hint="it was built against another TensorRT, or its plugins are registered already; the log says more",
        )
    _kept.append(handle)
    known = {(creator.plugin_namespace, creator.name, creator.plugin_version) for creator in registry.all_creators}
    missing = [name for name in OPERATIONS if (NAMESPACE, name, VERSION) not in known]
    if missing:
        raise PluginMissing(
            f"{path} has no plugin for {', '.join(missing)} of version {VERSION}",
            hint="build the library from the sources of this edgefer",
        )


def _version_of(library: ctypes.CDLL) -> str:
    try:
        function = getattr(library, VERSION_SYMBOL)
    except AttributeError:
        return ""
    function.restype = ctypes.c_char_p
    answer = function()
    return answer.decode(errors="replace") if answer else ""
