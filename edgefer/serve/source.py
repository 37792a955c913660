"""The graph of a bundle that is to be served, in an ONNX that takes nothing but standard operators."""

from __future__ import annotations

from dataclasses import dataclass

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec, OutputSpec
from edgefer.engine.portable import for_parser
from edgefer.errors import ExportError


@dataclass(frozen=True)
class Source:
    """One graph of a bundle. `onnx` has no functions, `free_batch` says whether its inputs and outputs all leave the
    batch open."""

    bundle: Bundle
    graph: GraphSpec
    onnx: bytes
    free_batch: bool

    @property
    def logits(self) -> OutputSpec | None:
        """The output with the scores of the classes, where there is one."""
        return next((output for output in self.graph.outputs if output.role == "logits"), None)


def source(bundle: Bundle, role: str | None, server: str) -> Source:
    """The graph with this role, or the first, for `server`, whose name errors tell.

    Raises:
        InputError: there is no graph with that role.
        ExportError: the bundle is of two graphs, one of which makes saliency maps.
        EnvironmentMismatch: the package `onnx` is missing.
        BundleError: the graph is not an ONNX model.
    """
    graph = bundle.graph(role)
    if bundle.manifest.saliency is not None:
        raise ExportError(
            f"this bundle has a graph that makes saliency maps, which {server} cannot be given: the map of one frame "
            "is used on the next ones and moves with the face, and a server keeps nothing from request to request",
            hint="run it with edgefer.runtime.saliency.SaliencySession, or build the network without --saliency",
        )
    onnx = for_parser(bundle.onnx(graph))
    return Source(bundle, graph, onnx, _leaves_batch_free(onnx))


def _leaves_batch_free(onnx_bytes: bytes) -> bool:
    import onnx

    graph = onnx.ModelProto.FromString(onnx_bytes).graph
    given = {each.name for each in graph.initializer}
    tensors = [each for each in (*graph.input, *graph.output) if each.name not in given]
    axes = [each.type.tensor_type.shape.dim for each in tensors]
    return all(len(dims) > 0 and not dims[0].HasField("dim_value") for dims in axes)
