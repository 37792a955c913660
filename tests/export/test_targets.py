"""The targets of a build: what is noted, and what ends it before its long steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from edgefer.engine.check import check  # noqa: E402
from edgefer.engine.support.table import TARGETS  # noqa: E402
from edgefer.errors import CompileError, UsageError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps, targets  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402
from edgefer_export.steps import Graphs, StepGraph, make_graphs  # noqa: E402
from edgefer_export.targets import check_targets  # noqa: E402


@pytest.fixture
def graphs_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Graphs]:
    """`graphs_of(name, precision)`: the steps of a small network; simplifying, which is a child, is left out."""
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))

    def make(name: str, precision: Any) -> Graphs:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            network = registry.create(name, {"width": "0.125", "size": "32"})
        network.module.eval()
        feeds = Feeds(open_dataset("synthetic:4:1"), network.inputs)
        data = {"calibration": "synthetic:4:1", "evaluation": "synthetic:4:2"}
        spec = BuildSpec(network=name, output=Path("x.edgefer"), precision=precision, batches=(1, 4), **data)
        return make_graphs(network, feeds, spec, Silent())

    return make


@pytest.mark.parametrize("network", ["viri-fusion", "cbam-early-fusion"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8+fp16"])
def test_our_own_networks_are_taken_by_every_target(
    network: str, precision: str, graphs_of: Callable[..., Graphs]
) -> None:
    data = graphs_of(network, precision).final.model.SerializeToString()
    for target in TARGETS:
        found = check(data, target, ask=None)
        assert found.verdict == "accepted", (target, found.problems)


def graphs_with(operator: str, domain: str = "") -> Graphs:
    node = onnx.helper.make_node(operator, ["x"], ["y"], name="odd", domain=domain)
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "g", tensors[:1], tensors[1:])
    opsets = [onnx.helper.make_opsetid("", 19), onnx.helper.make_opsetid("my", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return Graphs((StepGraph("exported", model, 0.0, ("a note of its own",)),), ())


def test_a_refused_graph_ends_the_build_with_node_and_target_named() -> None:
    with pytest.raises(CompileError, match=r"TensorRT 10\.3 .*odd \(Det\): Det is not supported") as caught:
        check_targets(graphs_with("Det"), ("tensorrt-10.3",), Silent())
    assert "operators.md" in caught.value.details
    assert "edgefer check" in caught.value.hint


def test_what_is_found_is_noted_at_the_last_graph() -> None:
    told = Silent()
    checked = check_targets(graphs_with("Relu"), ("tensorrt-10.3", "tensorrt-11"), told)
    assert checked.final.notes[0] == "a note of its own"
    assert [note.split(":")[0] for note in told.notes] == ["tensorrt-10.3", "tensorrt-11"]
    assert checked.final.notes[1:] == tuple(told.notes)
    open_ = Silent()
    check_targets(graphs_with("EfficientNMS_TRT", "my"), ("tensorrt-10.3",), open_)
    assert "is not known: odd (EfficientNMS_TRT)" in open_.notes[0]


def test_without_targets_nothing_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "check", None)
    given = graphs_with("Det")
    assert check_targets(given, (), Silent()) is given


def test_targets_are_fields_of_the_specification() -> None:
    fields = {"network": "viri-fusion", "output": "x.edgefer"}
    assert BuildSpec.from_fields({**fields, "target": "rtx"}).targets == ("rtx",)
    assert BuildSpec.from_fields({**fields, "target": ["rtx", "tensorrt-11", "rtx"]}).targets == ("rtx", "tensorrt-11")
    with pytest.raises(UsageError, match=r"tensorrt-10\.4"):
        BuildSpec.from_fields({**fields, "target": ["tensorrt-10.4"]})


def test_a_build_asks_before_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A refusal leaves neither bundle nor report, and no image is evaluated."""

    def judged(*given: Any, **options: Any) -> None:
        raise AssertionError("the gate was reached")

    monkeypatch.setattr(building, "make_graphs", lambda *given, **options: graphs_with("Det"))
    monkeypatch.setattr(building, "_judge", judged)
    spec = BuildSpec(
        network="viri-fusion",
        options={"width": "0.125", "size": "32"},
        output=tmp_path / "x.edgefer",
        targets=("tensorrt-10.3",),
        flavour="none",
    )
    with pytest.raises(CompileError, match="odd"):
        building.build(spec, Silent())
    assert list(tmp_path.iterdir()) == []
