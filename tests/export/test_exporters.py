"""Both of torch's exporters: each rescues what the other cannot do, and the smaller proven graph is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402

from edgefer.errors import ExportError  # noqa: E402
from edgefer_export import onnx_export  # noqa: E402
from edgefer_export.checks import literal_graph  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import GatedPool  # noqa: E402
from edgefer_export.networks.forward import forward  # noqa: E402
from edgefer_export.networks.registry import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx, random_inputs  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402

BOTH = pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])


class Module(nn.Module):
    """A convolution with batch norm, then `rest`, which makes (N, 4)."""

    def __init__(self, rest: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.rest = rest

    def forward(self, visible: torch.Tensor) -> Any:
        return self.rest(self.body(visible))


def network(module: nn.Module, exporter: Any = "auto", labels: int = 4, side: int = 16) -> LoadedNetwork:
    names = tuple(f"class_{index}" for index in range(labels))
    specs = registry.input_specs({"visible": (3, side, side)})
    logits = "logits" if labels else None
    return LoadedNetwork(module, "own.py:make", {}, specs, names, "visible", "test", exporter, logits=logits)


def branching(x: torch.Tensor) -> torch.Tensor:
    means = x.mean((2, 3))
    return means if bool(means.max() < 1e6) else -means


def spectrum(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.fft(x.mean(2)).real.mean(2)


def shuffled(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    left, right = x.chunk(2, 1)
    mixed = torch.cat((left, right.relu()), 1).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
    return mixed.mean((2, 3))


def attending(x: torch.Tensor) -> torch.Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    queries, keys, values = torch.stack((tokens, 2 * tokens, tokens.relu()))[:, :, None].unbind(0)
    return nn.functional.scaled_dot_product_attention(queries, keys, values).mean((1, 2))


def test_the_newer_exporter_rescues_an_operator_that_the_older_lacks() -> None:
    exported = export_onnx(network(Module(spectrum)))
    assert exported.notes[0].startswith("exported by dynamo alone; torchscript: UnsupportedOperatorError")
    assert "aten::fft_fft" in exported.notes[0]
    assert exported.max_error < 1e-5


def test_the_older_exporter_rescues_a_branch_in_python() -> None:
    exported = export_onnx(network(Module(branching)))
    first, second = exported.notes
    assert first.startswith("exported by torchscript alone; dynamo: GuardOnDataDependentSymNode")
    assert "test_exporters.py" in first
    assert "keeps what Python did" in second


def test_a_graph_that_computes_something_else_is_passed_over() -> None:
    # The tracer keeps the number of one input; the newer exporter keeps where it came from.
    exported = export_onnx(network(Module(lambda x: x.mean((2, 3)) + 10 * float(x.mean().item()))))
    assert exported.notes[0].startswith("exported by dynamo alone; torchscript: output logits of the exported graph")
    assert len(exported.notes) == 1


def test_fewer_nodes_win_and_at_the_same_number_the_older_exporter() -> None:
    (note,) = export_onnx(network(Module(shuffled))).notes
    assert note == "exported by dynamo: 8 nodes when simplified; torchscript 9"
    (note,) = export_onnx(network(Module(lambda x: x.mean((2, 3))))).notes
    assert note == "exported by torchscript: 2 nodes when simplified; dynamo 2"


@pytest.mark.parametrize("rest", [spectrum, shuffled, attending])
def test_the_newer_exporters_graph_is_in_the_projects_form(rest: Any, capfd: pytest.CaptureFixture[str]) -> None:
    exported = export_onnx(network(Module(rest), "dynamo"))
    model = exported.model
    assert model.ir_version == 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 19)]
    assert not model.functions
    assert not model.metadata_props
    assert not any(entry.metadata_props or entry.doc_string for entry in (*model.graph.node, *model.graph.initializer))
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert str(onnx_export.__file__).rpartition("/")[0] not in str(model)
    assert model.graph.node[0].name == "/body/body.0/Conv"
    assert {tensor.name for tensor in model.graph.initializer} >= {"body.0.weight"}
    assert exported.notes == ()
    assert capfd.readouterr() == ("", "")


@BOTH
def test_several_batches_leave_the_batch_free(exporter: str) -> None:
    own = network(Module(shuffled), exporter)
    exported = export_onnx(own, batches=(1, 3))
    assert exported.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    feeds = random_inputs(own.inputs, 5, 2)
    with torch.no_grad():
        expected = forward(own.module.eval(), {"visible": torch.from_numpy(feeds["visible"])})["logits"].numpy()
    np.testing.assert_allclose(literal_graph(exported.model).run(feeds)["logits"], expected, atol=1e-5)


def test_branches_of_the_graph_read_the_renamed_weights() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 4)

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            means = visible.mean((2, 3))
            return torch.cond(means.max() > 0.5, lambda m: self.head(m), lambda m: -self.head(m), (means,))

    exported = export_onnx(network(Conditional()))
    assert "If" in {node.op_type for node in exported.model.graph.node}
    assert exported.notes[0].startswith("exported by dynamo alone; torchscript: ")


def test_networks_with_attention_operators_keep_them() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = GatedPool(3, square=False)

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            return self.pool(visible)

    exported = export_onnx(network(Pooled(), labels=3))
    assert operator_counts(exported.model) == {"GatedPool": 1}
    assert exported.notes == ()
    with pytest.raises(ExportError, match="dynamo exporter has no form for the operators of domain edgefer"):
        export_onnx(network(Pooled(), "dynamo", labels=3))


def test_an_operator_that_neither_exporter_has_is_named_with_both_reasons(capfd: pytest.CaptureFixture[str]) -> None:
    class Eigen(nn.Module):
        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(visible[:, :, :3, :3].sum(1)).real

    with pytest.raises(ExportError, match=r"neither of torch's exporters gives the ONNX of own\.py:make") as caught:
        export_onnx(network(Eigen(), labels=3))
    assert "torchscript exporter: it has no ONNX for aten::linalg_eigvals" in caught.value.details
    assert "dynamo exporter: it has no ONNX for aten::linalg_eig" in caught.value.details
    assert capfd.readouterr() == ("", "")


@BOTH
def test_a_network_that_changes_its_own_buffers_exports(exporter: str) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("offset", torch.tensor([0.1, 0.2, 0.3]))

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return visible.mean((2, 3)) + self.offset

    module = Counting()
    assert export_onnx(network(module, exporter, labels=3)).max_error < 1e-5
    assert module.calls.item() == 0


@BOTH
def test_outputs_that_repeat_each_other_or_an_input_export(exporter: str) -> None:
    class Repeating(nn.Module):
        def forward(self, visible: torch.Tensor) -> dict[str, torch.Tensor]:
            means = visible.mean((2, 3))
            return {"logits": means, "same": means, "seen": visible}

    exported = export_onnx(network(Repeating(), exporter, labels=3))
    assert [spec.shape for spec in exported.outputs] == [(1, 3), (1, 3), (1, 3, 16, 16)]


def test_weights_that_are_not_finite_are_named() -> None:
    module = Module(lambda x: x.mean((2, 3)))
    module.body[0].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ExportError, match=r"own\.py:make holds NaN or infinity in body\.0\.weight"):
        export_onnx(network(module))


@BOTH
def test_an_infinite_mask_in_a_buffer_is_no_mistake(exporter: str) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.tensor([0.0, float("-inf"), 0.0]))

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            return (visible.mean((2, 3)) + self.mask).softmax(1)

    assert export_onnx(network(Masked(), exporter, labels=3)).max_error < 1e-5


def test_weights_that_no_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "LARGEST_BYTES", 100)
    with pytest.raises(ExportError, match="GiB of weights, expected at most"):
        export_onnx(network(Module(branching)))


def test_a_number_of_outputs_that_changes_is_said() -> None:
    class Alternating(nn.Module):
        calls = 0

        def forward(self, visible: torch.Tensor) -> dict[str, torch.Tensor]:
            self.calls += 1
            logits = {"logits": visible.mean((2, 3))}
            return logits if self.calls % 2 else {**logits, "extra": visible}

    with pytest.raises(ExportError, match="the outputs logits for one input and logits, extra for another"):
        export_onnx(network(Alternating(), labels=3))


def test_a_shape_that_follows_the_data_is_said() -> None:
    class Chosen(nn.Module):
        def forward(self, visible: torch.Tensor) -> dict[str, torch.Tensor]:
            pixels = visible[:, 0].flatten()
            return {"logits": visible.mean((2, 3)), "bright": pixels[pixels > 0.5][None]}

    with pytest.raises(ExportError, match=r"output bright of the network has the shape \(N, \d+\) for one input and"):
        export_onnx(network(Chosen(), labels=3))


@BOTH
def test_a_detector_without_logits_exports(exporter: str) -> None:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(3, 8, 3, stride=2)
            self.boxes, self.scores = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 2, 1)

        def forward(self, visible: torch.Tensor) -> dict[str, torch.Tensor]:
            x = self.features(visible).relu()
            heads = {"boxes": self.boxes(x), "scores": self.scores(x)}
            return {name: y.permute(0, 2, 3, 1).reshape(x.shape[0], -1, y.shape[1]) for name, y in heads.items()}

    exported = export_onnx(network(Detector(), exporter, labels=0))
    assert [(spec.name, spec.role, spec.shape) for spec in exported.outputs] == [
        ("boxes", "other", (1, 49, 4)),
        ("scores", "other", (1, 49, 2)),
    ]
    assert exported.notes[-1] == "no output is called logits (boxes, scores): the network has no classes"
