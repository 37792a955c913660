"""Networks with each attention, exported: their operators, the graph's answers, and what later steps make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from edgefer.engine.portable import for_parser  # noqa: E402
from edgefer_export.checks import literal_graph, relative_error  # noqa: E402
from edgefer_export.half import to_half  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import CbamAttention  # noqa: E402
from edgefer_export.networks.blocks import choose  # noqa: E402
from edgefer_export.networks.blocks.aff import AttentionalFusion, MultiScaleAttention  # noqa: E402
from edgefer_export.networks.blocks.bam import BottleneckAttention  # noqa: E402
from edgefer_export.networks.blocks.channel_gate import ChannelGate  # noqa: E402
from edgefer_export.networks.blocks.efficient import EfficientChannelAttention  # noqa: E402
from edgefer_export.networks.registry import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx, random_inputs  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402
from edgefer_export.simplify import simplify  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}
OPERATORS = {"se": "ChannelGate", "se-hard": "ChannelGate", "cbam": "CbamAttention", "cbam-released": "CbamAttention"}


def shaken(network: LoadedNetwork) -> LoadedNetwork:
    """With batch norms away from their first values, which hide mistakes in folding."""
    generator = torch.Generator().manual_seed(0)
    for module in network.module.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.7, 1.3),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return network


def own(module: nn.Module, exporter: Any = "auto") -> LoadedNetwork:
    specs = registry.input_specs({"visible": (3, 32, 32)})
    labels = tuple(f"class_{index}" for index in range(4))
    return LoadedNetwork(module, "own.py:make", {}, specs, labels, "visible", "test", exporter)


@pytest.fixture(autouse=True)
def _weights() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def plain_operators(name: str) -> set[str]:
    # A Constant holds the axes of a mean.
    usual = {"Conv", "Relu", "Add", "MaxPool", "Gemm", "Constant"}
    more = {
        "eca": {"ReduceMean", "Transpose", "Sigmoid", "Mul"},
        "bam": {"ReduceMean", "Sigmoid", "Mul"},
        "ms-cam": {"ReduceMean", "Sigmoid", "Mul"},
        "aff": {"ReduceMean", "Sigmoid", "Mul", "Sub"},
    }
    return usual | more.get(name.removesuffix("-released"), set())


@pytest.mark.parametrize("name", choose.names())
def test_each_attention_leaves_as_what_it_is(name: str) -> None:
    network = shaken(registry.create("viri-visible", {**SMALL, "attention": name}))
    exported = export_onnx(network)
    model = exported.model
    blocks = {OPERATORS[name]: 8} if name in OPERATORS else {}
    assert operator_counts(model) == {**blocks, "GatedPool": 1}
    assert {function.name for function in model.functions} == {*blocks, "GatedPool"}
    assert exported.notes == ()
    assert exported.max_error < 1e-5
    # No batch norm and no arithmetic of shapes is left.
    assert {node.op_type for node in model.graph.node} - set(operator_counts(model)) <= plain_operators(name)


def test_both_towers_of_a_fusion_have_it() -> None:
    exported = export_onnx(shaken(registry.create("viri-fusion", {**SMALL, "attention": "se", "present": "true"})))
    assert operator_counts(exported.model) == {"ChannelGate": 16, "GatedFusion": 1}
    early = export_onnx(shaken(registry.create("cbam-early-fusion", {**SMALL, "attention": "se-hard"})))
    assert operator_counts(early.model) == {"ChannelGate": 8}


@pytest.mark.parametrize(("name", "kind"), [("se", "sigmoid"), ("se-hard", "hard_sigmoid")])
def test_a_channel_gate_carries_its_weights_and_no_biases_that_it_has_not(name: str, kind: str) -> None:
    network = shaken(registry.create("viri-visible", {**SMALL, "attention": name}))
    model = export_onnx(network).model
    (node,) = [node for node in model.graph.node if node.name == "/trunk/layer3/layer3.1/attention/gate/ChannelGate"]
    path = "trunk.layer3.1.attention.gate"
    w1, w2 = f"{path}.squeeze.weight", f"{path}.expand.weight"
    biases = (f"{path}.squeeze.bias", f"{path}.expand.bias") if name == "se-hard" else ("", "")
    expected = [w1, biases[0], w2, biases[1]] if all(biases) else [w1, "", w2]
    assert list(node.input)[1:] == expected
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert attributes.pop("gate") == kind.encode()
    shape = {"alpha": pytest.approx(1 / 6), "beta": 0.5} if name == "se-hard" else {}
    assert attributes == {**shape, "plugin_version": b"1", "plugin_namespace": b"edgefer"}


class Plain(nn.Module):
    """Every block of plain operators, one after another, with a fusion of two of their maps at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.eca = EfficientChannelAttention(16)
        self.bam = BottleneckAttention(16, reduction=4)
        self.scales = MultiScaleAttention(16)
        self.fusion = AttentionalFusion(16)
        self.head = nn.Linear(16, 4)

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        x = self.eca(self.stem(visible))
        logits: torch.Tensor = self.head(self.fusion(self.bam(x), self.scales(x)).mean((2, 3)))
        return logits


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_plain_blocks_go_through_both_exporters(exporter: str) -> None:
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    network = shaken(own(Plain(), exporter))
    exported = export_onnx(network, batches=(1, 3))
    assert exported.max_error < 1e-5
    assert not exported.model.functions
    found = {node.op_type for node in exported.model.graph.node}
    allowed = {"Conv", "Relu", "Add", "Sub", "Mul", "Sigmoid", "ReduceMean", "Transpose", "Gemm", "Constant"}
    assert found <= allowed
    assert sum(node.op_type == "Transpose" for node in exported.model.graph.node) == 2


