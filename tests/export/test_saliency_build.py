"""Two graphs in one bundle, from weights to answers on the command line, at a reduced size."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

from edgefer import Bundle, SaliencySession  # noqa: E402
from edgefer.bundle.arrays import encode_array  # noqa: E402
from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer.cli import evaluate  # noqa: E402
from edgefer.cli.main import main  # noqa: E402
from edgefer.errors import BundleError, CheckpointError, InputError, UsageError  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.checkpoint import metadata_of, save_checkpoint  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.saliency_maps import WithSaliency, load_saliency_network, map_maker, with_saliency  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

CALIBRATION, EVALUATION = "synthetic:12:1", "synthetic:20:2"
CLASSIFIER = {"width": "0.05", "size": "64", "labels": "viri", "weight": "0.5"}
MAKER = {"width": "0.0625", "height": "64", "width_px": "64"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of both networks as they are made."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name, options in (("saliency-alexnet", CLASSIFIER), ("ml-net", MAKER)):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = registry.create(name, options)
        paths[name] = save_checkpoint(folder / f"{name}.pt", network.module, metadata_of(network))
    return paths


def spec(paths: dict[str, Path], output: Path, **changes: Any) -> BuildSpec:
    base = BuildSpec(
        network="saliency-alexnet",
        output=output,
        weights=paths["saliency-alexnet"],
        saliency=paths["ml-net"],
        saliency_every=4,
        calibration=CALIBRATION,
        evaluation=EVALUATION,
        flavour="none",
        # Fresh weights recognise nothing, which fails a build; what it makes is the same.
        allow_over_budget=True,
    )
    return replace(base, **changes)


@pytest.fixture(scope="module")
def int8(weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Any]:
    result = build(spec(weights, tmp_path_factory.mktemp("int8") / "two.edgefer"))
    assert result.bundle is not None
    return Bundle.read(result.bundle), result


def test_both_graphs_are_quantised_and_described(int8: tuple[Bundle, Any]) -> None:
    bundle, result = int8
    classifier, maker = bundle.manifest.graphs
    assert (classifier.role, classifier.rate, maker.role, maker.rate) == ("visible", 1.0, "saliency", 0.25)
    for graph in (classifier, maker):
        model = onnx.load_model_from_string(bundle.onnx(graph))
        assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    said = bundle.manifest.saliency
    assert said is not None
    assert (said.input, said.weight) == ("saliency", 0.5)
    assert said.network is not None
    assert (said.network.name, said.network.options) == ("ml-net", MAKER)
    assert "saliency graph weights" in bundle.manifest.provenance.sources
    steps = [step.step for step in bundle.manifest.gate.steps]
    assert steps[-1] == "int8"
    assert [step for step in steps if step.startswith("saliency graph")] == [
        f"saliency graph, {name}" for name in ("fp32 network", "exported", "simplified", "int8")
    ]
    assert bundle.manifest.gate.data_count == 20
    assert "The saliency graph: " in result.reason
    assert result.report.sizes["saliency graph"] == bundle.manifest.members[maker.member].size


def test_golden_inputs_are_of_both_graphs(int8: tuple[Bundle, Any]) -> None:
    bundle, _ = int8
    golden = bundle.manifest.golden
    assert golden is not None
    assert golden.inputs.keys() == {"visible", "saliency", "image"}
    assert golden.expected.keys() == golden.reference.keys() == {"logits", "saliency"}
    assert golden.tolerances.keys() == {"saliency"}
    assert bundle.path is not None
    report = verify_bundle(bundle.path, "onnxruntime", threads=1)
    assert report.passed, report
    assert {"golden visible", "golden saliency"} <= {check.name for check in report.checks}


def test_the_classifier_meets_the_maps_that_a_session_makes(int8: tuple[Bundle, Any]) -> None:
    bundle, _ = int8
    golden = bundle.manifest.golden
    assert golden is not None
    # The maps of the golden inputs, as 8-bit codes, are those that the deployed graph gives for the same faces.
    faces = open_dataset(f"synthetic:{golden.count}:20251")
    stored = bundle.array(golden.inputs["saliency"])
    with SaliencySession(bundle, device="onnxruntime", threads=1, every=1, cpu_form="deployed") as following:
        for index in range(golden.count):
            used = following.infer_images(visible=faces[index].images["visible"]).outputs["saliency"]
            # Half a code, and what the other order of an INT8 graph's sums may move where optimisations are on.
            assert np.abs(stored[index, 0] / 255 - used).mean() < 0.01


def test_the_verdict_counts_what_quantising_both_graphs_costs(
    int8: tuple[Bundle, Any], weights: dict[str, Path]
) -> None:
    bundle, result = int8
    by_name = {step.step: step for step in bundle.manifest.gate.steps}
    # The exact steps got the maps of the network in FP32, so that they differ from it by rounding alone.
    assert by_name["simplified"].max_error < 1e-4
    assert by_name["int8"].max_error > 1e-4
    assert by_name["saliency graph, simplified"].max_error < 1e-4
    shown = [step.figure.step for step in result.report.steps]
    assert shown == ["fp32 network", "exported", "simplified", "deployed maps", "int8"]
    # The graph of the step before with other maps: what quantising the saliency graph alone costs.
    assert 1e-6 < by_name["deployed maps"].max_error < by_name["int8"].max_error


@pytest.fixture(scope="module")
def fp32(weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle of the command line without data, and what it said on standard error."""
    path = tmp_path_factory.mktemp("fp32") / "two.edgefer"
    words = ["build-engine", "saliency-alexnet", "--weights", str(weights["saliency-alexnet"]), "--flavour", "none"]
    words += ["--saliency", str(weights["ml-net"]), "--saliency-option", "height=160", "width_px=96"]
    words += ["--saliency-every", "5", "--batch", "1", "2", "-o", str(path)]
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        assert main(words) == 0
    return path, " ".join(told.getvalue().split())


