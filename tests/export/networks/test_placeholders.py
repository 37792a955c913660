"""Placeholders for missing cameras: what they compute, what they cost, and that they reach the session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from edgefer.errors import InputError, UsageError  # noqa: E402
from edgefer.runtime.session import Session  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.checkpoint import metadata_of, save_checkpoint  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.data.synthetic import SyntheticPairs  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.forward import forward  # noqa: E402
from edgefer_export.networks.placeholders import FeaturePlaceholder, PixelMask  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402

NETWORKS = ("viri-fusion", "cbam-early-fusion")
SMALL = {"width": "0.125", "size": "32"}
LEARNED = {"present": "true", "placeholder": "learned"}
MASKS = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])


def parameters(name: str, options: dict[str, str]) -> int:
    with torch.device("meta"):
        return registry.create(name, options).parameters


def made(name: str, **options: str) -> registry.LoadedNetwork:
    """A small network whose placeholders, where it has any, are not 0."""
    torch.manual_seed(4)
    network = registry.create(name, {**SMALL, **options})
    for key, parameter in network.module.named_parameters():
        if key in ("placeholder.vectors", "mask.constant"):
            torch.nn.init.normal_(parameter)
    network.module.eval()
    return network


def test_published_counts_hold_without_placeholders_and_grow_by_them() -> None:
    assert parameters("viri-fusion", {}) == parameters("viri-fusion", {"present": "true"}) == 23_142_533
    assert parameters("viri-fusion", LEARNED) == 23_142_533 + 2 * 512
    assert parameters("cbam-early-fusion", {}) == parameters("cbam-early-fusion", {"present": "true"}) == 11_272_093
    assert parameters("cbam-early-fusion", LEARNED) == 11_272_093 + 4


@pytest.mark.parametrize("interleave", [True, False])
def test_a_vector_takes_the_place_of_each_camera_that_is_missing(interleave: bool) -> None:
    layer = FeaturePlaceholder(5, interleave=interleave).double()
    torch.nn.init.normal_(layer.vectors)
    features = torch.randn(3, 2, 5, dtype=torch.float64)
    present = MASKS.double()
    expected = present[:, :, None] * features + (1 - present)[:, :, None] * layer.vectors
    given = present[:, :, None] * features
    order = (0, 2, 1) if interleave else (0, 1, 2)
    found = layer(given.permute(order).reshape(3, 10), present)
    assert torch.equal(found, expected.permute(order).reshape(3, 10))


@pytest.mark.parametrize("learned", [True, False])
def test_a_constant_takes_the_place_of_the_pixels_of_a_missing_camera(learned: bool) -> None:
    layer = PixelMask(4, 3, learned=learned)
    constant = torch.zeros(4)
    if layer.constant is not None:
        torch.nn.init.normal_(layer.constant)
        constant = layer.constant.detach()
    visible, infrared = torch.rand(3, 3, 6, 7), torch.rand(3, 1, 6, 7)
    found = layer(visible, infrared, MASKS)
    assert torch.equal(found[0], torch.cat((visible, infrared), 1)[0])
    assert torch.equal(found[1], torch.cat((visible[1], constant[3:].view(1, 1, 1).expand(1, 6, 7))))
    assert torch.equal(found[2], torch.cat((constant[:3].view(3, 1, 1).expand(3, 6, 7), infrared[2])))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_missing_camera_shows_does_not_matter(name: str) -> None:
    module = made(name, **LEARNED).module
    channels = 3 if name == "viri-fusion" else 1
    pair = {"visible": torch.rand(3, 3, 32, 32), "infrared": torch.rand(3, channels, 32, 32)}
    black = {key: image * MASKS[:, column, None, None, None] for column, (key, image) in enumerate(pair.items())}
    with torch.no_grad():
        one, other = (forward(module, {**each, "present": MASKS})["logits"] for each in (pair, black))
        whole = forward(module, pair)["logits"]
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    torch.testing.assert_close(one[0], whole[0], rtol=0, atol=1e-6)
    assert not torch.allclose(one[1:], whole[1:], atol=1e-4)


def test_interleaving_is_concatenation_with_columns_permuted_with_placeholders_too() -> None:
    interleaved, concatenated = made("viri-fusion", **LEARNED), made("viri-fusion", fusion="concat", **LEARNED)
    state = interleaved.module.state_dict()
    columns = state["head.1.weight"].shape[1]
    order = torch.cat((torch.arange(0, columns, 2), torch.arange(1, columns, 2)))
    concatenated.module.load_state_dict({**state, "head.1.weight": state["head.1.weight"][:, order]})
    given = {"visible": torch.rand(3, 3, 32, 32), "infrared": torch.rand(3, 3, 32, 32), "present": MASKS}
    with torch.no_grad():
        outputs = [forward(network.module, given)["logits"] for network in (interleaved, concatenated)]
    torch.testing.assert_close(*outputs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", [LEARNED, {**LEARNED, "fusion": "concat"}, {**LEARNED, "gate": "none"}])
def test_placeholders_are_plain_operators_after_the_node(options: dict[str, str]) -> None:
    exported = export_onnx(made("viri-fusion", **options))
    # Checked there against float64 on masks of all three kinds.
    assert exported.max_error < 1e-4
    nodes = operator_counts(exported.model)
    assert nodes == ({} if options.get("gate") == "none" else {"GatedFusion": 1})


@pytest.mark.parametrize("name", NETWORKS)
def test_a_placeholder_needs_to_be_told_what_is_missing(name: str) -> None:
    with pytest.raises(UsageError, match="needs present=true") as caught:
        registry.create(name, {**SMALL, "placeholder": "learned"})
    assert "present=true" in caught.value.hint


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_with_cameras_left_out_learns_the_placeholder(name: str, tmp_path: Path) -> None:
    asked = TrainSpec(
        name,
        SyntheticPairs(48, 2),
        tmp_path / "a.pt",
        options={**SMALL, **LEARNED},
        epochs=1,
        batch=16,
        modality_dropout=0.3,
        arithmetic="fp32",
    )
    train(asked)
    state = torch.load(asked.output, weights_only=True)["state_dict"]
    learned = state["placeholder.vectors" if name == "viri-fusion" else "mask.constant"]
    assert bool((learned.flatten() != 0).all())


def test_ranges_are_taken_with_cameras_missing() -> None:
    inputs = made("viri-fusion", **LEARNED).inputs
    masks = [feed["present"][0].tolist() for feed in Feeds(SyntheticPairs(5, 2), inputs, missing=True)]
    assert masks == [[1, 1], [1, 0], [1, 1], [0, 1], [1, 1]]
    assert all(feed["present"].all() for feed in Feeds(SyntheticPairs(5, 2), inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_session_answers_with_one_camera_missing_in_int8(name: str, tmp_path: Path) -> None:
    network = made(name, **LEARNED)
    weights = save_checkpoint(tmp_path / "w.pt", network.module, metadata_of(network))
    result = build(
        BuildSpec(
            network=name,
            weights=weights,
            calibration="synthetic:24:3",
            evaluation="synthetic:24:4",
            precision="int8",
            allow_over_budget=True,
            flavour="none",
            output=tmp_path / "x.edgefer",
        )
    )
    assert result.bundle is not None
    pair = SyntheticPairs(1, 9)[0].images
    with Session(tmp_path / "x.edgefer", device="onnxruntime", cpu_form="deployed") as session:
        whole = session.infer_images(**pair)
        for missing in ("visible", "infrared"):
            given = {role: image for role, image in pair.items() if role != missing}
            answer = session.infer_images(**given)
            column = ("visible", "infrared").index(missing)
            present = torch.ones(1, 2)
            present[0, column] = 0
            tensors = next(iter(Feeds(SyntheticPairs(1, 9), network.inputs)))
            feeds = {key: torch.from_numpy(value) for key, value in tensors.items()} | {"present": present}
            with torch.no_grad():
                expected = forward(network.module, feeds)["logits"][0].numpy()
            # Eight bits a layer cost a hundredth or two of the logits; without its placeholder the answer would be off
            # by about what separates it from that of the pair.
            spread = float(np.abs(expected - whole.logits).max())
            assert float(np.abs(answer.logits - expected).max()) < 0.2 * spread
        with pytest.raises(InputError, match="all missing"):
            session.infer(visible=None, infrared=None)
