"""Giving a model the functions for the operators that it uses."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import onnx
import onnx.inliner
from onnx import helper

from edgefer.errors import ExportError
from edgefer_export.operators.bodies import function_body
from edgefer_export.operators.signatures import (
    DOMAIN,
    DOMAIN_VERSION,
    OPERATORS,
    OPSET,
    PLUGIN_VERSION,
    Variant,
    variant_of,
)


class Attached(NamedTuple):
    """A model with its functions, and what there is to say about it."""

    model: onnx.ModelProto
    notes: tuple[str, ...]


def attach_functions(model: onnx.ModelProto) -> Attached:
    """A copy of `model` with a function for each operator of this domain that it uses, whatever it had before.

    A model has one function for a name. Where nodes of one operator are of several variants, the variant that occurs
    most often stays an operator and the others are written out in standard operators, which a note says.

    Raises:
        ExportError: the model is not of opset 19, or a node does not fit its operator's signature.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _require_opset(result)
    others = [function for function in result.functions if function.domain != DOMAIN]
    del result.functions[:]
    result.functions.extend(others)

    nodes = [node for node in result.graph.node if node.domain == DOMAIN]
    for node in nodes:
        _set_plugin_attributes(node)
    variants = [variant_of(node) for node in nodes]
    kept, inlined = _chosen(variants)
    names = {variant: f"{variant.operator}_variant{number}" for number, variant in enumerate(inlined)}
    for node, used in zip(nodes, variants, strict=True):
        node.op_type = names.get(used, node.op_type)
    result.functions.extend(function_body(variant) for variant in kept)
    result.functions.extend(function_body(variant, names[variant]) for variant in inlined)
    _import_domain(result, needed=bool(nodes))
    if inlined:
        result = onnx.inliner.inline_selected_functions(result, [(DOMAIN, name) for name in names.values()])
        _import_domain(result, needed=bool(kept))
    counts = Counter(variants)
    notes = tuple(f"{counts[variant]} x {variant} written out: another variant keeps the name" for variant in inlined)
    return Attached(result, notes)


def operator_counts(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each operator of this domain the model has, in the order of the table; none for absent ones."""
    counts = Counter(node.op_type for node in model.graph.node if node.domain == DOMAIN)
    return {name: counts[name] for name in OPERATORS if counts[name]}


def _chosen(variants: list[Variant]) -> tuple[list[Variant], list[Variant]]:
    """The variants that keep their operator's name, and the others; ties go to the one that occurs first."""
    kept: dict[str, Variant] = {}
    for variant, _ in Counter(variants).most_common():
        kept.setdefault(variant.operator, variant)
    others = [variant for variant in dict.fromkeys(variants) if variant != kept[variant.operator]]
    return list(kept.values()), others


def _require_opset(model: onnx.ModelProto) -> None:
    found = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if found != [OPSET]:
        raise ExportError(
            f"the model is of opset {found}, expected [{OPSET}]",
            hint="the function bodies are written for this opset; export or convert the model to it",
        )


def _set_plugin_attributes(node: onnx.NodeProto) -> None:
    given = {attribute.name for attribute in node.attribute}
    for name, value in (("plugin_version", PLUGIN_VERSION), ("plugin_namespace", DOMAIN)):
        if name not in given:
            node.attribute.append(helper.make_attribute(name, value))


def _import_domain(model: onnx.ModelProto, *, needed: bool) -> None:
    others = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(others)
    if needed:
        model.opset_import.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
