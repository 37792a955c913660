"""The registered networks: their published sizes, their switches, their names, and what they refuse."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import CbamAttention, GatedFusion, GatedPool  # noqa: E402
from edgefer_export.networks.forward import forward, named_outputs  # noqa: E402
from edgefer_export.networks.resnet import ResNetTrunk, scaled  # noqa: E402

SMALL = {"width": "0.125", "size": "64"}


def small(name: str) -> dict[str, str]:
    """The options that make this network small, whatever it calls its sides."""
    wanted = {**SMALL, "height": "64", "width_px": "64"}
    known = {option.name for option in registry.describe(name).options}
    return {option: value for option, value in wanted.items() if option in known}


def feeds(network: registry.LoadedNetwork, batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {spec.name: torch.rand(batch, *spec.shape[1:]) for spec in network.inputs}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("viri-visible", 11_571_781), ("viri-infrared", 11_572_293), ("viri-fusion", 23_142_533)],
)
def test_published_parameter_counts(name: str, parameters: int) -> None:
    network = registry.create(name)
    assert network.parameters == parameters
    assert network.labels == ("angry", "happy", "neutral", "sad", "surprise")


def test_cbam_adds_what_it_adds_to_a_plain_resnet() -> None:
    plain = sum(parameter.numel() for parameter in ResNetTrunk(4).parameters()) + 512 * 5 + 5
    assert registry.create("cbam-early-fusion").parameters - plain == 89_880


CLASSIFIERS = [
    name for name in registry.names() if "classes" in {option.name for option in registry.describe(name).options}
]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_come_out_and_names_are_those_of_forward(name: str) -> None:
    network = registry.create(name, {**small(name), "classes": "9"})
    network.module.eval()
    logits = forward(network.module, feeds(network))["logits"]
    assert logits.shape == (2, 9)
    # The logarithm of a mean of probabilities is a logit that sums to 1 already.
    assert torch.allclose(logits.exp().sum(dim=1), torch.ones(2)) == (name == "late-fusion")
    assert network.labels == tuple(f"class_{index}" for index in range(9))


@pytest.mark.parametrize("name", registry.names())
def test_every_option_has_a_meaning_and_makes_the_same_network_again(name: str) -> None:
    description = registry.describe(name)
    assert description.summary
    assert description.paper
    assert all(option.meaning and "\n" not in option.meaning for option in description.options)
    network = registry.create(name, small(name))
    assert set(network.options) == {option.name for option in description.options}
    again = registry.create(name, network.options, labels=network.labels or None)
    assert again.options == network.options
    assert again.inputs == network.inputs
    assert again.module.state_dict().keys() == network.module.state_dict().keys()


def test_roles_colours_and_bands_of_the_inputs() -> None:
    network = registry.create("viri-fusion", {**SMALL, "infrared_channels": "1", "present": "true"}, band="nir")
    visible, infrared, present = network.inputs
    assert (visible.name, visible.role, visible.shape) == ("visible", "visible", (1, 3, 64, 64))
    assert (infrared.name, infrared.role, infrared.shape) == ("infrared", "infrared", (1, 1, 64, 64))
    assert (present.name, present.role, present.shape, present.image) == ("present", "present", (1, 2), None)
    assert visible.image is not None
    assert infrared.image is not None
    assert (visible.image.colour, visible.image.band) == ("rgb", "visible")
    assert (infrared.image.colour, infrared.image.band) == ("grey", "nir")
    default = registry.create("viri-infrared", SMALL).inputs[0]
    assert default.image is not None
    assert (default.shape[1], default.image.colour, default.image.band) == (3, "rgb", "lwir")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("viri-visible", "visible"),
        ("viri-infrared", "infrared"),
        ("viri-fusion", "fused"),
        ("cbam-early-fusion", "fused"),
    ],
)
def test_graph_roles(name: str, role: str) -> None:
    assert registry.create(name, SMALL).graph_role == role


def test_gates_default_to_the_paper() -> None:
    assert registry.create("viri-visible", SMALL).module.gate.square is False
    assert registry.create("viri-infrared", SMALL).module.gate.square is True
    assert registry.create("viri-fusion", SMALL).module.fusion.square is True
    assert registry.create("viri-visible", {**SMALL, "gate": "square"}).module.gate.square is True


@pytest.mark.parametrize(
    ("name", "rates"),
    [("viri-visible", [0.4, 0.4]), ("viri-infrared", [0.7, 0.8]), ("viri-fusion", [0.2, 0.2, 0.2])],
)
def test_dropouts_are_those_of_the_paper(name: str, rates: list[float]) -> None:
    module = registry.create(name, SMALL).module
    assert [part.p for part in module.modules() if isinstance(part, torch.nn.Dropout)] == rates


def test_the_loss_is_said_to_whoever_trains() -> None:
    assert registry.create("viri-fusion", SMALL).module.loss == "ce_on_logits"
    assert registry.create("viri-fusion", {**SMALL, "loss": "ce_on_softmax"}).module.loss == "ce_on_softmax"
    assert registry.create("cbam-early-fusion", SMALL).module.loss == "ce_on_logits"


def test_interleaving_is_concatenation_with_the_columns_of_the_head_permuted() -> None:
    interleaved = registry.create("viri-fusion", SMALL)
    concatenated = registry.create("viri-fusion", {**SMALL, "fusion": "concat"})
    state = interleaved.module.state_dict()
    columns = state["head.1.weight"].shape[1]
    order = torch.cat((torch.arange(0, columns, 2), torch.arange(1, columns, 2)))
    given = feeds(interleaved)
    concatenated.module.load_state_dict(state)
    outputs = [forward(network.module.eval(), given)["logits"] for network in (interleaved, concatenated)]
    assert not torch.allclose(*outputs, atol=1e-4)
    concatenated.module.load_state_dict({**state, "head.1.weight": state["head.1.weight"][:, order]})
    torch.testing.assert_close(forward(concatenated.module, given)["logits"], outputs[0], atol=1e-6, rtol=1e-5)


def test_gates_look_at_the_vector_or_its_square() -> None:
    pool = GatedPool(3, square=True).double()
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    p = features.mean((2, 3))
    weight, bias = pool.linear.weight, pool.linear.bias
    torch.testing.assert_close(pool(features), p * torch.sigmoid((p**2) @ weight.T + bias))
    pool.square = False
    torch.testing.assert_close(pool(features), p * torch.sigmoid(p @ weight.T + bias))


def test_the_mask_takes_a_modality_out() -> None:
    fusion = GatedFusion(4, square=True, interleave=True)
    visible, infrared = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    both = fusion(visible, infrared)
    torch.testing.assert_close(fusion(visible, infrared, torch.ones(2, 2)), both)
    masked = fusion(visible, infrared, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(masked[0, 0::2], both[0, 0::2])
    torch.testing.assert_close(masked[1, 1::2], both[1, 1::2])
    assert masked[0, 1::2].abs().max() == 0
    assert masked[1, 0::2].abs().max() == 0


def test_cbam_folds_its_batch_norm_as_it_computes() -> None:
    block = CbamAttention(32).double()
    block.bn.running_mean.fill_(0.3)
    block.bn.running_var.fill_(2.5)
    torch.nn.init.constant_(block.bn.weight, 1.7)
    torch.nn.init.constant_(block.bn.bias, -0.4)
    block.eval()
    planes = torch.randn(2, 2, 5, 6, dtype=torch.float64)
    block.fold()
    assert block._folded is not None
    weight, bias = block._folded
    folded = torch.nn.functional.conv2d(planes, weight, bias, padding=3)
    torch.testing.assert_close(folded, block.bn(block.spatial(planes)))


def test_normalisation_happens_inside_the_graph_alone() -> None:
    plain, normalising = (registry.create("viri-visible", {**SMALL, "norm": norm}) for norm in ("none", "imagenet"))
    normalising.module.load_state_dict(plain.module.state_dict())
    image = feeds(plain)["visible"]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = forward(plain.module.eval(), {"visible": (image - mean) / deviation})["logits"]
    found = forward(normalising.module.eval(), {"visible": image})["logits"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    spec = normalising.inputs[0].image
    assert spec is not None
    assert (spec.mean, spec.std) == ((), ())


@pytest.mark.parametrize(("width", "channels"), [(1.0, 64), (0.25, 16), (0.01, 8), (0.3, 16), (1.5, 96)])
def test_widths_stay_multiples_of_eight(width: float, channels: int) -> None:
    assert scaled(64, width) == channels


def test_trunk_has_torchvisions_names() -> None:
    names = set(ResNetTrunk().state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer4.1.bn2.bias"} <= names
    assert {"layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var"} <= names
    assert len(names) == 120


@pytest.mark.parametrize(
    ("name", "options", "labels", "said"),
    [
        ("viri-fussion", {}, None, "there is no network 'viri-fussion'; there are viri-visible.*did you mean 'viri-f"),
        ("viri-fusion", {"widht": "1"}, None, "no option 'widht'; it has width, .*did you mean 'width'"),
        ("viri-fusion", {"gate": "cubic"}, None, "gate='cubic' is not one of linear, square"),
        ("viri-fusion", {"width": "broad"}, None, "width='broad' is not a number"),
        ("viri-fusion", {"width": "nan"}, None, "out of bounds"),
        ("viri-fusion", {"size": "16"}, None, "size=16 is out of bounds.*at least 32"),
        ("viri-fusion", {"size": "64.5"}, None, "not a whole number"),
        ("viri-fusion", {"present": "perhaps"}, None, "neither true nor false"),
        ("viri-fusion", {"classes": "4"}, ("a", "b", "c"), "classes=4, but there are 3 labels"),
        ("viri-fusion", {"classes": "4", "labels": "viri"}, None, "classes=4, but there are 5 labels"),
        ("viri-fusion", {}, ("a", "b", "a"), "labels occur twice: a"),
        ("viri-fusion", {}, ("a",), "two or more labels"),
        ("cbam-early-fusion", {"gate": "square"}, None, "no option 'gate'"),
    ],
)
def test_what_is_not_there_is_an_error_that_lists_what_is(
    name: str, options: dict[str, str], labels: tuple[str, ...] | None, said: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){said}"):
        registry.create(name, options, labels=labels)


def test_an_unknown_network_cannot_be_described() -> None:
    with pytest.raises(UsageError, match="there is no network 'resnet'"):
        registry.describe("resnet")


@pytest.mark.parametrize(
    ("options", "labels", "expected"),
    [
        ({"labels": "nvie"}, None, ("disgust", "fear", "happy")),
        ({"classes": "3"}, None, ("disgust", "fear", "happy")),
        ({}, ("calm", "drowsy"), ("calm", "drowsy")),
        ({"classes": "2"}, None, ("class_0", "class_1")),
    ],
)
def test_labels_decide_the_classes(
    options: dict[str, str], labels: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    network = registry.create("viri-visible", {**SMALL, **options}, labels=labels)
    assert network.labels == expected
    assert network.options["classes"] == str(len(expected))
    assert network.module.head[-1].out_features == len(expected)


def test_outputs_are_named() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    assert list(named_outputs(one)) == ["logits"]
    assert list(named_outputs((one, two))) == ["logits", "output_1"]
    assert list(named_outputs({"logits": one, "embedding": two})) == ["logits", "embedding"]
