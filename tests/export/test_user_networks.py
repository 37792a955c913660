"""Networks of the user's own, from FILE.py:FACTORY."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402

FILE = """
import torch
from dataclasses import dataclass
from torch import nn
import neighbour

print("a banner on standard output")
constant = 3

@dataclass
class Configuration:
    classes: int

class Network(nn.Module):
    def __init__(self, configuration):
        super().__init__()
        self.conv = nn.Conv2d(neighbour.CHANNELS, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(8, configuration.classes)

    def forward(self, infrared, visible):
        v, i = (self.norm(self.conv(x)).relu().mean((2, 3)) for x in (visible, 2 * infrared))
        return self.fc(torch.cat((v, i), dim=1))

def build(classes="4"):
    return Network(Configuration(int(classes)))

def anything(**options):
    assert options == {"depth": "3"}
    return Network(Configuration(5))

def raises():
    raise ValueError("no such backbone")

def leaves():
    raise SystemExit(3)

def wanders():
    import os
    os.chdir("/")
    return build()

def double():
    return build().double()

def returns_other():
    return {"a": 1}

class Embedding(Network):
    def forward(self, infrared, visible):
        return {"embedding": super().forward(infrared, visible)}

def without_logits():
    return Embedding(Configuration(4))
"""

INPUTS = {"visible": (3, 16, 16), "infrared": (3, 16, 16)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("CHANNELS = 3\n")
    # Named like a package that is in use: it must not stand in for it.
    path = tmp_path / "numpy.py"
    path.write_text(FILE)
    return path


@pytest.fixture(autouse=True)
def forget_neighbour() -> None:
    sys.modules.pop("neighbour", None)


def test_the_factory_makes_the_network(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search_path = list(sys.path)
    options = {"classes": "3"}
    network = registry.from_file(f"{file}:build", INPUTS, ("a", "b", "c"), options, band="nir", exporter="torchscript")
    assert network.labels == ("a", "b", "c")
    assert network.options == {"classes": "3"}
    assert network.graph_role == "fused"
    assert network.source == str(file)
    assert network.module.training
    assert [spec.role for spec in network.inputs] == ["visible", "infrared"]
    assert [spec.image.band for spec in network.inputs if spec.image] == ["visible", "nir"]
    assert sys.path == search_path
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a banner" in captured.err
    assert export_onnx(network).max_error < 1e-5


def test_labels_and_options_are_not_needed(file: Path) -> None:
    assert registry.from_file(f"{file}:build", INPUTS).labels == ("class_0", "class_1", "class_2", "class_3")
    assert registry.from_file(f"{file}:anything", INPUTS, None, {"depth": "3"}).labels[-1] == "class_4"


def test_inputs_of_other_names_are_passed_in_order(file: Path) -> None:
    by_name = registry.from_file(f"{file}:build", INPUTS, exporter="torchscript")
    cameras = {"ir_left": (3, 16, 16), "camera": (3, 16, 16)}
    by_order = registry.from_file(f"{file}:build", cameras, exporter="torchscript")
    by_order.module.load_state_dict(by_name.module.state_dict())
    assert [spec.role for spec in by_order.inputs] == ["infrared", "visible"]
    feeds = {name: torch.rand(1, 3, 16, 16) for name in INPUTS}
    graphs = [export_onnx(network).model for network in (by_name, by_order)]
    assert [value.name for value in graphs[0].graph.input] == ["visible", "infrared"]
    assert [value.name for value in graphs[1].graph.input] == ["ir_left", "camera"]
    from edgefer_export.checks import literal_graph

    first = literal_graph(graphs[0]).run({name: tensor.numpy() for name, tensor in feeds.items()})["logits"]
    second = literal_graph(graphs[1]).run({"ir_left": feeds["infrared"].numpy(), "camera": feeds["visible"].numpy()})[
        "logits"
    ]
    assert abs(first - second).max() < 1e-6


@pytest.mark.parametrize(
    ("factory", "options", "said"),
    [
        ("biuld", {}, "has no biuld; it has .*build.*did you mean 'build'"),
        ("constant", {}, "has a int, not a function"),
        ("raises", {}, "raised an error.*no such backbone"),
        ("leaves", {}, "raised an error.*SystemExit"),
        ("returns_other", {}, "returns dict, expected a torch.nn.Module"),
        ("build", {"clases": "3"}, "does not take option clases.*did you mean 'classes'"),
        ("build", {"classes": "many"}, "raised an error.*invalid literal"),
        ("double", {}, "parameter conv.weight in float64, expected float32"),
    ],
)
def test_what_goes_wrong_in_the_factory_is_said(file: Path, factory: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){said}"):
        registry.from_file(f"{file}:{factory}", INPUTS, None, options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def build(:", "cannot be imported.*SyntaxError"),
        ("import no_such_package", "cannot be imported.*no_such_package"),
        ("raise SystemExit(1)", "cannot be imported.*SystemExit"),
    ],
)
def test_what_goes_wrong_in_the_file_is_said(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(content)
    with pytest.raises(UsageError, match=f"(?s){said}"):
        registry.from_file(f"{path}:build", INPUTS)


def test_a_file_that_is_missing_or_not_named_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        registry.from_file(f"{tmp_path / 'none.py'}:build", INPUTS)
    for spec in ("network.py", "network.py:", ":build", "network.py:3"):
        with pytest.raises(UsageError, match=r"is not FILE\.py:FACTORY"):
            registry.from_file(spec, INPUTS)


def test_inputs_that_the_network_does_not_take_are_said(file: Path) -> None:
    spec = f"{file}:build"
    with pytest.raises(UsageError, match=r"does not take its inputs visible \(1, 1, 16, 16\)"):
        registry.from_file(spec, {"visible": (1, 16, 16), "infrared": (3, 16, 16)})
    with pytest.raises(UsageError, match="does not take its inputs"):
        registry.from_file(spec, {"visible": (3, 16, 16)})
    with pytest.raises(UsageError, match="has no inputs"):
        registry.from_file(spec, {})
    with pytest.raises(UsageError, match="2 channels"):
        registry.from_file(spec, {"visible": (2, 16, 16)})
    with pytest.raises(UsageError, match="not NAME=CxHxW"):
        registry.from_file(spec, {"visible": (3, 16)})


def test_a_second_input_of_one_camera_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="2 visible inputs: left, right"):
        registry.from_file(f"{file}:build", {"left": (3, 16, 16), "right": (3, 16, 16)})


def test_the_working_folder_stays(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry.from_file(f"{file}:wanders", INPUTS)
    assert Path.cwd() == tmp_path


def test_a_network_without_logits_has_no_classes(file: Path) -> None:
    network = registry.from_file(f"{file}:without_logits", INPUTS, exporter="torchscript")
    assert (network.labels, network.logits) == ((), None)
    exported = export_onnx(network)
    assert [(spec.name, spec.role) for spec in exported.outputs] == [("embedding", "other")]
    assert exported.notes[-1] == "no output is called logits (embedding): the network has no classes"
    with pytest.raises(UsageError, match="returns a dict of embedding, expected a tensor of logits"):
        registry.from_file(f"{file}:without_logits", INPUTS, ("a", "b"))


def test_labels_of_another_number_are_said(file: Path) -> None:
    with pytest.raises(UsageError, match="gives 4 classes, but there are 2 labels"):
        registry.from_file(f"{file}:build", INPUTS, ("a", "b"))


def test_a_mask_is_an_input_of_two() -> None:
    (spec,) = registry.input_specs({"present": (2,)})
    assert (spec.role, spec.shape) == ("present", (1, 2))
