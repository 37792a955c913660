"""Training a saliency network on drawn maps, and the classifier behind it on the maps of that network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from edgefer.bundle.manifest import InputSpec  # noqa: E402
from edgefer.errors import DataError, UsageError  # noqa: E402
from edgefer.runtime.preprocess import Image, Preprocessor  # noqa: E402
from edgefer_export.checkpoint import read_metadata  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.saliency_maps import load_saliency_network, takes_map, with_maps_for  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402

MAKER = {"width": "0.0625", "height": "64", "width_px": "64"}
CLASSIFIER = {"width": "0.05", "size": "64"}


def tensor(spec: InputSpec, image: Image) -> torch.Tensor:
    return torch.from_numpy(Preprocessor(spec)(image))


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ML-Net of reduced size after a few steps on drawn maps."""
    output = tmp_path_factory.mktemp("maps") / "ml-net.pt"
    spec = TrainSpec("ml-net", "synthetic:64:1", output, options=MAKER, steps=24, batch=8, learning_rate=3e-3, seed=1)
    result = train(spec)
    losses = [each.loss for each in result.history]
    assert losses[-1] < 0.8 * losses[0]
    return output


def test_a_saliency_network_learns_where_eyes_and_mouth_are(maker: Path) -> None:
    metadata = read_metadata(maker)
    assert metadata is not None
    assert (metadata.network, metadata.labels) == ("ml-net", ())
    network, _ = load_saliency_network(maker)
    assert isinstance(network.module, torch.nn.Module)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        fresh = registry.create("ml-net", MAKER).module.eval()
    data = with_maps_for(network, open_dataset("synthetic:8:5"), None)
    wrong = {"trained": 0.0, "fresh": 0.0}
    for index in range(len(data)):
        images = data[index].images
        inputs = {"image": tensor(network.inputs[0], images["visible"])}
        targets = {"saliency": tensor(network.targets[0], images["saliency"])}
        for name, module in (("trained", network.module), ("fresh", fresh)):
            with torch.no_grad():
                wrong[name] += float(module.losses(inputs, torch.zeros(1), targets)["saliency"])  # type: ignore[operator, union-attr]
    assert wrong["trained"] < 0.7 * wrong["fresh"]


def test_the_classifier_is_trained_on_the_maps_of_a_checkpoint(maker: Path, tmp_path: Path) -> None:
    output = tmp_path / "face.pt"
    spec = TrainSpec("saliency-alexnet", "synthetic:40:2", output, options=CLASSIFIER, saliency=maker, steps=3, batch=8)
    result = train(spec)
    assert result.steps == 3
    metadata = read_metadata(output)
    assert metadata is not None
    assert metadata.network == "saliency-alexnet"


def test_what_lacks_its_maps_is_refused(maker: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.pt"
    with pytest.raises(UsageError, match="takes a saliency map of each face") as caught:
        train(TrainSpec("saliency-alexnet", "synthetic:40:2", output, options=CLASSIFIER, steps=1))
    assert "--saliency" in caught.value.hint
    with pytest.raises(UsageError, match="takes no saliency map"):
        train(TrainSpec("viri-visible", "synthetic:40:2", output, options={"width": "0.1"}, saliency=maker, steps=1))
    assert takes_map(registry.create("saliency-alexnet", {**CLASSIFIER, "saliency": "false"}).inputs) is None
    assert not output.exists()


def test_pictures_without_maps_teach_no_saliency(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(tmp_path / "data" / name / f"{index}.png"), np.full((16, 16, 3), index, np.uint8))
    spec = TrainSpec("ml-net", str(tmp_path / "data"), tmp_path / "x.pt", options=MAKER, layout="folder", steps=1)
    with pytest.raises(DataError, match="no saliency maps to learn from"):
        train(spec)
