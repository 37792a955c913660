"""ML-Net: what is published of it, held against an independent computation in float64, and its export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch.nn import functional as F  # noqa: E402

from edgefer.errors import TrainingError, UsageError  # noqa: E402
from edgefer_export.checkpoint import load_weights, metadata_of, save_checkpoint  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.networks.ml_net import EPSILON, MlNet, PaddedPool  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.runners import graph_function  # noqa: E402

SMALL = {"width": "0.125", "height": "64", "width_px": "96"}
MEANS = (103.939, 116.779, 123.68)  # blue, green, red, of the authors' code
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of VGG-16 by torchvision's names


def made(options: dict[str, str], seed: int = 0) -> LoadedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = registry.create("ml-net", options)
        with torch.no_grad():
            network.module.prior.normal_(0, 0.3)  # type: ignore[operator, union-attr]
    network.module.eval()
    return network


def reference(network: LoadedNetwork, image: np.ndarray) -> np.ndarray:
    """The map (N, 1, H/8, W/8) in float64, layer by layer from the published table."""
    weights = {name: value.double() for name, value in network.module.state_dict().items()}

    def conv(x: torch.Tensor, name: str, padding: int) -> torch.Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding).clamp(min=0)

    x = torch.from_numpy(image).double() * 255 - torch.tensor(MEANS, dtype=torch.float64).view(1, 3, 1, 1)
    taps = []
    for place, index in enumerate(CONVOLUTIONS):
        x = conv(x, f"features.{index}", 1)
        if place in (1, 3, 6):
            x = F.max_pool2d(x, 2)
        if place == 9:
            # 2x2 with a stride of 1: the value, its right and lower neighbours and the one between, where they exist.
            padded = F.pad(x, (0, 1, 0, 1), value=-1.0)
            x = torch.stack([padded[..., i : i + x.shape[2], j : j + x.shape[3]] for i in (0, 1) for j in (0, 1)])
            x = x.amax(0)
        if place in (6, 9, 12):
            taps.append(x)
    x = conv(conv(torch.cat(taps, 1), "encode", 1), "score", 0)
    rows, columns = x.shape[2:]
    prior = F.interpolate(weights["prior"], size=(rows, columns), mode="bilinear", align_corners=False)
    x = (x * (1 + prior)).clamp(min=0)
    peak = x.flatten(1).amax(1).view(-1, 1, 1, 1)
    return (x / peak).numpy()


def test_the_parameters_are_as_counted_from_the_paper() -> None:
    with torch.device("meta"):
        network = registry.create("ml-net")
    parts = {"features": 0, "encode": 0, "score": 0, "prior": 0}
    for name, parameter in network.module.named_parameters():
        parts[name.split(".")[0]] += parameter.numel()
    assert parts == {"features": 14_714_688, "encode": 737_344, "score": 65, "prior": 48}
    assert network.parameters == 15_452_145


def test_the_default_is_the_published_input_and_map() -> None:
    with torch.device("meta"):
        network = registry.create("ml-net")
        found = network.module(torch.zeros(1, 3, 480, 640))
    (spec,) = network.inputs
    assert found["saliency"].shape == (1, 1, 60, 80)
    assert network.module.prior.shape == (1, 1, 6, 8)
    assert spec.shape == (1, 3, 480, 640)
    assert spec.image is not None
    # The means are in the graph, and nowhere else.
    assert (spec.image.colour, spec.image.fit, spec.image.pad, spec.image.mean) == ("bgr", "letterbox", (0,), ())
    assert (network.logits, network.labels, network.graph_role) == (None, (), "saliency")


def test_it_computes_what_the_paper_says() -> None:
    network = made(SMALL)
    image = np.random.default_rng(1).random((2, 3, 64, 96))
    with torch.no_grad():
        found = network.module.double()(torch.from_numpy(image))["saliency"].numpy()
    network.module.float()
    expected = reference(network, image)
    assert found.shape == (2, 1, 8, 12)
    # Both in float64, in another order: some 30,000 products a value.
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found.reshape(2, -1).max(1) == pytest.approx([1, 1])


def test_the_padded_pool_looks_to_the_right_and_down() -> None:
    x = torch.tensor([[[[1.0, 5.0, 2.0], [0.0, 3.0, 4.0]]]])
    assert PaddedPool()(x)[0, 0].tolist() == [[5, 5, 4], [3, 4, 4]]


def test_an_empty_map_gives_zeros_in_torch_and_in_onnx() -> None:
    network = made(SMALL)
    with torch.no_grad():
        network.module.score.bias.fill_(-1e6)  # type: ignore[operator, union-attr]
    image = np.random.default_rng(2).random((1, 3, 64, 96), dtype=np.float32)
    with torch.no_grad():
        found = network.module(torch.from_numpy(image))["saliency"]
    assert torch.equal(found, torch.zeros(1, 1, 8, 12))
    graph = graph_function(export_onnx(network).model)
    assert np.array_equal(graph({"image": image})["saliency"], np.zeros((1, 1, 8, 12), np.float32))


def test_what_is_nearly_empty_is_damped_and_not_blown_up() -> None:
    network = made({**SMALL, "height": "32", "width_px": "32"})
    peak = 1e-7
    assert peak < EPSILON
    with torch.no_grad():
        network.module.prior.zero_()  # type: ignore[operator, union-attr]
        network.module.score.weight.zero_()  # type: ignore[operator, union-attr]
        network.module.score.bias.fill_(peak)  # type: ignore[operator, union-attr]
        found = network.module(torch.rand(1, 3, 32, 32))["saliency"]
    assert found.max().item() == pytest.approx(peak / EPSILON, rel=1e-5)


@pytest.mark.parametrize("size", [("64", "96"), ("96", "96")])
def test_the_export_computes_the_same(size: tuple[str, str]) -> None:
    network = made({"width": "0.125", "height": size[0], "width_px": size[1]})
    exported = export_onnx(network)
    assert exported.max_error < 1e-5
    assert [(each.name, each.role) for each in exported.outputs] == [("saliency", "other")]
    assert {node.op_type for node in exported.model.graph.node} >= {"Conv", "MaxPool", "Div"}


def test_fresh_networks_answer_something() -> None:
    for seed in range(6):
        network = made(SMALL, seed)
        with torch.no_grad():
            found = network.module(torch.rand(1, 3, 64, 96))["saliency"]
        assert found.max() == 1


def test_the_losses_are_those_of_the_paper() -> None:
    network = made(SMALL)
    module = network.module
    assert isinstance(module, MlNet)
    rng = np.random.default_rng(3)
    image, target = rng.random((2, 3, 64, 96)), rng.random((2, 1, 64, 96))
    module.double().eval()
    found = module.losses({"image": torch.from_numpy(image)}, torch.zeros(2), {"saliency": torch.from_numpy(target)})
    wanted = target.reshape(2, 1, 8, 8, 12, 8).mean((3, 5))
    deviation = np.mean((reference(network, image) - wanted) ** 2 / (1.1 - wanted))
    # The means in the graph are float32: 103.939 is held to eight digits.
    assert float(found["saliency"].detach()) == pytest.approx(float(deviation), rel=1e-6)
    prior = module.prior.detach().numpy()
    assert float(found["prior"].detach()) == pytest.approx(float((prior**2).sum() / prior.size), rel=1e-9)
    total = found["saliency"] + found["prior"]
    total.backward()  # type: ignore[no-untyped-call]
    assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in module.parameters())


def test_without_maps_there_is_nothing_to_learn() -> None:
    module = made(SMALL).module
    assert isinstance(module, MlNet)
    with pytest.raises(TrainingError, match="trained on saliency maps") as caught:
        module.losses({"image": torch.zeros(1, 3, 64, 96)}, torch.zeros(1), {})
    assert "--layout saliency" in caught.value.hint


def test_a_prior_of_another_grid_is_resized_with_a_note(tmp_path: Path) -> None:
    large = made({"width": "0.125", "height": "160", "width_px": "160"})
    path = save_checkpoint(tmp_path / "large.pt", large.module, metadata_of(large))
    small = made({"width": "0.125", "height": "80", "width_px": "160"})
    report = load_weights(small.module, path)
    expected = F.interpolate(large.module.prior.detach(), size=(1, 2), mode="bilinear", align_corners=False)  # type: ignore[union-attr, operator]
    assert torch.equal(small.module.prior.detach(), expected)  # type: ignore[union-attr, operator]
    assert report.notes == (
        "the prior was learned on a grid of 2x2 and is resized to 1x2; train it again to learn its own",
    )
    assert load_weights(large.module, path).notes == ()


def test_a_side_that_is_no_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(UsageError, match="height=100 is no multiple of 8") as caught:
        registry.create("ml-net", {"height": "100"})
    assert "104" in caught.value.hint
