"""Fusion attention: its sizes, its two variants against their definitions, and what it exports to."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgefer.errors import InputError, UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.backbones import PAIRS  # noqa: E402
from edgefer_export.networks.fusion_attention import MapFusion, TokenFusion  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402

SMALL = {"width": "0.125", "size": "64"}
RAF_DB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def created(name: str, **options: str) -> LoadedNetwork:
    """With batch norm statistics and layer norms away from their first values, which hide mistakes in folding."""
    torch.manual_seed(4)
    network = registry.create(name, {**SMALL, **options})
    for module in network.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    network.module.eval()
    return network


@pytest.mark.parametrize(
    ("pair", "parameters"),
    [
        ("resnet18+resnet34", 34_566_407),
        ("vgg13+resnet34", 32_794_887),
        ("vgg11+resnet34", 32_610_375),
        ("vgg11+vgg13", 20_730_695),
    ],
)
def test_counts(pair: str, parameters: int) -> None:
    with torch.device("meta"):
        network = registry.create("fusion-attention", {"backbones": pair})
    assert network.parameters == parameters
    module = network.module
    head = sum(each.numel() for part in (module.fusion, module.head) for each in part.parameters())
    assert head == 2_105_223
    assert network.labels == RAF_DB


def test_full_size_maps_are_seven_by_seven() -> None:
    with torch.device("meta"):
        module = registry.create("fusion-attention", {"backbones": "vgg13+resnet34"}).module
        image = torch.zeros(2, 3, 224, 224)
        assert module.first(image).shape == module.second(image).shape == (2, 512, 7, 7)
        assert module(image).shape == (2, 7)


def test_maps_are_fused_as_described() -> None:
    torch.manual_seed(5)
    fusion = MapFusion(16, 3, heads=8).double().eval()
    a, b = torch.randn(2, 2, 16, 3, 3, dtype=torch.float64)
    first, second = fusion.mlp[0], fusion.mlp[2]
    column = torch.cat((a, b), 1).movedim(1, 3)
    hidden = (column @ first.weight[:, :, 0, 0].T + first.bias).clamp(min=0)
    mixed = hidden @ second.weight[:, :, 0, 0].T + second.bias
    mean = (a.movedim(1, 3) + b.movedim(1, 3) + mixed) / 3
    attended = fusion.attention(mean)
    torch.testing.assert_close(fusion(a, b), fusion.gate(attended.movedim(3, 1)))


def test_tokens_are_fused_as_described() -> None:
    torch.manual_seed(5)
    fusion = TokenFusion(16, heads=8).double().eval()
    a, b = torch.randn(2, 2, 16, 3, 3, dtype=torch.float64)
    p, q = a.mean((2, 3)), b.mean((2, 3))
    fused = fusion.attention(torch.stack((p, q, fusion.mlp(torch.cat((p, q), 1))), 1)).mean(1)
    kernel = fusion.local.weight.flatten()
    padded = F.pad(fused, (2, 2))
    score = sum(kernel[place] * padded[:, place : place + 16] for place in range(5))
    torch.testing.assert_close(fusion(a, b), fused / (1 + torch.exp(-score)))


@pytest.mark.parametrize("pair", PAIRS)
def test_every_pair_exports_with_its_gate_as_one_node(pair: str) -> None:
    network = created("fusion-attention", backbones=pair)
    exported = export_onnx(network)
    assert exported.max_error < 1e-5
    assert exported.notes == ()
    assert operator_counts(exported.model) == {"LocalGate": 1}
    assert [function.name for function in exported.model.functions] == ["LocalGate"]
    kinds = {node.op_type for node in exported.model.graph.node}
    assert {"LayerNormalization", "MatMul", "Softmax", "LocalGate"} <= kinds
    assert [(each.name, each.shape) for each in exported.outputs] == [("logits", (1, 7))]


@pytest.mark.parametrize(
    ("options", "operators"),
    [
        ({"variant": "tokens", "size": "80"}, {}),
        ({"heads": "1"}, {"LocalGate": 1}),
        ({"attention": "cbam", "backbones": "vgg11+vgg13"}, {"LocalGate": 1, "CbamAttention": 10}),
    ],
)
def test_every_switch_exports(options: dict[str, str], operators: dict[str, int]) -> None:
    exported = export_onnx(created("fusion-attention", **options))
    assert exported.max_error < 1e-5
    assert operator_counts(exported.model) == operators


def test_batches_may_be_free() -> None:
    exported = export_onnx(created("fusion-attention"), batches=(1, 3))
    assert exported.max_error < 1e-5
    assert exported.notes == ()


def test_heads_change_the_answer_and_no_weight() -> None:
    eight, one = created("fusion-attention"), created("fusion-attention", heads="1")
    one.module.load_state_dict(eight.module.state_dict())
    image = torch.rand(2, 3, 64, 64)
    assert not torch.allclose(eight.module(image), one.module(image), atol=1e-5)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="was given \\(4, 4, 64\\), expected \\(2, 2, 64\\)"):
        created("fusion-attention").module(torch.rand(1, 3, 128, 128))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "80"}, "size=80 is not a multiple of 32.*take 64"),
        ({"backbones": "vgg16+resnet34"}, "backbones='vgg16\\+resnet34' is not one of resnet18\\+resnet34"),
        ({"backbones": "vgg13+resnet18"}, "not one of.*did you mean .vgg13"),
        ({"heads": "3"}, "heads='3' is not one of 1, 8"),
        ({"attention": "aff"}, "attention='aff' is not one of none"),
    ],
)
def test_what_it_does_not_take(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){said}"):
        registry.create("fusion-attention", {**SMALL, **options})
