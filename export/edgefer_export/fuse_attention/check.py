"""Whether what is written computes what was read: each match by itself, and then the whole graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxscript import ir

from edgefer_export.checks import Array, literal_graph, random_feeds, relative_error
from edgefer_export.fuse_attention import reference
from edgefer_export.fuse_attention.block import Block
from edgefer_export.fuse_attention.rules import rewritten
from edgefer_export.fuse_attention.scaled_attention import Attention
from edgefer_export.fuse_attention.slices import drawn_feeds, sliced
from edgefer_export.fuse_attention.survey import as_graph, survey
from edgefer_export.fuse_attention.values import NoMatch

TOLERANCE = 1e-5
"""Largest max|a-b| / max(1, max|ref|) of a match by itself.

In float32 a block is off by some 1e-6: its sums have at most ten thousand terms, each rounded by 6e-8 in a random
direction, and a gate multiplies what is off in them by at most 1/4. Two columns in the wrong order, or a bias that is
missing, are 1e-3 and more.
"""

WHOLE_TOLERANCE = 1e-4
"""The same of a whole graph, in which the differences of blocks go through all that follows; as for simplifying."""

_SEEDS = (31, 32)


def difference_of(match: Block | Attention, opset: int) -> str:
    """Why a match may not be written; empty where it may.

    The nodes that it was read from run by themselves on random inputs, as do those that would be written, and both are
    held against float64.
    """
    try:
        before = sliced(match.nodes, _output(match), opset)
        after = _rewritten_alone(before, match)
        graphs = literal_graph(before), literal_graph(after)
        for seed in _SEEDS:
            feeds = drawn_feeds(before, seed)
            exact = _exact(match, before, feeds)
            found = [next(iter(graph.run(feeds).values())) for graph in graphs]
            errors = [_error(found[0], exact), _error(found[1], exact), _error(found[1], found[0])]
            if not max(errors) <= TOLERANCE:
                read, written, both = (f"{error:.1e}" for error in errors)
                return f"off by {read} as it is, {written} as it would be, {both} between them; at most {TOLERANCE:.0e}"
    except NoMatch as reason:
        return str(reason)
    except Exception as error:  # onnxruntime and onnx raise whatever a part of a graph makes them raise
        return f"it does not run by itself: {type(error).__name__}: {str(error).strip()[:200]}"
    return ""


def whole_difference(before: onnx.ModelProto, after: onnx.ModelProto) -> str:
    """Why `after` may not take the place of `before`; empty where it may."""
    onnx.checker.check_model(after, full_check=True)
    if len(after.graph.node) > len(before.graph.node):
        return f"{len(before.graph.node)} nodes would become {len(after.graph.node)}"
    graphs = literal_graph(before), literal_graph(after)
    for seed in _SEEDS:
        feeds = random_feeds(before, seed, batch=2)
        expected, found = (graph.run(feeds) for graph in graphs)
        for name, value in expected.items():
            error = _error(found[name], value)
            if not error <= WHOLE_TOLERANCE:
                return f"output {name} would be off by {error:.1e}, expected at most {WHOLE_TOLERANCE:.0e}"
    return ""


def _output(match: Block | Attention) -> ir.Value:
    return match.root.outputs[0] if isinstance(match, Block) else match.output


def _rewritten_alone(model: onnx.ModelProto, match: Block | Attention) -> onnx.ModelProto:
    """The slice with the one match in it written as it would be in the whole graph."""
    graph = as_graph(model)
    found = survey(graph.graph)
    if isinstance(match, Block):
        extents = (block for candidate in found.candidates() for block in candidate)
        blocks = [block for block in extents if block.key == match.key and block.operator == match.operator]
        attentions = []
    else:
        blocks, attentions = [], [each for each in found.attentions if each.key == match.key]
    if len(blocks) + len(attentions) != 1:
        raise NoMatch("it is not found again by itself")
    return rewritten(model, graph, blocks, attentions)


def _exact(match: Block | Attention, model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    if isinstance(match, Attention):
        return _in_double(model, feeds)
    tensors = {name: np.asarray(array, np.float64) for name, array in match.weights.items()}
    tensors |= {name: np.asarray(feeds[str(value.name)], np.float64) for name, value in match.maps.items()}
    if match.operator == "CbamAttention":
        return reference.cbam_attention(tensors, bool(match.attributes["relu"]))
    variant = match.variant
    return reference.channel_gate(tensors, str(variant["gate"]), float(variant["alpha"]), float(variant["beta"]))


def _in_double(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    """What a slice gives when its float32 is float64, in onnx's own evaluator."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for value in (*wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    doubles = {
        name: np.asarray(array, np.float64) if array.dtype == np.float32 else array for name, array in feeds.items()
    }
    outputs: Any = ReferenceEvaluator(wide).run(None, doubles)
    return np.asarray(outputs[0])


def _error(found: Array, expected: Array) -> float:
    """As `relative_error`; where both are not a number, as attention to no key at all is, they agree."""
    if found.shape != expected.shape:
        return float("inf")
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0 if np.array_equal(found, expected) else float("inf")
    missing = np.isnan(expected)
    if not np.array_equal(missing, np.isnan(found)):
        return float("inf")
    return relative_error(found[~missing], expected[~missing])
