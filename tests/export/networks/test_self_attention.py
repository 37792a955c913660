"""Self-attention against torch's own, and the spelling in which it leaves."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.networks.self_attention import SelfAttention  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.simplify import simplify  # noqa: E402


class Attended(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 8, stride=8)
        self.attention = SelfAttention(32, (4, 4), heads=8)
        self.fc = nn.Linear(32, 3)

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.attention(self.conv(visible).permute(0, 2, 3, 1)).mean(dim=(1, 2)))
        return logits


@pytest.mark.parametrize("heads", [1, 8])
def test_it_is_multi_head_attention_on_normalised_tokens_plus_the_tokens(heads: int) -> None:
    torch.manual_seed(0)
    ours = SelfAttention(32, (3, 3), heads=heads).double()
    nn.init.uniform_(ours.norm.weight, 0.5, 2.0)
    nn.init.normal_(ours.norm.bias)
    torchs = nn.MultiheadAttention(32, heads, batch_first=True, dtype=torch.float64)
    parts = (ours.query, ours.key, ours.value)
    torchs.load_state_dict(
        {
            "in_proj_weight": torch.cat([part.weight for part in parts]),
            "in_proj_bias": torch.cat([part.bias for part in parts]),
            "out_proj.weight": ours.output.weight,
            "out_proj.bias": ours.output.bias,
        }
    )
    tokens = torch.randn(2, 9, 32, dtype=torch.float64)
    x = ours.norm(tokens)
    expected = tokens + torchs(x, x, x)[0]
    torch.testing.assert_close(ours(tokens.reshape(2, 3, 3, 32)), expected.reshape(2, 3, 3, 32))


def producer(model: Any, name: str) -> Any:
    return next(node for node in model.graph.node if name in node.output)


@pytest.mark.parametrize("batches", [(1,), (1, 2)])
def test_the_scale_is_on_the_query_and_nothing_stands_between_the_products(batches: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    inputs = registry.input_specs({"visible": (3, 32, 32)})
    network = LoadedNetwork(Attended(), "own", {}, inputs, ("a", "b", "c"), "visible", "test")
    exported = export_onnx(network, batches=batches)
    assert exported.max_error < 1e-5
    result = simplify(exported.model)
    assert result.simplified, result.note
    model = result.model
    (softmax,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    assert onnx.helper.get_attribute_value(softmax.attribute[0]) in (-1, 3)
    scores = producer(model, softmax.input[0])
    (values,) = [node for node in model.graph.node if softmax.output[0] in node.input]
    assert (scores.op_type, values.op_type) == ("MatMul", "MatMul")
    assert values.input[0] == softmax.output[0]
    query, key = (producer(model, name) for name in scores.input)
    assert (query.op_type, key.op_type) == ("Mul", "Transpose")
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (scale,) = [weights[name] for name in query.input if name in weights]
    assert scale == pytest.approx(0.5)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LayerNormalization") == 1
    # Sizes are constants also where the batch is free.
    assert not {"Shape", "Gather", "Slice", "Concat"} & set(kinds)
