"""The layers of a compiled engine as rows: what TensorRT fused, in which precision, and which nodes it came from.

A compile-time report has no times. The engine inspector of a GPU tells the same as JSON and is read into the same
`LayerReport`, so that measured times can be laid over either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgefer.benchmark.layers.blocks import block, most_common, parts_of
from edgefer.benchmark.layers.graph import NodeFacts
from edgefer.benchmark.layers.rows import Profile, Row
from edgefer.benchmark.layers.work import Tensor, is_product, traffic
from edgefer.engine.layers import LayerReport, LayerTensor, element_type
from edgefer.engine.report import EngineReport
from edgefer.errors import EngineIncompatible

Facts = Mapping[str, NodeFacts]

_ONNX = re.compile(r"\[ONNX Layer: (.*?)\]")
_MOVES = ("cast", "reformat", "quantize", "dequantize", "scale quantize")


def report_profile(report: EngineReport, facts: Facts) -> Profile:
    """The compile-time report of an engine; `facts` are of the graph that its parser was given (empty: not known)."""
    note = f"as {report.flavour} {report.version} compiled it: not run, so there are no times"
    if report.dynamic and len(report.batches) > 1:
        note += f"; the layers are those of the profiles of batches {', '.join(map(str, report.batches))} together"
    if report.counts.plugins:
        note += f"; {report.counts.plugins} of its layers are edgefer's plugins"
    tensors = [Tensor(each.dtype, each.shape) for each in (*report.inputs, *report.outputs)]
    return Profile("compile-report", engine_rows(report.layers, facts), note, traffic(tensors))


def engine_rows(
    layers: Sequence[LayerReport], facts: Facts, seconds: Mapping[str, float] | None = None
) -> tuple[Row, ...]:
    """One row a layer; those that only make one stream wait for another are left out.

    Args:
        layers: of an engine.
        facts: of the nodes of its ONNX.
        seconds: by layer name, where the engine was run.
    """
    computing = [layer for layer in layers if layer.precision is not None]
    counted: set[str] = set()
    # A node is often spread over several layers (a convolution, a point-wise kernel with its bias): what it computes is
    # counted once, in the layer that is called after it, or else in the first.
    owners = {part: layer.name for layer in reversed(computing) for part in layer.onnx}
    owners |= {part: layer.name for layer in computing for part in parts_of(layer.name) if part in layer.onnx}
    rows = []
    for layer in computing:
        own = [name for name in dict.fromkeys(layer.onnx) if owners[name] == layer.name and name not in counted]
        counted.update(own)
        rows.append(_row(layer, own, facts, None if seconds is None else seconds.get(layer.name)))
    return tuple(rows)


def inspector_layers(text: str) -> tuple[LayerReport, ...]:
    """The layers in the JSON of TensorRT's engine inspector.

    Raises:
        EngineIncompatible: the engine was built without detailed profiling verbosity, and names its layers at most.
    """
    told: dict[str, Any] = json.loads(text)
    layers = told.get("Layers", [])
    if any(not isinstance(layer, dict) for layer in layers):
        raise EngineIncompatible(
            "the engine holds no details of its layers: it was built without detailed profiling verbosity",
            hint="compile it with edgefer build-engine, or trtexec --profilingVerbosity=detailed",
        )
    return tuple(
        LayerReport(
            name=layer.get("Name", ""),
            type=layer.get("LayerType", ""),
            inputs=tuple(map(_inspected, layer.get("Inputs", ()))),
            outputs=tuple(map(_inspected, layer.get("Outputs", ()))),
            tactic=str(layer.get("TacticName", layer.get("TacticValue", ""))),
            origin=layer.get("Origin", ""),
            onnx=tuple(_ONNX.findall(layer.get("Metadata", ""))),
        )
        for layer in layers
    )


def _row(layer: LayerReport, own: Sequence[str], facts: Facts, seconds: float | None) -> Row:
    known = [facts[name] for name in own if name in facts]
    operations = [fact.operations for fact in known]
    tensors = [_tensor(each) for each in (*layer.inputs, *layer.constants, *layer.outputs)]
    return Row(
        name=layer.name,
        block=_block(layer, facts),
        kind=layer.type,
        precision=layer.precision or "unknown",
        seconds=seconds,
        reformat=layer.is_reformat or layer.type.lower() in _MOVES,
        product=layer.is_convolution or is_product(layer.type) or any(fact.product for fact in known),
        operations=None if not facts or None in operations else sum(filter(None, operations)),
        traffic=traffic(tensors),
        parameters=traffic([_tensor(each) for each in layer.constants]),
    )


def _block(layer: LayerReport, facts: Facts) -> str:
    """Where most of the layer's nodes belong; without facts, where their names say so."""
    names = (*layer.onnx, *(name for name in parts_of(layer.name) if name not in layer.onnx))
    told = {name: facts[name].block for name in names if name in facts}
    told |= {name: found for name in names if name not in told and (found := block(name)) is not None}
    return most_common(names, told) or layer.type


def _tensor(tensor: LayerTensor) -> Tensor:
    return Tensor(tensor.dtype, tensor.shape)


def _inspected(told: Mapping[str, Any]) -> LayerTensor:
    # Releases differ in whether format and type are one field.
    words = told.get("Format/Datatype", told.get("Datatype", ""))
    return LayerTensor(
        name=told.get("Name", ""),
        dtype=element_type(words),
        format=told.get("Format", words),
        shape=tuple(int(axis) for axis in told.get("Dimensions", ())),
    )
