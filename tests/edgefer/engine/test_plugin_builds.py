"""Real builds with TensorRT-RTX and the plugins registered, each in a child process: layers, formats, and fall-backs.

Engines are compared by their layers, because two builds of one graph differ in their bytes. None of them is run.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.engine.compile import CompileRequest, compile_onnx  # noqa: E402
from edgefer.engine.layers import LayerReport  # noqa: E402
from edgefer.engine.report import EngineReport  # noqa: E402
from edgefer.errors import CompileError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.fuse_attention import fuse_attention  # noqa: E402
from edgefer_export.half import to_half  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.onnx_export import export_onnx, random_inputs  # noqa: E402
from edgefer_export.operators import attach_functions, operator_counts  # noqa: E402
from edgefer_export.quantise import QuantiseSpec, quantise  # noqa: E402
from edgefer_export.torchscript import TorchScriptExporter  # noqa: E402

PRECISIONS = ("fp32", "fp16", "int8", "int8+fp16")
CHANNEL_MAJOR = "Channel major"


class Built(NamedTuple):
    """One graph compiled both ways, with the number of its operators."""

    plugin: EngineReport
    inline: EngineReport
    operators: int


@cache
def graphs(name: str, width: str, size: str, dynamic: bool = False) -> dict[str, bytes]:
    """A registered network with random weights in each precision, as a bundle would hold it."""
    torch.manual_seed(0)
    network = registry.create(name, {"width": width, "size": size})
    model = export_onnx(network, batches=(1, 4) if dynamic else (1,)).model
    feeds = [random_inputs(network.inputs, seed) for seed in range(2)]
    int8 = quantise(model, lambda: iter(feeds), QuantiseSpec(method="max"), Silent()).model
    made = {"fp32": model, "fp16": to_half(model).model, "int8": int8, "int8+fp16": to_half(int8).model}
    return {precision: each.SerializeToString() for precision, each in made.items()}


def both(graph: bytes, batches: tuple[int, ...] = (1,)) -> Built:
    plugin, inline = (
        compile_onnx(graph, CompileRequest("tensorrt_rtx", batches=batches, way=way)).report
        for way in ("plugin", "inline")  # type: ignore[arg-type]
    )
    return Built(plugin, inline, sum(operator_counts(onnx.ModelProto.FromString(graph)).values()))


def plugin_layers(report: EngineReport) -> list[LayerReport]:
    return [layer for layer in report.layers if layer.is_plugin]


def maps(layer: LayerReport) -> list[Any]:
    """The tensors (N, C, H, W) that a plugin reads and writes; weights are constants."""
    return [each for each in (*layer.inputs, *layer.outputs) if len(each.shape) == 4 and each.shape[2] > 1]


def check(built: Built, profiles: int = 1) -> None:
    assert built.operators > 0
    assert built.inline.counts.plugins == 0
    assert built.inline.plugins == ()
    assert built.plugin.counts.plugins == built.operators * profiles
    assert built.plugin.unparsed == built.inline.unparsed == ()
    assert built.plugin.counts.total < built.inline.counts.total
    decision = built.plugin.decision
    assert decision is not None
    assert (decision.taken, decision.written_out) == ("plugin", ())
    assert sum(decision.operators.values()) == built.operators
    assert not any("not found in plugin node" in warning for warning in built.plugin.warnings)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["cbam-early-fusion", "viri-fusion"])
def test_every_operator_is_one_plugin_layer_and_there_are_fewer_layers(name: str, precision: str) -> None:
    built = both(graphs(name, "0.5", "64")[precision])
    check(built)
    if precision in ("fp32", "fp16"):
        assert built.plugin.counts.plugin_reformats == 0
        formats = {each.format for layer in plugin_layers(built.plugin) for each in maps(layer)}
        assert all(CHANNEL_MAJOR in each for each in formats), formats


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["cbam-early-fusion", "viri-fusion"])
def test_at_full_width(name: str, precision: str) -> None:
    check(both(graphs(name, "1", "224")[precision]))


@pytest.mark.parametrize("precision", ["fp16", "int8+fp16"])
def test_a_dynamic_batch_has_plugins_in_every_profile(precision: str) -> None:
    built = both(graphs("cbam-early-fusion", "0.5", "64", dynamic=True)[precision], batches=(1, 4))
    assert built.plugin.dynamic
    check(built, profiles=2)
    assert {layer.inputs[0].shape[0] for layer in plugin_layers(built.plugin)} == {1, 4}


def test_int8_is_written_by_the_plugins_whose_output_is_only_quantised() -> None:
    report = both(graphs("cbam-early-fusion", "0.5", "64")["int8"]).plugin
    assert report.decision is not None
    absorbed = set(report.decision.absorbed)
    assert absorbed
    writing = [layer for layer in plugin_layers(report) if layer.outputs[0].dtype == "int8"]
    wrote = {name for layer in writing for name in (*layer.onnx, layer.name)}
    assert absorbed <= wrote


def small(*attention: Any) -> bytes:
    """Convolutions on (1, 32, 16, 16) with nodes of domain edgefer between them, which read `a` and write `b`."""
    rng = np.random.default_rng(2)
    weights = {
        **{"W": (32, 32, 3, 3), "W1": (4, 32), "b1": (4,), "W2": (32, 4), "b2": (32,)},
        **{"Ws7": (1, 2, 7, 7), "Ws9": (1, 2, 9, 9), "bs": (1,)},
    }
    nodes = [
        helper.make_node("Conv", ["x", "W"], ["a"], name="first", pads=[1, 1, 1, 1]),
        *attention,
        helper.make_node("Conv", ["b", "W"], ["y"], name="last", pads=[1, 1, 1, 1]),
    ]
    shape = [1, 32, 16, 16]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array((rng.standard_normal(shape) / 8).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("edgefer", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(attach_functions(made).model.SerializeToString())


def cbam(name: str, source: str, target: str, kernel: int) -> Any:
    inputs = [source, "W1", "b1", "W2", "b2", f"Ws{kernel}", "bs"]
    return helper.make_node("CbamAttention", inputs, [target], name=name, domain="edgefer", spatial_kernel=kernel)


def test_a_kernel_size_without_a_kernel_falls_back_and_is_reported() -> None:
    gate = helper.make_node("ChannelGate", ["m", "W1", "b1", "W2", "b2"], ["b"], name="gate", domain="edgefer")
    report = both(small(cbam("wide", "a", "m", 9), gate)).plugin
    assert report.counts.plugins == 1
    assert report.plugins == ("edgefer::ChannelGate",)
    assert report.decision is not None
    assert [(each.node, each.operator) for each in report.decision.written_out] == [("wide", "CbamAttention")]
    assert any("node wide (CbamAttention)" in line and "9 x 9" in line for line in report.decision.lines())


def test_where_nothing_fits_the_engine_is_that_without_plugins() -> None:
    built = both(small(cbam("wide", "a", "b", 9)))
    assert built.plugin.counts.plugins == 0
    assert built.plugin.counts.total == built.inline.counts.total
    assert built.plugin.decision is not None
    assert (built.plugin.decision.asked, built.plugin.decision.taken) == ("plugin", "inline")
    assert "no kernel fits" in built.plugin.decision.reason


@pytest.mark.parametrize(
    "breakage",
    [
        "node.Node.supports = lambda *given: False",
        "node.Node.workspace = lambda *given, **named: 1 // 0",
        "node.Node.output_element = lambda *given: 1 // 0",
    ],
    ids=["no format", "workspace", "types"],
)
def test_a_build_that_plugins_break_is_an_error_here_and_no_crash(breakage: str) -> None:
    code = (
        "import sys\n"
        "from edgefer.engine.worker import main\n"
        "from edgefer.plugins import node\n"
        f"{breakage}\n"
        "sys.exit(main([sys.argv[1]]))"
    )
    graph = small(cbam("attention", "a", "b", 7))
    request = CompileRequest("tensorrt_rtx", way="plugin")
    with pytest.raises(CompileError) as caught:
        compile_onnx(graph, request, command=(sys.executable, "-c", code))
    assert caught.value.details
    assert compile_onnx(graph, request).report.counts.plugins == 1


def test_an_attribute_of_the_wrong_type_is_an_error_that_names_it() -> None:
    model = onnx.ModelProto.FromString(small(cbam("attention", "a", "b", 7)))
    node = next(each for each in model.graph.node if each.domain == "edgefer")
    kept = [each for each in node.attribute if each.name != "spatial_kernel"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("spatial_kernel", 7.0)])
    with pytest.raises(CompileError) as caught:
        compile_onnx(model.SerializeToString(), CompileRequest("tensorrt_rtx", way="plugin"))
    assert "spatial_kernel as FLOAT32" in caught.value.message


class Third(torch.nn.Module):
    """Convolutions with a CBAM and a squeeze-and-excite between them, as a stranger writes them."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, channels, 3, padding=1)
        self.second = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.third = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.mlp = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, channels, 1)
        )
        self.spatial = torch.nn.Conv2d(2, 1, 7, padding=3)
        self.squeeze, self.excite = torch.nn.Linear(channels, 4), torch.nn.Linear(4, channels)

    def forward(self, x: Any) -> Any:
        x = self.second(torch.relu(self.first(x)))
        score = self.mlp(x.mean((2, 3), keepdim=True)) + self.mlp(x.amax((2, 3), keepdim=True))
        x = x * torch.sigmoid(score)
        both = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        x = self.third(x * torch.sigmoid(self.spatial(both)))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


def test_attention_of_a_stranger_gets_the_same() -> None:
    torch.manual_seed(1)
    sample = {"x": torch.rand(1, 3, 16, 16)}
    model = TorchScriptExporter().export(Third().eval(), sample, ("y",), dynamic_batch=False)
    model.ir_version = 9
    fused = fuse_attention(onnx.shape_inference.infer_shapes(model, data_prop=True))
    assert operator_counts(fused.model) == {"CbamAttention": 1, "ChannelGate": 1}
    check(both(fused.model.SerializeToString()))


@pytest.mark.parametrize(("precision", "fused"), [("fp32", 0), ("fp16", 1), ("int8+fp16", 1)])
def test_self_attention_is_left_to_tensorrt_which_fuses_it_in_halves(precision: str, fused: int) -> None:
    built = both(graphs("fusion-attention", "0.5", "64")[precision])
    check(built)
    assert built.plugin.plugins == ("edgefer::LocalGate",)
    for report in (built.plugin, built.inline):
        found = report.fused_attention
        assert found is not None
        assert (found.patterns, found.fused, found.known) == (1, fused, True)
        assert any("self-attention" in warning for warning in report.warnings) is (fused == 0)
