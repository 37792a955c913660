"""FERAtt: its published sizes, what its forms differ in, what it refuses, and that it exports to the same function."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.feratt import Form  # noqa: E402
from edgefer_export.networks.feratt_attention import AttentionNet  # noqa: E402
from edgefer_export.networks.feratt_parts import (  # noqa: E402
    BilinearUp,
    ChannelAffine,
    DilatedCentre,
    FeatureNet,
    ResidualBlock,
    Threshold,
    TransposedUp,
)
from edgefer_export.networks.preact_resnet import PreActBlock, PreActResNet18  # noqa: E402
from edgefer_export.networks.registry import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.train.objective import OwnObjective  # noqa: E402

SMALL = {"width": "0.125", "size": "64"}
UNUSED = 513_000
"""The classifier of the encoder, 512 x 1000 weights and 1000 biases, which no form of the network calls."""


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, with batch norm away from its first values, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.running_mean.copy_(0.2 * torch.rand(each.running_mean.shape, generator=generator) - 0.1)
            each.running_var.copy_(0.5 + torch.rand(each.running_var.shape, generator=generator))
            each.weight.data.copy_(0.7 + 0.6 * torch.rand(each.weight.shape, generator=generator))
            each.bias.data.copy_(0.2 * torch.rand(each.bias.shape, generator=generator))
    return module.eval()


def made(name: str = "feratt", seed: int = 0, **options: str) -> LoadedNetwork:
    torch.manual_seed(seed)
    network = registry.create(name, {**SMALL, **options})
    shaken(network.module, seed)
    return network


@pytest.mark.parametrize(
    ("name", "options", "with_unused"),
    [
        ("feratt", {}, 46_334_985),
        ("feratt", {"head": "plain"}, 46_305_737),
        ("feratt", {"head": "plain", "classes": "7"}, 46_302_059),
    ],
)
def test_published_parameter_counts(name: str, options: dict[str, str], with_unused: int) -> None:
    with torch.device("meta"):
        network = registry.create(name, options)
    assert network.parameters == with_unused - UNUSED


def test_the_paper_s_form_has_the_size_of_the_code_of_2018() -> None:
    # 48,408,796 as that code stands, which forgets to pass the dimension and so embeds in 1000 values.
    with torch.device("meta"):
        network, forgetful = (registry.create("feratt-paper", {"dim": dim}) for dim in ("64", "1000"))
    assert forgetful.parameters == 48_408_796 - UNUSED
    assert network.parameters == forgetful.parameters - 936 * (512 + 1 + 8)


def test_the_parts_have_the_published_sizes() -> None:
    with torch.device("meta"):
        module = registry.create("feratt").module

    def count(part: nn.Module) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    assert count(module.attention) == 35_118_128 - UNUSED
    assert count(module.attention.encoder) == 21_797_672 - UNUSED
    assert count(module.features) == 11_880
    assert count(module.reconstruction) == 5_609


def test_defaults_are_those_of_the_two_forms() -> None:
    with torch.device("meta"):
        last, paper = registry.create("feratt"), registry.create("feratt-paper")
    assert (last.inputs[0].shape, paper.inputs[0].shape) == ((1, 3, 64, 64), (1, 3, 128, 128))
    assert last.module.form == Form(8, 8, 8, "bilinear", "pooled", True, None, 2)
    assert paper.module.form == Form(1, 32, 4, "transposed", "dilated", False, 0.01, 4)
    assert (last.options["reconstruction"], last.options["sigma"]) == ("2019-04", "0.5")
    assert (paper.options["reconstruction"], paper.options["sigma"], paper.options["norm"]) == ("2018", "1", "cifar10")
    assert last.labels == paper.labels
    assert last.labels[0] == "neutral"
    assert last.labels[7] == "contempt"


def test_seven_classes_are_the_first_seven() -> None:
    with torch.device("meta"):
        eight, seven = registry.create("feratt"), registry.create("feratt", {"classes": "7"})
    assert seven.labels == eight.labels[:7]


@pytest.mark.parametrize(("size", "hint"), [("96", "64 or 128"), ("127", "64 or 128"), ("32", "64"), ("200", "192 or")])
@pytest.mark.parametrize("name", ["feratt", "feratt-paper"])
def test_sides_that_are_no_multiple_of_64_are_refused(name: str, size: str, hint: str) -> None:
    with pytest.raises(
        UsageError, match=f"size={size}, and FERAtt takes images whose side is a multiple of 64"
    ) as caught:
        registry.create(name, {"size": size, "width": "0.125"})
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["feratt", "feratt-paper"])
@pytest.mark.parametrize(("head", "maps"), [("gaussian", "false"), ("plain", "false"), ("gaussian", "true")])
def test_outputs_are_those_asked_for(name: str, head: str, maps: str) -> None:
    network = made(name, head=head, maps=maps, dim="5", classes="7")
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        outputs = network.module(image)
        answer = network.module.answer(image)
    shapes: dict[str, tuple[int, ...]] = {"logits": (2, 7)}
    if head == "gaussian":
        shapes["embedding"] = (2, 5)
    if maps == "true":
        shapes["attention_map"] = (2, 7 if name == "feratt" else 1, 64, 64)
        shapes["corrected_image"] = (2, 3, 64, 64)
        assert torch.equal(outputs["attention_map"], torch.sigmoid(answer.attention))
        assert torch.equal(outputs["corrected_image"], answer.corrected)
    assert {key: tuple(value.shape) for key, value in outputs.items()} == shapes


def test_logits_follow_from_the_embedding_alone() -> None:
    module = made(dim="5").module
    with torch.no_grad():
        outputs = module(torch.rand(3, 3, 64, 64))
        expected = outputs["embedding"] @ module.classify.weight.T + module.classify.bias
    torch.testing.assert_close(outputs["logits"], expected)


def test_the_modules_are_put_together_as_described() -> None:
    """The wiring of the last form against the same in float64, written with other means."""
    module = made(norm="imagenet").module.double()
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
        deviation = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
        seen = (image - mean) / deviation
        attention, features = module.attention(seen), module.features(seen)
        first, last, norm, _ = module.reconstruction
        stacked = torch.cat((features / (1 + torch.exp(-attention)), seen, attention), dim=1)
        corrected = norm(last(first(stacked))).clamp(min=0)
        means, deviations = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
        moved = torch.stack(
            [
                corrected[:, channel] * (deviation / 0.5) + (mean - 0.5) / 0.5
                for channel, (mean, deviation) in enumerate(zip(means, deviations, strict=True))
            ],
            dim=1,
        )
        halved = moved.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
        expected = module.classify(module.embed(module.representation(halved)))
        found = module.answer(image)
    # The constants of normalisation are float32 in the network.
    torch.testing.assert_close(found.corrected, corrected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.logits, expected, rtol=1e-5, atol=1e-6)


def test_the_paper_s_form_corrects_by_the_weighted_features_alone() -> None:
    module = made("feratt-paper", threshold="0.05").module
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        seen = module.norm(image)
        first, last, _ = module.reconstruction
        plain = last(first(torch.sigmoid(module.attention(seen)) * module.features(seen)))
        found = module.answer(image)
        expected = module.classify(module.embed(module.representation(nn.functional.avg_pool2d(found.corrected, 4))))
    torch.testing.assert_close(found.corrected, torch.where(plain.abs() < 0.05, 0.0, plain))
    assert (found.corrected == 0).any()
    torch.testing.assert_close(found.logits, expected)


def test_cifar10_normalises_by_its_statistics() -> None:
    with torch.device("cpu"):
        norm = made("feratt-paper").module.norm
    image = torch.tensor([0.4914, 0.4822 + 0.1994, 0.4465 - 0.2010]).view(1, 3, 1, 1)
    torch.testing.assert_close(norm(image).flatten(), torch.tensor([0.0, 1.0, -1.0]), rtol=0, atol=1e-6)


def test_the_encoder_pools_two_by_two() -> None:
    encoder = AttentionNet(1, up="bilinear", centre="pooled", width=0.125).encoder
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert encoder.maxpool(x).flatten().tolist() == [5.0, 7.0, 13.0, 15.0]


@pytest.mark.parametrize("up", [BilinearUp, TransposedUp])
def test_the_decoder_doubles(up: type[nn.Module]) -> None:
    assert up(3, 4, 5)(torch.rand(1, 3, 6, 2)).shape == (1, 5, 12, 4)


def test_interpolation_has_half_pixel_centres() -> None:
    up = BilinearUp(1, 1, 1)
    seen: list[torch.Tensor] = []
    up.first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    up(torch.tensor([[[[0.0, 4.0]]]]))
    assert seen[0].tolist() == [[[[0.0, 1.0, 3.0, 4.0]] * 2]]


def test_the_dilated_centre_adds_a_chain() -> None:
    centre = DilatedCentre(3, 2).double()
    x = torch.rand(1, 3, 9, 9, dtype=torch.float64)
    total, link = torch.zeros(1, 2, 9, 9, dtype=torch.float64), x
    for rate, convolution in enumerate(centre.convolutions, start=1):
        # A dilated kernel is one with zeros between its values.
        side = 2 * rate + 1
        kernel = torch.zeros(*convolution.weight.shape[:2], side, side, dtype=torch.float64)
        kernel[:, :, ::rate, ::rate] = convolution.weight
        link = nn.functional.conv2d(link, kernel, convolution.bias, padding=rate)
        total = total + link
    torch.testing.assert_close(centre(x), total.clamp(min=0))


def test_features_have_a_short_and_a_long_shortcut() -> None:
    net = FeatureNet(4, 2)
    for block in net.blocks:
        assert isinstance(block, ResidualBlock)
        nn.init.zeros_(block.second.weight)
        nn.init.zeros_(block.second.bias)
    nn.init.dirac_(net.last.weight)
    nn.init.zeros_(net.last.bias)
    x = torch.rand(1, 3, 16, 16)
    # Blocks that add nothing, and a last convolution that passes on: the long shortcut doubles the first layer.
    torch.testing.assert_close(net(x), 2 * net.first(x))


def test_the_slope_of_a_residual_block_is_a_fifth() -> None:
    block = ResidualBlock(1)
    for convolution in (block.first, block.second):
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    x = torch.tensor([[[[-5.0, 5.0]]]])
    assert block(x).flatten().tolist() == [-6.0, 10.0]


def test_the_threshold_passes_values_and_gradients_alike() -> None:
    x = torch.tensor([-0.02, -0.005, 0.0, 0.01, 0.3], requires_grad=True)
    y = Threshold(0.01)(x)
    y.backward(torch.arange(1.0, 6.0))
    assert y.tolist() == pytest.approx([-0.02, 0.0, 0.0, 0.01, 0.3])
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0, 0.0, 4.0, 5.0]


def test_pre_activation_leaves_the_shortcut_of_equal_shape_alone() -> None:
    block = shaken(PreActBlock(8, 8, 1))
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x)
    changing = shaken(PreActBlock(8, 16, 2))
    nn.init.zeros_(changing.conv2.weight)
    expected = nn.functional.conv2d(changing.bn1(x).clamp(min=0), changing.shortcut.weight, stride=2)
    torch.testing.assert_close(changing(x), expected)


def test_the_classifier_takes_32x32_and_halves_it_three_times() -> None:
    shapes: list[tuple[int, ...]] = []
    net = PreActResNet18(3, 0.125)
    net.layer4.register_forward_hook(lambda module, given, result: shapes.append(tuple(result.shape)))
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 64)
    assert shapes == [(2, 64, 4, 4)]
    # A last batch norm or ReLU would show in the means, which are of both signs as they are.
    assert net(torch.randn(8, 3, 32, 32)).min() < 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("feratt", {"maps": "true"}),
        ("feratt", {"head": "plain", "norm": "imagenet"}),
        ("feratt-paper", {"maps": "true"}),
    ],
)
def test_the_graph_computes_what_the_network_computes(name: str, options: dict[str, str]) -> None:
    network = made(name, **options)
    exported = export_onnx(network)
    assert exported.max_error < 1e-5
    assert exported.notes == ()
    expected = ["logits"]
    if "head" not in options:
        expected.append("embedding")
    if "maps" in options:
        expected += ["attention_map", "corrected_image"]
    assert [output.name for output in exported.outputs] == expected
    graph = exported.model.graph
    operators = {node.op_type for node in graph.node}
    assert ("ConvTranspose" in operators, "Resize" in operators) == (
        (True, False) if "paper" in name else (False, True)
    )
    for node in graph.node:
        if node.op_type == "Resize":
            said = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            assert (said["mode"], said["coordinate_transformation_mode"]) == (b"linear", b"half_pixel")
    # Nothing of the per-channel constants is left but products and sums.
    assert operators.isdisjoint({"Gather", "Unsqueeze", "Slice", "Cast", "Shape"})


def test_the_classifier_takes_attention_by_name() -> None:
    plain, gated = made().module, made(attention="se").module
    added = gated.state_dict().keys() - plain.state_dict().keys()
    assert {name.split(".")[0] for name in added} == {"representation"}
    assert len({name.partition(".attention.")[0] for name in added}) == 8
    with pytest.raises(UsageError, match="attention='bam' is not one of"):
        made(attention="bam")


def test_the_affine_between_modules_is_one_product_and_one_sum() -> None:
    affine = ChannelAffine((2.0, 3.0, 4.0), (1.0, 0.0, -1.0))
    assert affine(torch.ones(1, 3, 1, 1)).flatten().tolist() == [3.0, 3.0, 3.0]
    assert not affine.state_dict()


@pytest.mark.parametrize("name", ["feratt", "feratt-paper"])
def test_the_objective_has_the_terms_that_the_targets_allow(name: str) -> None:
    network = made(name)
    module = network.module.train()
    assert isinstance(module, OwnObjective)
    torch.manual_seed(1)
    inputs, labels = {"visible": torch.rand(4, 3, 64, 64)}, torch.tensor([0, 1, 0, 7])
    clean, mask = torch.rand(4, 3, 64, 64), torch.ones(4, 1, 64, 64)
    assert set(module.losses(inputs, labels, {})) == {"cross-entropy", "gaussian-structure"}
    with_clean = set(module.losses(inputs, labels, {"clean": clean}))
    assert ("reconstruction" in with_clean) == (name == "feratt")
    terms = module.losses(inputs, labels, {"clean": clean, "mask": mask})
    assert set(terms) == {"cross-entropy", "gaussian-structure", "reconstruction"}
    assert all(term.ndim == 0 and math.isfinite(term.item()) for term in terms.values())
    sum(terms.values()).backward()
    assert [key for key, value in module.named_parameters() if value.grad is None] == []


def test_the_plain_head_has_no_structure_to_learn() -> None:
    module = made(head="plain").module
    terms = module.losses({"visible": torch.rand(2, 3, 64, 64)}, torch.tensor([0, 1]), {})
    assert set(terms) == {"cross-entropy"}


def test_reconstruction_is_compared_in_the_units_of_the_corrected_image() -> None:
    """The last form's result is like an image in 0..1; the paper's is in the units that the network sees."""
    image, labels = {"visible": torch.rand(1, 3, 64, 64)}, torch.tensor([0])
    clean, mask = torch.rand(1, 3, 64, 64), (torch.rand(1, 1, 64, 64) > 0.5).float()
    last = made(norm="cifar10", reconstruction="2019-03").module
    paper = made("feratt-paper").module
    with torch.no_grad():
        for module, target, factor in ((last, clean, 10.0), (paper, paper.norm(clean) * mask, 1.0)):
            found = module.losses(image, labels, {"clean": clean, "mask": mask})["reconstruction"]
            difference = (module.answer(image["visible"]).corrected - target).double().numpy()
            assert float(found) == pytest.approx(factor * float(np.mean(difference**2)), rel=1e-5)
