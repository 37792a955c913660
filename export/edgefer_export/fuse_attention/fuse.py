"""The pass as a whole: read, choose, check each match, write, check the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from edgefer.errors import ExportError
from edgefer_export.fuse_attention.block import Block
from edgefer_export.fuse_attention.check import difference_of, whole_difference
from edgefer_export.fuse_attention.report import Found, FusionReport, Near
from edgefer_export.fuse_attention.rules import rewritten
from edgefer_export.fuse_attention.scaled_attention import Attention
from edgefer_export.fuse_attention.survey import Survey, as_graph, survey
from edgefer_export.operators import DOMAIN, OPSET, Variant, operator_counts, variant_of

Match = Block | Attention

# Every block has one of these; a graph without any need not be read, which takes seconds where its weights are large.
_ENDS = {"Mul", "Softmax"}
_QUANTISED = {"QuantizeLinear", "DequantizeLinear"}


@dataclass(frozen=True)
class Fused:
    """The graph to go on with, which is the very one that came in where nothing was to be written, and the report."""

    model: onnx.ModelProto
    changed: bool
    report: FusionReport


def recognise(model: onnx.ModelProto) -> FusionReport:
    """What blocks of attention a graph has, of any opset; nothing is run, and nothing changed."""
    found = _searched(model)
    largest = [extents[0] for extents in found.candidates()]
    attentions = (_found_attention(each, "to be scaled on Q") for each in found.attentions)
    return FusionReport((*map(_found, largest), *attentions), tuple(found.near))


def fuse_attention(model: onnx.ModelProto) -> Fused:
    """Write each block of attention as a node of domain `edgefer` with its function, and each scaled dot-product
    attention with its scale on Q.

    What is written computes what was there: each match alone on random inputs against float64 (`check.TOLERANCE`), and
    the whole graph against the one that came in. A match that does not is left as it is and listed, as is whatever
    would make the graph larger. Nodes of the domain that are there already stay, and so does a graph that came
    quantised: its Q/DQ are placed for the nodes that it has.

    Raises:
        ExportError: the model is not of the project's opset.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if opset != OPSET:
        raise ExportError(
            f"the model is of opset {opset}, expected {OPSET}",
            hint="convert the model to it, or leave attention as it is",
        )
    operators = {node.op_type for node in model.graph.node}
    if not operators & _ENDS or operators & _QUANTISED:
        return Fused(model, False, FusionReport())
    found = _searched(model)
    near = list(found.near)
    matches: list[Match] = [*_chosen(found, model, near)]
    matches += [each for each in found.attentions if not each.normal]
    result, written = _written(model, _passed(matches, near), near)
    blocks = [_found(each) for each in written if isinstance(each, Block)]
    kept = [each for each in found.attentions if each.normal or each in written]
    moved = (_found_attention(each, "scale moved to Q") for each in kept)
    report = FusionReport((*blocks, *moved), tuple(near))
    return Fused(model if result is None else result, result is not None, report)


def _searched(model: onnx.ModelProto) -> Survey:
    """What a graph has; of one that cannot be read at all, that."""
    try:
        return survey(as_graph(model).graph)
    except Exception as error:  # a graph of others may hold anything, and a build does not depend on this step
        return Survey(near=[Near("graph", model.graph.name, f"it cannot be searched for attention: {_line(error)}")])


def _chosen(found: Survey, model: onnx.ModelProto, near: list[Near]) -> list[Block]:
    """One extent of each block, so that all blocks of an operator are of one variant: a model has one function a name.

    That is the variant of nodes that are there already, else the one that most blocks can take.
    """
    given = {node.op_type: variant_of(node) for node in model.graph.node if node.domain == DOMAIN}
    chosen: list[Block] = []
    taken: set[object] = set()
    for operator in ("CbamAttention", "ChannelGate"):
        candidates = [extents for extents in found.candidates() if extents[0].operator == operator]
        candidates = [tuple(map(_with_biases(candidates, given.get(operator)), extents)) for extents in candidates]
        if not candidates:
            continue
        counts = Counter(block.variant for extents in candidates for block in extents)
        # Of variants that fit as many blocks the one with the largest extent, which is counted first.
        wanted = given.get(operator, counts.most_common(1)[0][0])
        for extents in candidates:
            block = next((each for each in extents if each.variant == wanted and taken.isdisjoint(each.nodes)), None)
            if block is None:
                others = "the nodes that are there already are" if operator in given else "most are"
                near.append(Near(operator, extents[0].name, f"it is {extents[0].variant}, and {others} {wanted}"))
                continue
            chosen.append(block)
            taken.update(block.nodes)
    return chosen


