"""Golden inputs and their answers, and the bundle that a build puts together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.bundle.manifest import BudgetSpec, GateSpec, ImageSpec, InputSpec  # noqa: E402
from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer_export import assemble as parts  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.golden import COUNT, TOLERANCES, Golden, answer, golden_inputs  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.runners import graph_function, network_function  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402
from edgefer_export.steps import Graphs, StepGraph  # noqa: E402

SPEC = BuildSpec(network="viri-fusion", output=Path("x.edgefer"), command=("edgefer", "build-engine", "viri-fusion"))
GATE = GateSpec(verdict="numeric", reason="A reason.", budget=BudgetSpec())


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = registry.create("viri-fusion", {"width": "0.125", "size": "32", "present": "true"})
    made.module.eval()
    return made


@pytest.fixture(scope="module")
def graphs(network: LoadedNetwork) -> Graphs:
    exported = export_onnx(network)
    return Graphs((StepGraph("exported", exported.model, 0.1, ("a note",)),), exported.outputs)


@pytest.fixture(scope="module")
def golden(network: LoadedNetwork, graphs: Graphs) -> Golden:
    functions = (network_function(network), graph_function(graphs.final.model))
    return answer(network, golden_inputs(network, None), functions, "fp32", synthetic=True)


@pytest.fixture(scope="module")
def bundle(network: LoadedNetwork, graphs: Graphs, golden: Golden) -> Bundle:
    return parts.assemble(
        network, graphs, SPEC, GATE, golden=golden, calibration=None, sources={"weights": "0" * 64}, members={}
    )


def one_input(spec: InputSpec) -> LoadedNetwork:
    return LoadedNetwork(torch.nn.Identity(), "own", {}, (spec,), ("no", "yes"), "other", "test")


def test_faces_are_drawn_for_cameras(network: LoadedNetwork) -> None:
    stored = golden_inputs(network, None)
    assert {name: (array.shape, array.dtype.name) for name, array in stored.items()} == {
        "visible": ((COUNT, 3, 32, 32), "uint8"),
        "infrared": ((COUNT, 3, 32, 32), "uint8"),
        "present": ((COUNT, 2), "float32"),
    }
    assert stored["present"].all()
    assert len(np.unique(stored["visible"].reshape(COUNT, -1), axis=0)) == COUNT
    assert all(np.array_equal(stored[name], again) for name, again in golden_inputs(network, None).items())


def test_other_inputs_get_noise() -> None:
    image = ImageSpec(colour="grey")
    depth = golden_inputs(one_input(InputSpec(name="depth", role="other", shape=(1, 1, 4, 4), image=image)), None)
    assert (depth["depth"].dtype, depth["depth"].shape) == (np.uint8, (COUNT, 1, 4, 4))
    vector = golden_inputs(one_input(InputSpec(name="v", role="other", shape=(1, 5))), None)["v"]
    assert (vector.dtype, vector.shape) == (np.float32, (COUNT, 5))
    values = vector.astype(np.float64)
    assert 0.0 <= values.min() < values.max() < 1.0


def test_batches_divide_the_count() -> None:
    spec = InputSpec(name="v", role="other", shape=(5, 2))
    assert len(golden_inputs(one_input(spec), None)["v"]) == 35


def test_few_samples_are_repeated(network: LoadedNetwork) -> None:
    stored = golden_inputs(network, open_dataset("synthetic:3:8"))["visible"]
    assert len(stored) == COUNT
    assert np.array_equal(stored[:3], stored[3:6])
    assert not np.array_equal(stored[0], stored[1])


def test_answers_are_those_of_both_forms(network: LoadedNetwork, golden: Golden) -> None:
    assert (golden.spec.count, golden.spec.tolerance, golden.spec.synthetic) == (COUNT, TOLERANCES["fp32"], True)
    assert set(golden.members) == {
        *golden.spec.inputs.values(),
        *golden.spec.reference.values(),
        *golden.spec.expected.values(),
    }
    expected = network_function(network)(golden.tensors)["logits"]
    first = {name: tensor[:1] for name, tensor in golden.tensors.items()}
    assert np.allclose(network_function(network)(first)["logits"], expected[:1], atol=1e-5)


def test_the_bundle_verifies(bundle: Bundle, tmp_path: Path) -> None:
    report = verify_bundle(bundle.write(tmp_path / "x.edgefer"))
    assert report.passed, report.checks
    assert "golden fused" in [check.name for check in report.checks]


def test_the_manifest_says_what_was_built(bundle: Bundle, network: LoadedNetwork) -> None:
    manifest = bundle.manifest
    assert manifest.network.parameters == network.parameters
    assert manifest.network.options["present"] == "true"
    assert (manifest.labels, manifest.precision) == (network.labels, "fp32")
    (graph,) = manifest.graphs
    assert (graph.member, graph.opset, graph.ir_version, graph.batches) == ("graphs/fused.onnx", 19, 9, (1,))
    assert [(plugin.name, plugin.count) for plugin in manifest.plugins] == [("GatedFusion", 1)]
    assert graph.operators == ("GatedFusion",)
    assert manifest.plugin_policy == "auto"
    assert manifest.provenance.command == SPEC.command
    assert manifest.provenance.sources == {"weights": "0" * 64}
    assert manifest.provenance.notes == ("a note",)
    assert {"edgefer", "python", "torch", "onnx", "numpy"} <= set(manifest.provenance.tools)


def test_the_report_is_added_and_nothing_else_changes(bundle: Bundle) -> None:
    told = parts.with_report(bundle, b"{}")
    assert told.member("report.json") == b"{}"
    assert set(told.members) == {*bundle.members, "report.json"}
    assert all(told.member(name) == bundle.member(name) for name in bundle.members)


def test_the_calibration_of_a_specification() -> None:
    network = registry.create("viri-visible", {"width": "0.125", "size": "32"})
    feeds = Feeds(open_dataset("synthetic:3:8"), network.inputs)
    data: dict[str, Any] = {"calibration": "synthetic:3:8", "evaluation": "synthetic:3:9"}
    spec = BuildSpec(network="viri-visible", output=Path("x.edgefer"), method="percentile", **data)
    found = parts.calibration_spec(spec, feeds)
    assert (found.count, found.method, found.percentile, found.digest) == (3, "percentile", 99.99, feeds.digest)


def test_tools_that_are_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "TOOLS", ("numpy", "a-tool-that-nobody-has"))
    assert set(parts.tool_versions()) == {"edgefer", "python", "numpy"}
