"""What is said to be supported has a format in both TensorRTs, a plan on every GPU, and entries for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from plugin_fakes import DataType, Desc, TensorFormat

from edgefer.engine.flavours import Flavour
from edgefer.kernels.entries import ENTRIES
from edgefer.plugins.fields import defaults
from edgefer.plugins.node import Node
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import ELSEWHERE
from edgefer.plugins.supported import unsupported

pytest.importorskip("onnx")

from plugin_graphs import MAPS, Sample, sample

FLAVOURS = (
    Flavour("tensorrt", SimpleNamespace(), "10.3.0"),
    Flavour("tensorrt_rtx", SimpleNamespace(ComputeCapability=object()), "1.7.1"),
)
TYPES = {"f32": DataType.FLOAT, "f16": DataType.HALF, "i8": DataType.INT8}
COUNT = 120


def drawn(operator: str, seed: int) -> tuple[Sample, dict[str, str], dict[str, float]]:
    """A node with sizes, types and scales by lot, some of which no kernel takes."""
    rng = np.random.default_rng(seed)
    attributes: dict[str, Any] = {}
    if operator == "CbamAttention":
        attributes = {"spatial_kernel": int(rng.choice([1, 3, 5, 7, 9])), "relu": int(rng.integers(2))}
    optional = [name for name in OPERATIONS[operator].optional if rng.integers(2)]
    given = sample(
        operator,
        channels=int(rng.choice([1, 3, 8, 12, 32, 48, 64, 96, 160])),
        size=(int(rng.integers(1, 60)), int(rng.integers(1, 60))),
        without=tuple(optional),
        **attributes,
    )
    floating, reads, writes = str(rng.choice(["f32", "f16"])), bool(rng.integers(2)), bool(rng.integers(2))
    types = {name: "i8" if reads and name in MAPS else floating for name in given.tensors}
    scales = {MAPS[name]: 0.05 for name in given.tensors if reads and name in MAPS}
    if writes and OPERATIONS[operator].gives_map:
        scales["y_scale"] = 0.04
    return given, types, scales


def negotiated(node: Node, given: Sample, types: dict[str, str]) -> list[list[Desc]]:
    """Every combination of formats that the plugin takes for these types, as TensorRT asks for them."""
    operation = node.operation
    names = [name for name in operation.inputs if name in given.tensors]
    shapes = [given.tensors[name].shape for name in names] + [given.output]
    element = node.output_element([types[name] for name in names])  # type: ignore[misc]
    kinds = [TYPES[types[name]] for name in names] + [TYPES[str(element)]]
    taken: list[list[Desc]] = [[]]
    for place, (shape, kind) in enumerate(zip(shapes, kinds, strict=True)):
        candidates = [[*before, Desc(shape, kind, each)] for before in taken for each in TensorFormat]
        taken = [each for each in candidates if node.supports(place, each, len(names))]
    return taken


@pytest.mark.parametrize("operator", OPERATIONS)
def test_supported_nodes_are_planned_everywhere_and_others_nowhere(operator: str) -> None:
    seen = {True: 0, False: 0}
    for seed in range(COUNT):
        given, types, scales = drawn(operator, seed)
        shapes = {name: tensor.shape for name, tensor in given.tensors.items()}
        reason = unsupported(operator, {**given.attributes, **scales}, shapes, types)
        seen[not reason] += 1
        for flavour in FLAVOURS:
            said = {"present": given.present} if OPERATIONS[operator].optional else {}
            values = {**defaults(operator), **given.attributes, **scales, **said}
            node = Node(OPERATIONS[operator], values, flavour.plugin_formats)
            combinations = negotiated(node, given, types)
            assert bool(combinations) == (not reason), (flavour.name, reason, given.operator, shapes, types, scales)
            for *inputs, output in combinations:
                for gpu in ELSEWHERE:
                    prepared = node.prepare(inputs, output, gpu)
                    for launch in prepared.plan.launches:
                        assert launch.entry in ENTRIES
                        assert launch.shared_bytes <= gpu.shared_bytes
                        assert launch.block <= ENTRIES[launch.entry].threads
    assert min(seen.values()) > COUNT // 20, seen
