"""The form on trained networks: the gate's verdict on it, and how often it answers as the deployed graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("cv2")

from edgefer.bundle.manifest import BudgetSpec
from edgefer.progress import Silent
from edgefer.runtime.cpu_form.choose import LEFT_OUT_OF_FORMS
from edgefer.runtime.cpu_form.derive import derive
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer_export.checkpoint import load_weights
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.demo.recipe import CALIBRATION, EVALUATION, EXCLUDE
from edgefer_export.evaluate import Batched, Evaluation, evaluate
from edgefer_export.gate import judge
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.onnx_export import export_onnx
from edgefer_export.quantise import QuantiseSpec, quantise
from edgefer_export.runners import graph_function, logits_of, network_function
from edgefer_export.train import TrainSpec, train

OPTIONS = {"width": "0.25", "size": "64", "norm": "imagenet"}
AGREEMENT = 0.99

DECIDABLE = BudgetSpec(class_recall=3.0)
"""2,000 images are 400 of each class, which mostly leave 1.5 points of one class undecided, the default."""

# The demonstration's network as it is built, and one with attention in every block and nothing left in floating point.
CASES = {"viri-fusion": (EXCLUDE,), "cbam-early-fusion": ()}


@pytest.fixture(scope="module", params=CASES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedNetwork, str]:
    """A network of a quarter of the width, trained for some minutes on people that the evaluation does not show."""
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.pt"
    spec = TrainSpec(request.param, "synthetic:6000:1", path, options=OPTIONS, epochs=12)
    train(spec)
    return _loaded(request.param, path), request.param


def _loaded(name: str, path: Path) -> LoadedNetwork:
    network = registry.create(name, {**OPTIONS, "classes": "5"})
    load_weights(network.module, path)
    network.module.eval()
    return network


def _evaluation(network: LoadedNetwork, deployed: Any) -> Evaluation:
    """Logits of the network, of the deployed graph evaluated literally, and of the forms for a CPU, on 2,000 pairs."""
    forms = {
        variant: OnnxRuntimeRunner(
            derive(deployed.SerializeToString(), variant).onnx, threads=1, disabled=LEFT_OUT_OF_FORMS
        )
        for variant in ("fast", "reduced")
    }
    runners: dict[str, Any] = {
        "network": Batched(logits_of(network_function(network))),
        "deployed": logits_of(graph_function(deployed)),
        **{variant: logits_of(form.run) for variant, form in forms.items()},
    }
    data = open_dataset(EVALUATION, labels=network.labels)
    return evaluate(Feeds(data, network.inputs), runners, concurrency=2)


@pytest.mark.slow
def test_the_form_passes_the_gate_of_the_deployed_graph(trained: tuple[LoadedNetwork, str]) -> None:
    judge_forms(*trained)


def judge_forms(network: LoadedNetwork, name: str) -> None:
    calibration = Feeds(open_dataset(CALIBRATION, labels=network.labels), network.inputs)
    spec = QuantiseSpec(exclude=CASES[name])
    deployed = quantise(export_onnx(network).model, calibration, spec, Silent()).model
    found = _evaluation(network, deployed)
    logits = found.logits
    agreement = {
        form: float(np.mean(logits[form].argmax(1) == logits["deployed"].argmax(1))) for form in ("fast", "reduced")
    }
    for budget in (BudgetSpec(), DECIDABLE):
        verdicts = {
            form: judge(logits["network"], {"int8": logits[form]}, found.labels, network.labels, budget)
            for form in ("deployed", "fast", "reduced")
        }
        for form, verdict in verdicts.items():
            print(f"{name} {form}: {verdict.verdict}, agreement {agreement.get(form, 1.0):.4f}; {verdict.reason}")
        assert verdicts["fast"].verdict == verdicts["deployed"].verdict
    assert agreement["fast"] >= AGREEMENT
    if name == "viri-fusion":
        assert verdicts["fast"].verdict == "pass"
