"""The classifier of weighted faces: AlexNet's parameters and names, and the product with the map in pixel space."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.networks.saliency_alexnet import SaliencyWeighting, alexnet  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.runners import graph_function, network_function  # noqa: E402

SMALL = {"width": "0.05", "size": "64"}
MEAN, DEVIATION = (np.array(each).reshape(1, 3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def made(options: dict[str, str]) -> LoadedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.create("saliency-alexnet", {**SMALL, **options})
    network.module.eval()
    return network


def feeds(seed: int = 0, count: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "visible": rng.random((count, 3, 64, 64), dtype=np.float32),
        "saliency": rng.random((count, 1, 64, 64), dtype=np.float32),
    }


def test_the_parameters_are_those_of_alexnet_with_seven_classes() -> None:
    with torch.device("meta"):
        network = registry.create("saliency-alexnet")
    assert network.parameters == 57_032_519
    assert network.labels == ("neutral", "happy", "sad", "fear", "angry", "surprise", "disgust")
    shapes = {name: tuple(each.shape) for name, each in network.module.named_parameters() if name.endswith("weight")}
    # The names and shapes of torchvision's alexnet, but for the last layer's seven rows.
    assert shapes == {
        "features.0.weight": (64, 3, 11, 11),
        "features.3.weight": (192, 64, 5, 5),
        "features.6.weight": (384, 192, 3, 3),
        "features.8.weight": (256, 384, 3, 3),
        "features.10.weight": (256, 256, 3, 3),
        "classifier.1.weight": (4096, 9216),
        "classifier.4.weight": (4096, 4096),
        "classifier.6.weight": (7, 4096),
    }


def test_it_takes_a_face_and_a_map_of_its_size() -> None:
    with torch.device("meta"):
        network = registry.create("saliency-alexnet")
        logits = network.module(torch.zeros(2, 3, 224, 224), torch.zeros(2, 1, 224, 224))
    assert logits.shape == (2, 7)
    assert [(spec.name, spec.role, spec.shape) for spec in network.inputs] == [
        ("visible", "visible", (1, 3, 224, 224)),
        ("saliency", "saliency", (1, 1, 224, 224)),
    ]


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_the_product_is_of_pixels_before_anything_is_subtracted(weight: float) -> None:
    network = made({"weight": str(weight)})
    given = feeds(1)
    seen: list[torch.Tensor] = []
    network.module.features[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))  # type: ignore[index, union-attr]
    network_function(network)(given)
    image, saliency = (each.astype(np.float64) for each in given.values())
    expected = (image * ((1 - weight) + weight * saliency) - MEAN) / DEVIATION
    # Four roundings in float32 of values up to 2.7.
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=2e-6)


def test_a_pixel_that_does_not_count_is_black_and_not_grey() -> None:
    weighted = SaliencyWeighting(1.0)(torch.full((1, 3, 2, 2), 0.8), torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]))
    assert weighted[0, 0].tolist() == [[0.0, pytest.approx(0.8)], [0.0, 0.0]]


def test_an_empty_map_leaves_the_face_as_it_is_in_torch_and_in_onnx() -> None:
    network = made({})
    given = feeds(2, 2)
    given["saliency"][0] = 0
    one = {**given, "saliency": np.ones_like(given["saliency"])}
    found, whole = network_function(network)(given)["logits"], network_function(network)(one)["logits"]
    assert np.array_equal(found[0], whole[0])
    assert not np.allclose(found[1], whole[1])
    graph = graph_function(export_onnx(network, batches=(2,)).model)
    # Two graphs of float32 against each other: logits are below 1 here.
    np.testing.assert_allclose(graph(given)["logits"], found, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"weight": "0.3", "norm": "none"}, {"saliency": "false"}, {"backbone": "vgg16"}]
)
def test_the_export_computes_the_same(options: dict[str, str]) -> None:
    network = made(options)
    assert export_onnx(network).max_error < 1e-5
    assert len(network.inputs) == (1 if "saliency" in options else 2)


def test_the_stronger_backbone_is_vgg16() -> None:
    with torch.device("meta"):
        network = registry.create("saliency-alexnet", {"backbone": "vgg16"})
        logits = network.module(torch.zeros(1, 3, 224, 224), torch.zeros(1, 1, 224, 224))
    # torchvision's 138,357,544 with seven rows of 4,096 and a bias in the last layer for its thousand.
    assert network.parameters == 138_357_544 - 993 * 4097
    assert logits.shape == (1, 7)
    names = [name for name, _ in network.module.named_parameters() if name.startswith("classifier")]
    assert names == [f"classifier.{index}.{part}" for index in (0, 3, 6) for part in ("weight", "bias")]


def test_another_size_has_a_first_layer_of_its_own() -> None:
    sides = {size: alexnet(7, size, 0.01)[1][1].in_features for size in (64, 96, 224, 227)}
    assert sides == {64: 8, 96: 8 * 2**2, 224: 8 * 6**2, 227: 8 * 6**2}
    with torch.no_grad():
        for size in sides:
            features, classifier = alexnet(7, size, 0.01)
            assert classifier(features(torch.zeros(1, 3, size, size)).flatten(1)).shape == (1, 7)
    with pytest.raises(UsageError, match="size=60 is too small"):
        registry.create("saliency-alexnet", {"size": "60"})


def test_a_weight_lies_between_nothing_and_the_plain_product() -> None:
    with pytest.raises(UsageError, match=r"weight=1\.5 is out of bounds"):
        registry.create("saliency-alexnet", {"weight": "1.5"})