def test_blocks_serve_in_a_network_of_the_user() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, stride=2)
            self.gate = ChannelGate(16, reduction=4, bias=True)
            self.attention = CbamAttention(16, reduction=4)
            self.head = nn.Linear(16, 4)

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.attention(self.gate(self.stem(visible))).mean((2, 3)))
            return logits

    exported = export_onnx(shaken(own(Mine())), batches=(1, 2))
    assert operator_counts(exported.model) == {"CbamAttention": 1, "ChannelGate": 1}
    (node,) = [node for node in exported.model.graph.node if node.op_type == "CbamAttention"]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert (len(node.input), attributes["relu"]) == (7, 0)


def test_later_steps_keep_a_gate_without_biases() -> None:
    network = shaken(registry.create("viri-visible", {**SMALL, "attention": "se"}))
    model = export_onnx(network).model
    simplified = simplify(model)
    assert simplified.simplified, simplified.note
    assert operator_counts(simplified.model) == operator_counts(model)
    feeds = random_inputs(network.inputs, 4)
    expected = literal_graph(model).run(feeds)["logits"]
    forms = {
        "without functions": (onnx.load_from_string(for_parser(simplified.model.SerializeToString())), 1e-5),
        "in half precision": (to_half(simplified.model).model, 1e-2),
    }
    for form, (changed, tolerance) in forms.items():
        assert relative_error(literal_graph(changed).run(feeds)["logits"], expected) < tolerance, form
    assert not forms["without functions"][0].functions
    assert operator_counts(forms["in half precision"][0]) == operator_counts(model)


def test_a_gate_without_biases_answers_as_the_network() -> None:
    gate = ChannelGate(3, reduction=1)

    class Only(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = gate
            self.head = nn.Linear(3, 4)

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.gate(visible).mean((2, 3)))
            return logits

    exported = export_onnx(own(Only()))
    image = random_inputs(registry.input_specs({"visible": (3, 32, 32)}), 8)["visible"]
    mean = image.astype(np.float64).mean((2, 3))
    w1, w2 = (layer.weight.detach().double().numpy() for layer in (gate.squeeze, gate.expand))
    gated = mean / (1 + np.exp(-(np.maximum(mean @ w1.T, 0) @ w2.T)))
    head = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in exported.model.graph.initializer}
    expected = gated @ head["head.weight"].T + head["head.bias"]
    found = literal_graph(exported.model).run({"visible": image})["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
