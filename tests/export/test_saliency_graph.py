"""What holds between the two graphs of a build, without building them: counts, names, verdicts, maps that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from edgefer.bundle.manifest import BudgetSpec, ImageSpec, InputSpec, OutputSpec
from edgefer.errors import UsageError
from edgefer.progress import Silent
from edgefer.runtime.saliency_map import Line, SaliencyMap
from edgefer_export import build, saliency_graph
from edgefer_export.checkpoint import metadata_of, save_checkpoint
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.gate import GateResult
from edgefer_export.golden import COUNT, golden_count, golden_inputs
from edgefer_export.networks import registry
from edgefer_export.saliency_graph import SaliencyGraph
from edgefer_export.saliency_maps import WithSaliency
from edgefer_export.spec import BuildSpec
from edgefer_export.steps import Graphs

SIDE = 16
FACE = InputSpec(name="visible", role="visible", shape=(1, 3, SIDE, SIDE), image=ImageSpec(colour="rgb"))
MAP = InputSpec(name="where", role="saliency", shape=(1, 1, SIDE, SIDE), image=ImageSpec(colour="grey"))
IMAGE = InputSpec(name="image", role="visible", shape=(1, 3, SIDE, SIDE), image=ImageSpec(colour="bgr"))


def network(inputs: tuple[InputSpec, ...] = (FACE, MAP), **fields: Any) -> Any:
    """What the golden inputs need to know of a network."""
    known = {"name": "own.py:own", "answer_elements": 5, "fixed_shapes": True, "reference_name": "fp32 network"}
    return SimpleNamespace(inputs=inputs, **{**known, **fields})


def maker(value: float) -> Any:
    """Makes maps of one value, counting them in `made`."""

    def make(image: Any) -> SaliencyMap:
        make.made += 1
        line = Line(1 / image.shape[0], 0.0)
        return SaliencyMap(np.full((1, 1), value, np.float32), (0, 0, image.shape[1], image.shape[0]), line, line)

    make.made = 0
    return make


def verdict(kind: Any, reason: str = "A reason.") -> GateResult:
    return GateResult(kind, reason, BudgetSpec(), (), (), {}, "int8" if kind == "fail" else None, None)


def graph(**fields: Any) -> SaliencyGraph:
    known: dict[str, Any] = dict.fromkeys(("network", "checkpoint", "golden", "golden_data", "evaluation"))
    outputs = (OutputSpec(name="saliency", role="other", shape=(1, 1, 2, 2)),)
    known |= {"graphs": Graphs((), outputs), "gate": verdict("numeric"), "reference": maker(1.0)}
    return SaliencyGraph(**{**known, "deployed": maker(0.5), **fields})


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        (network(), COUNT),
        (network(answer_elements=100_000), 10),
        (network(fixed_shapes=False), 1),
        (network(answer_elements=10**9), 1),
    ],
)
def test_both_graphs_get_as_many_golden_inputs(classifier: Any, expected: int) -> None:
    own = network((IMAGE,), answer_elements=0)
    count = saliency_graph._golden_count(own, classifier)
    assert count == expected
    data = open_dataset(f"synthetic:{count}:1")
    assert len(golden_inputs(own, data, most=count)["image"]) == count
    taken = golden_inputs(classifier, WithSaliency(data, maker(1.0)), most=count)
    assert {name: len(array) for name, array in taken.items()} == {"visible": count, "where": count}


def test_a_batch_that_is_fixed_is_filled_for_both() -> None:
    classifier = network(answer_elements=100_000)
    classifier.inputs = (SimpleNamespace(shape=(4, 3, SIDE, SIDE)), SimpleNamespace(shape=(4, 1, SIDE, SIDE)))
    count = saliency_graph._golden_count(network((IMAGE,), answer_elements=0), classifier)
    assert count == 12
    assert golden_count(classifier, most=count) == count


def test_an_output_that_is_called_as_the_map_is_refused() -> None:
    logits = OutputSpec(name="logits", role="logits", shape=(1, 5))
    graph().check_outputs(network(), (logits,))
    with pytest.raises(UsageError, match=r"own\.py:own has an output `saliency`, as the saliency network has"):
        graph().check_outputs(network(), (logits, OutputSpec(name="saliency", role="other", shape=(1, 1, 4, 4))))


def raw(said: SaliencyGraph, steps: tuple[str, ...]) -> Any:
    def brightest(tensors: Mapping[str, Any]) -> dict[str, Any]:
        return {"features": tensors["where"].mean(axis=(2, 3))}

    data = open_dataset("synthetic:3:1")
    said = replace(said, evaluation=data)
    unseen = Feeds(WithSaliency(data, said.deployed), (FACE, MAP))
    spec = BuildSpec(network="saliency-alexnet", output=Path("x.edgefer"))
    forms = dict.fromkeys(("fp32 network", *steps), brightest)
    golden: Any = SimpleNamespace(spec=SimpleNamespace(count=1))
    return build._judge_raw(network(), forms, unseen, golden, spec, reporter=Silent(), saliency=said)


def test_a_network_without_logits_is_judged_with_the_saliency_graph() -> None:
    said = graph(gate=verdict("fail", "It is broken."))
    judged = raw(said, ("exported", "simplified", "int8"))
    assert (judged.gate.verdict, judged.gate.blamed_step) == ("fail", "saliency graph, int8")
    assert "It is broken." in judged.gate.reason
    assert judged.saliency is not None
    passed = raw(graph(), ("exported", "simplified", "int8"))
    assert (passed.gate.verdict, "The saliency graph: A reason." in passed.gate.reason) == ("numeric", True)


def test_without_logits_the_exact_steps_get_the_maps_of_the_network_too() -> None:
    judged = raw(graph(), ("exported", "simplified", "int8"))
    errors = {figure.step: figure.max_error for figure in judged.gate.steps}
    assert list(errors) == ["fp32 network", "exported", "simplified", "deployed maps", "int8"]
    assert errors["simplified"] == 0
    # Maps of 1 against maps of 1/2, in 16 bits.
    assert errors["deployed maps"] == errors["int8"] == pytest.approx(0.5, abs=1e-4)
    same = maker(0.5)
    alike = raw(graph(reference=same, deployed=same), ("exported", "simplified"))
    assert [figure.max_error for figure in alike.gate.steps] == [0, 0, 0]


def test_maps_are_kept_within_a_budget() -> None:
    for room, expected in ((8, 2 + 2), (0, 3 * 2), (1 << 20, 3)):
        make = maker(1.0)
        dataset = WithSaliency(open_dataset("synthetic:3:1"), make, room=room)
        for _ in range(2):
            for index in range(3):
                assert dataset[index].images["saliency"].min() == 65535
        assert make.made == expected


def test_the_saliency_network_is_never_searched_for_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        pass

    def steps(network: Any, calibration: Any, spec: BuildSpec, *given: Any, **how: Any) -> Any:
        raise Seen(spec.fuse_attention)

    (tmp_path / "own.py").write_text("")
    own = registry.create("ml-net", {"width": "0.0625", "height": "64", "width_px": "64"})
    weights = save_checkpoint(tmp_path / "ml-net.pt", own.module, metadata_of(own))
    resolved: Any = SimpleNamespace(network=network(), calibration=None, evaluation=None)
    monkeypatch.setattr(saliency_graph, "make_graphs", steps)
    for name, expected in (("saliency-alexnet", "auto"), (f"{tmp_path}/own.py:own", "off")):
        fields: dict[str, Any] = {"inputs": {"visible": (3, SIDE, SIDE)}} if "own" in name else {}
        spec = BuildSpec(network=name, output=tmp_path / "x.edgefer", saliency=weights, **fields)
        with pytest.raises(Seen, match=expected):
            saliency_graph.make_saliency_graph(spec, weights, resolved, Silent())
