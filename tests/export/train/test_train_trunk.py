"""Starting from torchvision's classifiers: what is taken, what stays fresh, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgefer.errors import CheckpointError, UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.train.trunks import load_trunks  # noqa: E402

WIDTH = "0.05"
ML_NET = {"width": WIDTH, "height": "32", "width_px": "48"}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green, blue, as torchvision's weights expect
BGR_MEANS = (103.939, 116.779, 123.68)


def classifier(backbone: str, size: str = "64") -> LoadedNetwork:
    options = {"width": WIDTH, "size": size, "backbone": backbone, "saliency": "false"}
    return registry.create("saliency-alexnet", options)


def published(folder: Path, backbone: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file as torchvision's of that network, with 1000 classes and reduced width."""
    torch.manual_seed(3)
    state = {name: torch.randn_like(tensor) for name, tensor in classifier(backbone).module.state_dict().items()}
    hidden = state["classifier.6.weight"].shape[1]
    state |= {"classifier.6.weight": torch.randn(1000, hidden), "classifier.6.bias": torch.randn(1000)}
    path = folder / f"{backbone}.pth"
    torch.save(state, path)
    return path, state


@pytest.mark.parametrize(("backbone", "tensors"), [("alexnet", 14), ("vgg16", 30)])
def test_the_classifier_takes_all_but_the_last_layer(backbone: str, tensors: int, tmp_path: Path) -> None:
    path, state = published(tmp_path, backbone)
    network = classifier(backbone)
    before = network.module.state_dict()["classifier.6.weight"].clone()
    load_trunks(network, path)
    after = network.module.state_dict()
    taken = [name for name in after if not name.startswith("classifier.6.")]
    assert len(taken) == tensors
    assert all(torch.equal(after[name], state[name]) for name in taken)
    assert torch.equal(after["classifier.6.weight"], before)


@pytest.mark.parametrize(("backbone", "size"), [("vgg16", "64"), ("alexnet", "96")], ids=["network", "size"])
def test_another_network_or_size_is_refused(backbone: str, size: str, tmp_path: Path) -> None:
    path, _ = published(tmp_path, "alexnet")
    network = classifier(backbone, size)
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    with pytest.raises(CheckpointError, match="does not fit the network") as caught:
        load_trunks(network, path)
    assert "width=1 and size=224" in caught.value.hint
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.module.state_dict().items())


def test_ml_net_answers_its_own_pixels_as_vgg_16_answers_its(tmp_path: Path) -> None:
    path, state = published(tmp_path, "vgg16")
    network = registry.create("ml-net", ML_NET)
    fresh = {
        name: tensor.clone() for name, tensor in network.module.state_dict().items() if not name.startswith("feat")
    }
    load_trunks(network, path)
    after = network.module.state_dict()
    image = torch.rand(2, 3, 32, 48, dtype=torch.float64)  # RGB in 0..1

    def column(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)

    expected = F.conv2d(
        (image - column(MEAN)) / column(DEVIATION),
        state["features.0.weight"].double(),
        state["features.0.bias"].double(),
        padding=1,
    )
    bgr = 255 * image.flip(1) - column(BGR_MEANS)
    found = F.conv2d(bgr, after["features.0.weight"].double(), after["features.0.bias"].double(), padding=1)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    # Weights are rounded to float32: 27 products of up to about 10 each.
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-4, rtol=1e-5)
    # At the border up to 5 of 9 pixels are padding, each at most 0.009 off in colour.
    taps = state["features.0.weight"].abs().sum(dim=(1, 2, 3)).max()
    assert float((found - expected).abs().max()) < 0.009 * float(taps)
    assert all(torch.equal(after[f"features.{n}.weight"], state[f"features.{n}.weight"]) for n in (2, 14, 28))
    assert all(torch.equal(after[name], tensor) for name, tensor in fresh.items())


def test_convolutions_that_were_published_alone_are_refused(tmp_path: Path) -> None:
    path, state = published(tmp_path, "vgg16")
    torch.save({**state, "classifier.0.weight": torch.full((4, 4), torch.nan)}, path)
    with pytest.raises(CheckpointError, match="not finite"):
        load_trunks(registry.create("ml-net", ML_NET), path)


def test_ml_net_does_not_start_from_another_network(tmp_path: Path) -> None:
    path, _ = published(tmp_path, "alexnet")
    with pytest.raises(CheckpointError, match=r"(?s)does not fit the network.*missing: features\.2\.weight"):
        load_trunks(registry.create("ml-net", ML_NET), path)


def test_a_network_without_such_layers(tmp_path: Path) -> None:
    network = replace(classifier("alexnet"), module=nn.Linear(2, 2), name="other")
    with pytest.raises(UsageError, match="no ResNet or VGG trunk"):
        load_trunks(network, tmp_path / "resnet.pt")
