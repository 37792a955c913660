"""Single backbones, and their late, early and joint fusion."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.backbones import PAIRS  # noqa: E402
from edgefer_export.networks.fusion_baselines import log_mean_probability  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402

SMALL = {"width": "0.125", "size": "64"}
TRUNKS = {"resnet18": 11_176_512, "resnet34": 21_284_672, "vgg11": 9_220_480, "vgg13": 9_404_992}
NAMES = ("late-fusion", "early-fusion", "joint-fusion")


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_backbone_is_its_trunk_and_a_linear_layer(trunk: str) -> None:
    with torch.device("meta"):
        network = registry.create("backbone", {"backbone": trunk})
    assert network.parameters == TRUNKS[trunk] + 512 * 7 + 7


@pytest.mark.parametrize("trunk", ["resnet18", "vgg13"])
def test_a_backbone_exports(trunk: str) -> None:
    exported = export_onnx(registry.create("backbone", {**SMALL, "backbone": trunk}))
    assert exported.max_error < 1e-5
    assert exported.notes == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", PAIRS)
def test_counts_of_every_pair(name: str, pair: str) -> None:
    with torch.device("meta"):
        network = registry.create(name, {"backbones": pair})
    trunks = sum(TRUNKS[each] for each in pair.split("+"))
    heads = 2 * (512 * 7 + 7) if name == "late-fusion" else (1024 * 256 + 256) + (256 * 7 + 7)
    assert network.parameters == trunks + heads
    assert network.labels[0] == "surprise"


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_exports(name: str) -> None:
    torch.manual_seed(1)
    network = registry.create(name, {**SMALL, "backbones": "vgg11+vgg13"})
    exported = export_onnx(network, batches=(1, 2))
    assert exported.max_error < 1e-5
    assert exported.notes == ()


def test_late_fusion_is_the_mean_of_both_probabilities() -> None:
    torch.manual_seed(2)
    module = registry.create("late-fusion", SMALL).module.double().eval()
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    x = module.norm(image)
    parts = ((module.first, module.first_fc), (module.second, module.second_fc))
    mean = sum(torch.softmax(fc(trunk(x).mean((2, 3))), 1) for trunk, fc in parts) / 2
    logits = module(image)
    torch.testing.assert_close(logits, mean.log())
    torch.testing.assert_close(torch.softmax(logits, 1), mean)


@pytest.mark.parametrize("scale", [0.1, 10.0, 700.0])
def test_the_logarithm_is_that_of_float64_in_float32_too(scale: float) -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = scale * torch.randn(2, 64, 7, generator=generator)
    pair = torch.stack((first.double().log_softmax(1), second.double().log_softmax(1)))
    expected = pair.logsumexp(0) - torch.log(torch.tensor(2.0, dtype=torch.float64))
    found = log_mean_probability(first, second)
    # A logit carries half a unit in its last place, and three subtractions of such are made.
    tolerance = 4 * torch.finfo(torch.float32).eps * max(1.0, float(torch.stack((first, second)).abs().max()))
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(log_mean_probability(first.double(), second.double()), expected)


def test_certain_classifiers_leave_finite_logarithms_and_gradients() -> None:
    first = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    second = torch.tensor([[-1e4, 0.0, 1e4]])
    found = log_mean_probability(first, second)
    torch.testing.assert_close(found, torch.tensor([[-0.6931472, -1e4, -0.6931472]]), atol=2e-3, rtol=0)
    found.sum().backward()
    assert torch.isfinite(first.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_answered_in_float32(dtype: torch.dtype) -> None:
    first, second = (3 * torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(4))).to(dtype)
    found = log_mean_probability(first, second)
    assert found.dtype == torch.float32
    assert torch.equal(found, log_mean_probability(first.float(), second.float()))


def test_early_and_joint_differ_in_what_they_train_alone() -> None:
    early, joint = (registry.create(name, SMALL).module for name in ("early-fusion", "joint-fusion"))
    joint.load_state_dict(early.state_dict())
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(early.eval()(image), joint.eval()(image))
    assert early.stages != joint.stages


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_pair_is_an_error_that_lists_the_known(name: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)is not one of resnet18\+resnet34, vgg13\+resnet34.*did you mean"):
        registry.create(name, {"backbones": "vgg13+resnet18"})


def test_an_unknown_backbone_is_an_error() -> None:
    with pytest.raises(UsageError, match="backbone='vgg19' is not one of resnet18, resnet34, vgg11, vgg13"):
        registry.create("backbone", {"backbone": "vgg19"})