def _with_biases(candidates: Sequence[tuple[Block, ...]], given: Variant | None) -> Callable[[Block], Block]:
    """Gives a channel gate biases of 0 where another one has biases, so that both are of one variant."""
    some = {name for extents in candidates for name in extents[0].weights}
    wanted = some if given is None else given.present

    def completed(block: Block) -> Block:
        zeros = {"b1": len(block.weights["W1"]), "b2": len(block.weights["W2"])}
        missing = {name: np.zeros(size, np.float32) for name, size in zeros.items() if name in wanted}
        return replace(block, weights={**missing, **block.weights})

    return completed


def _passed(matches: Sequence[Match], near: list[Near]) -> list[Match]:
    """Those that compute the same when they are written."""
    passed = []
    for match in matches:
        difference = difference_of(match, OPSET)
        if difference:
            near.append(Near(_kind(match), match.name, difference))
        else:
            passed.append(match)
    return passed


def _written(
    model: onnx.ModelProto, matches: list[Match], near: list[Near]
) -> tuple[onnx.ModelProto | None, list[Match]]:
    """The graph with what can be written in it, None where that is nothing, and what was written.

    Where the whole does not compute the same with all of it, each match is tried on top of those before it.
    """
    if not matches:
        return None, []
    result, difference = _attempt(model, matches)
    if not difference:
        return result, matches
    kept: list[Match] = []
    whole = None
    for match in matches:
        result, difference = _attempt(model, [*kept, match])
        if difference:
            near.append(Near(_kind(match), match.name, f"in the whole graph {difference}"))
        else:
            kept.append(match)
            whole = result
    return whole, kept


def _attempt(model: onnx.ModelProto, matches: list[Match]) -> tuple[onnx.ModelProto, str]:
    """The graph with these matches written, and why it may not be taken."""
    try:
        result = _with_matches(model, matches)
        return result, whole_difference(model, result)
    except Exception as error:  # onnxscript, onnx and onnxruntime raise whatever a graph makes them raise
        return model, f"it cannot be written: {_line(error)}"


def _with_matches(model: onnx.ModelProto, matches: list[Match]) -> onnx.ModelProto:
    graph = as_graph(model)
    found = survey(graph.graph)
    wanted = {match.key: match for match in matches}
    blocks = []
    for block in (each for extents in found.candidates() for each in extents):
        chosen = wanted.get(block.key)
        if isinstance(chosen, Block) and chosen.operator == block.operator:
            blocks.append(replace(block, weights=chosen.weights))
    attentions = [each for each in found.attentions if each.key in wanted]
    result = rewritten(model, graph, blocks, attentions)
    _check_written(model, result, matches, len(attentions))
    result.ir_version = model.ir_version
    return result


def _check_written(before: onnx.ModelProto, after: onnx.ModelProto, matches: Sequence[Match], attentions: int) -> None:
    """That each match is there: a rewriter that leaves one out gives a graph that computes the same, and a report that
    says what is not so."""
    blocks = Counter(match.operator for match in matches if isinstance(match, Block))
    grown = Counter(operator_counts(after)) - Counter(operator_counts(before))
    if grown != blocks or attentions != len(matches) - blocks.total():
        raise ExportError(
            f"of {dict(blocks) or 'no'} blocks and {len(matches) - blocks.total()} attentions to write, "
            f"{dict(grown) or 'no'} blocks and {attentions} attentions were written"
        )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


def _kind(match: Match) -> str:
    return match.operator if isinstance(match, Block) else "attention"


def _found(block: Block) -> Found:
    if block.operator == "ChannelGate":
        return Found(block.operator, block.name, str(block.attributes["gate"]).replace("_", " "))
    parts = ["residual"] * ("R" in block.maps) + ["ReLU"] * bool(block.attributes["relu"])
    return Found(block.operator, block.name, f"with {' and '.join(parts)}" if parts else "")


def _found_attention(attention: Attention, otherwise: str) -> Found:
    form = "scaled on Q" if attention.query.scale is not None else "scaled by no single number"
    return Found("attention", attention.name, form if attention.normal else otherwise)
