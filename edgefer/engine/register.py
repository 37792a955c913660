"""A graph prepared for edgefer's plugins, which are registered with a TensorRT and left the nodes that they can do.

Registering changes the process, so this runs in a child.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgefer.engine.driver import cuda_driver
from edgefer.engine.flavours import Flavour
from edgefer.engine.inlining import Operator
from edgefer.engine.portable import Prepared, prepare
from edgefer.engine.tensors import Known
from edgefer.errors import EnvironmentMismatch, PluginMissing
from edgefer.kernels.cubins import choose, index, read

_INLINE = "compile with --plugins inline: TensorRT then computes the operators by itself"


def with_plugins(flavour: Flavour, graph: bytes) -> Prepared:
    """Register the plugins and prepare `graph` for them.

    Raises:
        PluginMissing: they cannot be registered, or there are no kernels for the GPU that the engine is built for, or
            their binaries are damaged.
        BundleError, CompileError: from preparing the graph.
    """
    registered = register_plugins(flavour)
    with _named(flavour):
        _check_kernels(flavour)
    return prepare(graph, registered, unsupported, takes_int8="i8" in flavour.plugin_formats)


def register_plugins(flavour: Flavour) -> frozenset[Operator]:
    """Register the plugins with this TensorRT; the operators that they implement.

    Raises:
        PluginMissing: none can be registered.
    """
    from edgefer.plugins import registry

    if not hasattr(flavour.module, "IPluginV3"):
        raise PluginMissing(f"{flavour.name} {flavour.version} has no plugins of version 3", hint=_INLINE)
    with _named(flavour):
        registered = registry.register(flavour)
    if not registered:
        raise PluginMissing(f"{flavour.name} {flavour.version} registered none of edgefer's plugins", hint=_INLINE)
    return registered


def _check_kernels(flavour: Flavour) -> None:
    """See that an engine which is built now will find its kernels."""
    shipped = index()
    if flavour.builds_without_gpu:
        # Which GPU will run the engine is not known, so none may be missing.
        for binary in shipped.binaries:
            read(binary)
    else:
        for gpu in cuda_driver().gpus[:1]:
            read(choose(gpu.compute_capability, shipped))


@contextmanager
def _named(flavour: Flavour) -> Iterator[None]:
    """What is missing for plugins is a plugin that is missing, whatever it is."""
    try:
        yield
    except PluginMissing:
        raise
    except EnvironmentMismatch as error:
        raise PluginMissing(
            f"edgefer's plugins cannot be used with {flavour.name} {flavour.version}: {error.message}",
            hint=f"{error.hint}; or {_INLINE}".removeprefix("; or "),
            details=error.details,
        ) from error


def unsupported(operator: str, attributes: Mapping[str, Any], inputs: Known) -> str:
    """Why no kernel takes a node, from what is known without a TensorRT; empty where one does."""
    from edgefer.plugins import supported

    shapes = {name: each.shape for name, each in inputs.items()}
    return supported.unsupported(operator, attributes, shapes, {name: each.element for name, each in inputs.items()})
