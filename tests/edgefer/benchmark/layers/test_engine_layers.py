"""Layers of engines: the compile-time report, the inspector's JSON, and times from TensorRT's profiler on fakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from edgefer.benchmark.layers import compiled_layers, tensorrt_profile
from edgefer.benchmark.layers.engine_report import engine_rows, inspector_layers, report_profile
from edgefer.benchmark.layers.graph import NodeFacts, graph_facts
from edgefer.bundle.container import Bundle
from edgefer.engine.layers import LayerCounts, LayerReport, LayerTensor
from edgefer.engine.report import EngineReport, TensorReport
from edgefer.errors import EdgeferError, EngineIncompatible


def tensor(dtype: str, *shape: int) -> LayerTensor:
    return LayerTensor(name="t", dtype=dtype, format="", shape=shape)


LAYERS = (
    LayerReport(
        name="__myl_Quantise_myl0_0",
        type="kgen",
        inputs=(tensor("fp32", 1, 3, 8, 8),),
        outputs=(tensor("int8", 1, 4, 8, 8),),
        onnx=("/a/Quantise", "/a/Conv"),
    ),
    LayerReport(name="__mye1_wait_myl0_1", type="wait", inputs=(), outputs=()),
    LayerReport(
        name="/a/Conv_myl0_2",
        type="correlation",
        inputs=(tensor("int8", 1, 4, 8, 8),),
        constants=(tensor("int8", 4, 4, 3, 3),),
        outputs=(tensor("fp32", 1, 4, 8, 8),),
        onnx=("/a/Conv",),
    ),
    LayerReport(
        name="__myl_Fc_myl0_3",
        type="kgen",
        inputs=(tensor("fp32", 1, 4),),
        outputs=(tensor("fp32", 1, 5),),
        onnx=("score__1", "/b/Relu"),
    ),
)
FACTS = {
    "/a/Quantise": NodeFacts("a", "QuantizeLinear", False, 0.0),
    "/a/Conv": NodeFacts("a", "Conv", True, 900.0),
    "score__1": NodeFacts("b", "Gemm", True, 100.0),
    "/b/Relu": NodeFacts("b", "Relu", False, 5.0),
}


def report(layers: tuple[LayerReport, ...] = LAYERS, **changes: Any) -> EngineReport:
    fields: dict[str, Any] = {
        "flavour": "tensorrt",
        "version": "10.3.0",
        "note": "",
        "targets": ("8.7",),
        "platform": "Linux-aarch64",
        "batches": (1,),
        "dynamic": False,
        "workspace_bytes": 1,
        "plugins": (),
        "parsed_sha256": "",
        "plan_sha256": "",
        "plan_bytes": 1,
        "seconds": {},
        "inputs": (TensorReport(name="x", shape=(1, 3, 8, 8), dtype="fp32"),),
        "outputs": (TensorReport(name="y", shape=(1, 5), dtype="fp32"),),
        "layers": layers,
        "counts": LayerCounts(),
    }
    return EngineReport(**{**fields, **changes})


def test_a_node_in_several_layers_is_counted_once_where_it_is_named() -> None:
    rows = engine_rows(LAYERS, FACTS)
    assert [(row.block, row.operations, row.product, row.precision) for row in rows] == [
        ("a", 0.0, False, "fp32"),
        ("a", 900.0, True, "int8"),
        ("b", 105.0, True, "fp32"),
    ]
    assert rows[1].traffic == 256 + 144 + 4 * 256
    assert rows[1].parameters == 144


def test_a_report_has_no_times_and_says_so() -> None:
    profile = report_profile(report(dynamic=True, batches=(1, 4)), FACTS)
    assert {row.seconds for row in profile.rows} == {None}
    assert "no times" in profile.note
    assert "batches 1, 4" in profile.note
    assert profile.interface == 4 * (192 + 5)


def test_without_facts_blocks_come_from_names() -> None:
    rows = engine_rows(LAYERS, {})
    assert [row.block for row in rows] == ["a", "a", "b"]
    assert {row.operations for row in rows} == {None}


def test_facts_of_a_graph(tiny_bundle: Bundle) -> None:
    pytest.importorskip("onnx")
    graph = tiny_bundle.graph()
    facts = graph_facts(tiny_bundle.onnx(graph), {spec.name: spec.shape for spec in graph.inputs})
    products = [fact.operations or 0 for fact in facts.values() if fact.product]
    assert sorted(products) == [2 * 5 * 8, 2 * 256 * 9, 2 * 256 * 27]


def test_a_dynamic_batch_is_settled_by_the_shapes(tiny_bundle_factory: Callable[..., Bundle]) -> None:
    pytest.importorskip("onnx")
    bundle = tiny_bundle_factory(batches=(2, 4))
    found = [
        compiled_layers(bundle, report((LAYERS[2],), batches=batches, dynamic=True)).coverage
        for batches in ((2,), (4,))
    ]
    assert found == [1.0, 1.0]
    shapes = {spec.name: (4, *spec.shape[1:]) for spec in bundle.graph().inputs}
    facts = graph_facts(bundle.onnx(bundle.graph()), shapes)
    assert max(fact.operations or 0 for fact in facts.values()) == 4 * 2 * 256 * 27


INSPECTED: dict[str, Any] = {
    "Layers": [
        {
            "Name": "Reformatting CopyNode for Input Tensor 0 to /a/Conv",
            "LayerType": "Reformat",
            "Inputs": [{"Name": "x", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP32"}],
            "Outputs": [{"Name": "r", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Channel major FP16 format"}],
            "TacticValue": "0x0",
            "Metadata": "",
        },
        {
            "Name": "/a/Conv + /a/Relu",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "r", "Dimensions": [1, 3, 8, 8], "Datatype": "Int8", "Format": "NC/32HW32"}],
            "Outputs": [{"Name": "y", "Dimensions": [1, 4, 8, 8], "Datatype": "Int8", "Format": "NC/32HW32"}],
            "TacticName": "sm80_xmma_fprop",
            "Metadata": "[ONNX Layer: /a/Conv]\x1e[ONNX Layer: /a/Relu]",
        },
    ],
    "Bindings": ["x", "y"],
}


def test_the_inspector_is_read_in_both_spellings() -> None:
    reformat, convolution = inspector_layers(json.dumps(INSPECTED))
    assert reformat.is_reformat
    assert [each.precision for each in (reformat, convolution)] == ["fp32", "int8"]
    assert convolution.onnx == ("/a/Conv", "/a/Relu")
    assert convolution.tactic == "sm80_xmma_fprop"


def test_an_engine_without_details_is_told() -> None:
    with pytest.raises(EngineIncompatible, match="without detailed profiling verbosity") as caught:
        inspector_layers(json.dumps({"Layers": ["/a/Conv + /a/Relu"]}))
    assert "profilingVerbosity" in caught.value.hint


class FakeTensorRt:
    """The names of the binding that are used, as its classes behave."""

    class IProfiler:
        def __init__(self) -> None:
            self.constructed = True

    LayerInformationFormat = SimpleNamespace(JSON="json")

    def __init__(self, times: list[dict[str, float]]) -> None:
        self.context = SimpleNamespace(profiler=None)
        self.engine = SimpleNamespace(create_engine_inspector=self._inspector)
        self._times, self._runs = times, 0

    def execute(self) -> None:
        times = self._times[min(self._runs, len(self._times) - 1)]
        self._runs += 1
        for name, milliseconds in times.items():
            assert self.context.profiler.constructed
            self.context.profiler.report_layer_time(name, milliseconds)

    def _inspector(self) -> Any:
        inspector = SimpleNamespace(execution_context=None)

        def information(form: str) -> str:
            assert form == "json"
            assert inspector.execution_context is self.context
            return json.dumps(INSPECTED)

        inspector.get_engine_information = information
        return inspector


def test_times_of_the_profiler_are_laid_over_the_inspector() -> None:
    names = [layer["Name"] for layer in INSPECTED["Layers"]]
    warm = dict.fromkeys(names, 99.0)
    counted = [{names[0]: one, names[1]: 2.0, "unlisted": 1.0} for one in (1.0, 5.0, 3.0)]
    fake = FakeTensorRt([warm] * 5 + counted)
    profile = tensorrt_profile.profile(fake, fake.engine, fake.context, fake.execute, {}, runs=3)
    assert [row.seconds for row in profile.rows] == [pytest.approx(3e-3), pytest.approx(2e-3)]
    assert [row.reformat for row in profile.rows] == [True, False]
    assert [row.block for row in profile.rows] == ["a", "a"]
    assert "1 timed layers are not in the engine's description, such as unlisted" in profile.note


def test_no_report_of_any_layer_is_an_error() -> None:
    fake = FakeTensorRt([{}])
    with pytest.raises(EdgeferError, match="reported no time") as caught:
        tensorrt_profile.layer_times(fake, fake.context, fake.execute, runs=1)
    assert "CUDA graph" in caught.value.hint