def test_without_data_the_maps_are_of_synthetic_faces(fp32: tuple[Path, str]) -> None:
    bundle = Bundle.read(fp32[0])
    assert bundle.manifest.gate.verdict == "numeric"
    assert all("QuantizeLinear" not in bundle.onnx(graph).decode("latin-1") for graph in bundle.manifest.graphs)
    golden = bundle.manifest.golden
    assert golden is not None
    assert bundle.array(golden.expected["saliency"]).max() == pytest.approx(1, abs=1e-6)


def test_the_size_and_the_rate_of_the_saliency_graph_can_be_chosen(fp32: tuple[Path, str]) -> None:
    classifier, maker = Bundle.read(fp32[0]).manifest.graphs
    assert maker.inputs[0].shape == (1, 3, 160, 96)
    assert maker.outputs[0].shape == (1, 1, 20, 12)
    assert maker.rate == pytest.approx(0.2)
    assert (classifier.batches, maker.batches) == ((1, 2), (1,))
    assert "saliency graph: the prior was learned on a grid of 1x1 and is resized to 2x1" in fp32[1]


OWN = """
import torch

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 4)

    def forward(self, visible, where):
        return self.fc((visible * where).mean((2, 3)))

def network(weight="heavy"):
    return Own()
"""


@pytest.mark.slow
def test_a_network_of_the_users_own_takes_maps(weights: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    output = tmp_path / "own.edgefer"
    fields = {"network": f"{tmp_path}/own.py:network", "output": str(output), "saliency": str(weights["ml-net"])}
    fields |= {"input": ["visible=3x32x32", "where=1x32x32:saliency"], "option": ["weight=heavy"]}
    build(BuildSpec.from_fields({**fields, "flavour": "none", "exporter": "torchscript"}))
    bundle = Bundle.read(output)
    assert bundle.manifest.saliency is not None
    assert (bundle.manifest.saliency.input, bundle.manifest.saliency.weight) == ("where", 1.0)
    face = open_dataset("synthetic:1:5")[0].images["visible"]
    with SaliencySession(bundle, threads=1) as following:
        answer = following.infer_images(visible=face)
    assert answer.labels == ("class_0", "class_1", "class_2", "class_3")
    assert answer.outputs["saliency"].shape == (32, 32)


OWN_OUTPUTS = """
import torch

class Own(torch.nn.Module):
    def __init__(self, *names):
        super().__init__()
        self.fc, self.names = torch.nn.Linear(3, 5), names

    def forward(self, visible, where):
        mean = (visible * where).mean((2, 3))
        found = {"logits": self.fc(mean), "embedding": mean, "features": self.fc(mean), "saliency": where * 0.5}
        return {name: found[name] for name in self.names}

def located():
    return Own("logits", "embedding")

def raw():
    return Own("features")

def named_alike():
    return Own("logits", "saliency")
"""


def own(factory: str, folder: Path, weights: dict[str, Path], **fields: Any) -> Bundle:
    (folder / "own.py").write_text(OWN_OUTPUTS)
    output = folder / "own.edgefer"
    known = {"network": f"{folder}/own.py:{factory}", "output": str(output), "saliency": str(weights["ml-net"])}
    known |= {"flavour": "none", "exporter": "torchscript"}
    build(BuildSpec.from_fields({**known, "input": ["visible=3x32x32", "where=1x32x32:saliency"], **fields}))
    return Bundle.read(output)


def test_an_output_called_as_the_map_is_refused_and_not_broken_on(weights: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named_alike has an output `saliency`, as the saliency network has"):
        own("named_alike", tmp_path, weights)


def test_class_means_of_data_that_was_named_are_of_samples_with_maps(weights: dict[str, Path], tmp_path: Path) -> None:
    labels = open_dataset("synthetic:1:1").labels
    bundle = own("located", tmp_path, weights, embedding="synthetic:30:4", labels=list(labels))
    means = bundle.manifest.embedding
    assert means is not None
    assert (means.count, len(means.spread)) == (30, 5)


def test_without_logits_the_verdict_is_on_both_graphs(weights: dict[str, Path], tmp_path: Path) -> None:
    bundle = own("raw", tmp_path, weights, calibration="synthetic:6:1", evaluation="synthetic:6:2")
    gate = bundle.manifest.gate
    assert gate.verdict == "numeric"
    assert "The saliency graph: " in gate.reason
    errors = {step.step: step.max_error for step in gate.steps if not step.step.startswith("saliency graph")}
    assert list(errors)[-2:] == ["deployed maps", "int8"]
    # The exact steps met the maps of the network in FP32, as the network itself did.
    assert errors["simplified"] < 1e-5 < errors["deployed maps"]


def test_each_output_has_its_own_tolerance(fp32: tuple[Path, str], tmp_path: Path) -> None:
    bundle = Bundle.read(fp32[0])
    manifest, golden = bundle.manifest, bundle.manifest.golden
    assert golden is not None
    held = {name: bundle.member(name) for name in bundle.members}
    off = bundle.array(golden.expected["saliency"]) + np.float32(0.05)
    members = {**held, golden.expected["saliency"]: encode_array(off)}
    passed = {}
    for allowed in (0.04, 0.06):
        changed = msgspec.structs.replace(golden, tolerance=1.0, tolerances={"saliency": allowed})
        path = Bundle.from_members(msgspec.structs.replace(manifest, golden=changed), members).write(tmp_path / "x")
        checks = {check.name: check.passed for check in verify_bundle(path, "onnxruntime", threads=1).checks}
        passed[allowed] = (checks["golden visible"], checks["golden saliency"])
    assert passed == {0.04: (True, False), 0.06: (True, True)}
    for tolerances in ({"logits": -1.0}, {"nothing": 1.0}):
        changed = msgspec.structs.replace(golden, tolerances=tolerances)
        with pytest.raises(BundleError) as caught:
            Bundle.from_members(msgspec.structs.replace(manifest, golden=changed), held)
        assert "the golden tolerance of" in caught.value.details


def test_the_verbs_answer_with_both_graphs(
    fp32: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, picture = str(fp32[0]), str(tmp_path / "face.png")
    face = open_dataset("synthetic:1:5")[0].images["visible"]
    cv2.imwrite(picture, face)
    assert main(["infer", bundle, "--visible", picture, "--quiet", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    with SaliencySession(bundle) as following:
        expected = following.infer_images(visible=face)
    np.testing.assert_allclose(answer["logits"], expected.logits, rtol=1e-6)
    assert main(["evaluate", bundle, "--data", "synthetic:6:9", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 6
    assert main(["inspect", bundle]) == 0
    assert "go to 'saliency' with weight 0.5, one run in 5 frames" in capsys.readouterr().out
    assert main(["infer", bundle, "--infrared", picture, "--quiet"]) == 1
    assert "takes one visible image" in capsys.readouterr().err


def test_evaluate_reads_each_sample_once_and_keeps_no_map(fp32: tuple[Path, str]) -> None:
    with contextlib.ExitStack() as stack:
        dataset = evaluate._with_maps(open_dataset("synthetic:2:3"), Bundle.read(fp32[0]), {"threads": 1}, stack)
        assert isinstance(dataset, WithSaliency)
        assert dataset[1].images["saliency"].max() > 0
        assert not dataset._maps


def test_what_cannot_be_built_is_refused_early(weights: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "x.edgefer"
    plain = spec(weights, output, weights=None, options={**CLASSIFIER, "saliency": "false"})
    with pytest.raises(UsageError, match="takes no saliency map") as caught:
        build(plain)
    assert "saliency=true" in caught.value.hint
    with pytest.raises(CheckpointError, match="weights of saliency-alexnet; saliency maps are made by ml-net"):
        build(spec(weights, output, saliency=weights["saliency-alexnet"]))
    with pytest.raises(InputError, match="takes saliency images") as maps:
        build(spec(weights, output, saliency=None, saliency_every=10))
    assert "--saliency" in maps.value.hint
    with pytest.raises(UsageError, match="no option 'depth'"):
        build(spec(weights, output, saliency_options={"depth": "3"}))
    with pytest.raises(UsageError, match=r"nope\.pt is not a file"):
        build(spec(weights, output, saliency=tmp_path / "nope.pt"))
    assert not output.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"saliency-every": "0", "saliency": "x.pt"}, "whole number from 1"),
        ({"saliency-every": "1000000001", "saliency": "x.pt"}, "from 1 to 1,000,000,000"),
        ({"saliency-every": "3"}, "none is asked for"),
        ({"saliency-option": ["height=64"]}, "none is asked for"),
        ({"network": "BUNDLE", "saliency": "x.pt"}, "--saliency cannot apply"),
    ],
)
def test_flags_that_cannot_stand_together_are_refused(
    fields: dict[str, Any], message: str, fp32: tuple[Path, str]
) -> None:
    if fields.get("network") == "BUNDLE":
        fields = {**fields, "network": str(fp32[0])}
    with pytest.raises(UsageError, match=message):
        BuildSpec.from_fields({"network": "saliency-alexnet", "output": "x.edgefer", **fields})


def test_maps_for_a_data_set_are_computed_once(weights: dict[str, Path]) -> None:
    dataset = with_saliency(open_dataset("synthetic:2:3"), weights["ml-net"])
    first = dataset[1].images["saliency"]
    assert (first.dtype, first.shape) == (np.uint16, (112, 112))
    assert np.array_equal(dataset[1].images["saliency"], first)
    network, _ = load_saliency_network(weights["ml-net"])
    assert not network.module.training
    image = dataset[1].images["visible"]
    frame = (0, 0, 112, 112)
    assert np.array_equal(map_maker(network)(image).on(frame, frame), first)
