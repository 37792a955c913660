"""The graphs of a build, one a step, and the forms of a network as functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from edgefer.errors import CalibrationError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export import runners, steps  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import random_inputs  # noqa: E402
from edgefer_export.runners import graph_function, logits_of, network_function, one_by_one  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402
from edgefer_export.steps import make_graphs, quantise_spec  # noqa: E402

DATA = {"calibration": "synthetic:4:1", "evaluation": "synthetic:4:2"}


def build(**fields: Any) -> BuildSpec:
    return BuildSpec(**{"network": "viri-fusion", "output": Path("x.edgefer"), **fields})


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = registry.create("viri-fusion", {"width": "0.125", "size": "32"})
    made.module.eval()
    return made


@pytest.fixture
def unsimplified(monkeypatch: pytest.MonkeyPatch) -> None:
    # The child has tests of its own, and takes a second each time.
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))


def feeds(network: LoadedNetwork, text: str = "synthetic:4:1") -> Feeds:
    return Feeds(open_dataset(text), network.inputs)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", ["exported", "simplified"]),
        ("fp16", ["exported", "simplified", "fp16"]),
        ("int8", ["exported", "simplified", "int8"]),
        ("int8+fp16", ["exported", "simplified", "int8", "fp16"]),
    ],
)
def test_the_precision_decides_the_steps(
    precision: Any, expected: list[str], network: LoadedNetwork, unsimplified: None
) -> None:
    told = Silent()
    made = make_graphs(network, feeds(network), build(**DATA, precision=precision), told)
    assert [step.name for step in made.steps] == expected
    assert made.final is made.steps[-1]
    assert list(made.timings) == expected
    assert told.notes[0] == "not simplified: a test"
    assert made.steps[1].notes == ("not simplified: a test",)
    operators = {node.op_type for node in made.final.model.graph.node}
    assert ("QuantizeLinear" in operators) == precision.startswith("int8")
    assert ("Cast" in operators) == precision.endswith("fp16")
    assert (made.quantised is not None) == precision.startswith("int8")
    assert made.final.bytes == len(made.final.model.SerializeToString())
    # Every step still answers like the network, more or less.
    tensors = random_inputs(network.inputs, seed=5)
    reference = logits_of(network_function(network))(tensors)
    for step in made.steps:
        assert np.abs(logits_of(graph_function(step.model))(tensors) - reference).max() < 0.05


def test_int8_without_data_is_refused(network: LoadedNetwork, unsimplified: None) -> None:
    with pytest.raises(CalibrationError, match="needs calibration data"):
        make_graphs(network, None, build(**DATA), Silent())


@pytest.mark.parametrize(("calibrated", "evaluated", "seen"), [(True, True, 4), (False, True, 3), (False, False, None)])
def test_the_export_is_checked_on_data_where_there_is_any(
    calibrated: bool, evaluated: bool, seen: int | None, network: LoadedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int | None] = []

    class Done(Exception):
        pass

    def export(network: LoadedNetwork, feeds: Iterator[Any] | None, batches: tuple[int, ...]) -> None:
        checked.append(None if feeds is None else len(list(feeds)))
        raise Done

    monkeypatch.setattr(LoadedNetwork, "export", export)
    calibration = feeds(network, "synthetic:6:1") if calibrated else None
    evaluation = feeds(network, "synthetic:3:2") if evaluated else None
    with pytest.raises(Done):
        make_graphs(network, calibration, build(precision="fp32"), Silent(), evaluation=evaluation)
    assert checked == [seen]


def test_the_quantisers_part_of_a_specification() -> None:
    plain = quantise_spec(build(**DATA, exclude=("head",)))
    assert (plain.method, plain.exclude) == ("max", ("head",))
    assert quantise_spec(build(**DATA, method="percentile")).percentile == 99.99
    assert quantise_spec(build(**DATA, method="percentile", percentile=99.0)).percentile == 99.0


def test_graphs_are_taken_literally_where_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    literal: list[str] = []
    run = runners.literal_graph

    def noted(model: Any, **options: Any) -> Any:
        literal.append(model.graph.node[0].op_type)
        return run(model, **options)

    monkeypatch.setattr(runners, "literal_graph", noted)
    for operator, attributes in (("Relu", {}), ("Cast", {"to": onnx.TensorProto.FLOAT})):
        node = onnx.helper.make_node(operator, ["x"], ["logits"], **attributes)
        values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in ("x", "logits")]
        graph = onnx.helper.make_graph([node], "one", values[:1], values[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
        answers = graph_function(model)({"x": np.array([[1.0, 2.0]], np.float32)})
        assert answers["logits"].tolist() == [[1.0, 2.0]]
    assert literal == ["Cast"]


def test_arrays_are_fed_in_pieces_of_the_batch(network: LoadedNetwork) -> None:
    shapes: list[tuple[int, ...]] = []

    def function(tensors: Any) -> dict[str, Any]:
        shapes.append(tensors["visible"].shape)
        return {"logits": tensors["visible"].mean(axis=(2, 3))}

    tensors = random_inputs(network.inputs, seed=1, batch=6)
    answers = one_by_one(function, tensors, network.inputs, 2)
    assert shapes == [(2, 3, 32, 32)] * 3
    assert np.allclose(answers["logits"], tensors["visible"].mean(axis=(2, 3)))
