"""`LocalGate`: what it computes, how its batch norms fold, and the one node that it leaves as."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import CbamAttention, LocalGate, folded, has_operators  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402


class Gated(nn.Module):
    """A gate behind one convolution, with statistics that show a mistake in folding."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=8)
        self.gate = LocalGate(channels)
        self.fc = nn.Linear(channels, 4)
        for bn in (self.gate.bn1, self.gate.bn2):
            nn.init.uniform_(bn.weight, 0.5, 2.0)
            nn.init.normal_(bn.bias)
            bn.running_mean.normal_()
            bn.running_var.uniform_(0.3, 3.0)

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.gate(self.conv(visible)))
        return logits


@pytest.fixture
def gated() -> Gated:
    torch.manual_seed(2)
    return Gated().eval()


def by_definition(gate: LocalGate, z: torch.Tensor) -> torch.Tensor:
    """z + z · sigmoid(B2 W2 relu(B1 W1 z)), position by position, then the mean; all in float64."""
    state = {name: tensor.double() for name, tensor in gate.state_dict().items()}

    def normalised(x: torch.Tensor, name: str) -> torch.Tensor:
        deviation = (state[f"{name}.running_var"] + 1e-5).sqrt()
        return (x - state[f"{name}.running_mean"]) / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]

    x = z.double().movedim(1, 3)
    hidden = normalised(x @ state["squeeze.weight"][:, :, 0, 0].T + state["squeeze.bias"], "bn1").clamp(min=0)
    score = normalised(hidden @ state["expand.weight"][:, :, 0, 0].T + state["expand.bias"], "bn2")
    return (x + x / (1 + torch.exp(-score))).mean(dim=(1, 2))


def test_the_gate_is_its_definition(gated: Gated) -> None:
    z = torch.randn(3, 24, 5, 4)
    expected = by_definition(gated.gate, z)
    torch.testing.assert_close(gated.gate.double()(z.double()), expected)


def test_positions_may_stand_in_a_column(gated: Gated) -> None:
    z = torch.randn(2, 24, 5, 4)
    torch.testing.assert_close(gated.gate(z.flatten(2).unsqueeze(3)), gated.gate(z))


def test_the_bottleneck_is_a_quarter_and_counts_are_known() -> None:
    with torch.device("meta"):
        gate = LocalGate(512)
    assert gate.squeeze.out_channels == 128
    assert sum(parameter.numel() for parameter in gate.parameters()) == 132_992
    assert LocalGate(2).squeeze.out_channels == 1


def test_it_leaves_as_one_node_with_its_weights_folded(gated: Gated) -> None:
    inputs = registry.input_specs({"visible": (3, 32, 32)})
    exported = export_onnx(LoadedNetwork(gated, "own", {}, inputs, tuple("abcd"), "visible", "test"))
    assert exported.max_error < 1e-5
    assert operator_counts(exported.model) == {"LocalGate": 1}
    assert [function.name for function in exported.model.functions] == ["LocalGate"]
    (node,) = [node for node in exported.model.graph.node if node.op_type == "LocalGate"]
    assert (node.name, node.domain) == ("/gate/LocalGate", "edgefer")
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert attributes == {"plugin_version": b"1", "plugin_namespace": b"edgefer"}
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in exported.model.graph.initializer}
    gate = gated.gate
    for (convolution, bn), (weight, bias) in zip(
        ((gate.squeeze, gate.bn1), (gate.expand, gate.bn2)), (node.input[1:3], node.input[3:5]), strict=True
    ):
        scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
        expected = convolution.weight[:, :, 0, 0].double() * scale[:, None]
        np.testing.assert_allclose(weights[weight], expected.detach().numpy(), rtol=1e-6, atol=1e-8)
        expected = (convolution.bias.double() - bn.running_mean.double()) * scale + bn.bias.double()
        np.testing.assert_allclose(weights[bias], expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_folding_ends_with_the_export(gated: Gated) -> None:
    both = nn.ModuleList([gated.gate, CbamAttention(8)])
    with folded(both):
        assert all(block._folded is not None for block in both)
    assert all(block._folded is None for block in both)


def test_an_export_without_folding_is_refused(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_operators(gated)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with pytest.raises(RuntimeError, match="LocalGate is exported inside"):
        gated.gate(torch.zeros(1, 24, 2, 2))
