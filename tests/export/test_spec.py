"""BuildSpec: the fields, how they are read from text and TOML, and which cannot stand together."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle.manifest import BudgetSpec
from edgefer.cli.build_engine import add_arguments
from edgefer.cli.parser import Parser
from edgefer.errors import UsageError
from edgefer_export.network_argument import classify
from edgefer_export.spec import BuildSpec
from edgefer_export.spec_fields import field_names

BOTH = {"calibration": "synthetic:64:1", "evaluation": "synthetic:200:2"}


def spec(**fields: Any) -> BuildSpec:
    return BuildSpec(**{"network": "viri-fusion", "output": Path("out.edgefer"), **fields})


def test_precision_follows_from_the_data() -> None:
    assert spec().target_precision == "fp32"
    assert spec(**BOTH).target_precision == "int8"
    assert spec(**BOTH, precision="fp16").target_precision == "fp16"
    assert spec(evaluation="synthetic:8:1").target_precision == "fp32"
    assert spec(**BOTH, precision="int8+fp16").quantises
    assert not spec(precision="fp16").quantises


def test_percentile_has_a_default_only_where_it_is_used() -> None:
    assert spec(**BOTH).percentile_value is None
    assert spec(**BOTH, method="percentile").percentile_value == 99.99
    assert spec(**BOTH, method="percentile", percentile=99.5).percentile_value == 99.5


def test_the_report_lies_beside_the_bundle() -> None:
    assert spec(output=Path("a/b.edgefer")).report_folder == Path("a/b-report")
    assert spec(report=Path("r")).report_folder == Path("r")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"precision": "int8"}, "--calibration and --evaluation"),
        ({"precision": "int8", "evaluation": "synthetic:8:1"}, "needs --calibration"),
        ({"calibration": "synthetic:8:1"}, "needs --evaluation"),
        ({"calibration": "d", "evaluation": "d"}, "same data"),
        ({"output": None}, "No file is named"),
        ({"batches": ()}, "--batch"),
        ({"batches": (0,)}, "--batch"),
        ({"batches": (2, 2)}, "twice"),
        ({"inputs": {"visible": (3, 0, 64)}}, "visible"),
        ({"exclude": ("(",)}, "regular expression"),
        ({"percentile": 99.0}, "--method percentile"),
        ({**BOTH, "method": "percentile", "percentile": 50.0}, "above 50"),
        ({**BOTH, "method": "percentile", "percentile": 100.1}, "above 50"),
        ({"budget": BudgetSpec(accuracy=-1)}, "points from 0 to 100"),
        ({"budget": BudgetSpec(recall=float("nan"))}, "points from 0 to 100"),
        ({"budget": BudgetSpec(agreement=97)}, "share from 0 to 1"),
        ({"seed": -1}, "--seed"),
        ({"flavour": "none", "engine_out": Path("x.plan")}, "--flavour none"),
        ({"golden_from_data": True}, "--evaluation"),
        ({"exporter": "dynamo"}, "FILE.py:FACTORY"),
        ({"network": ""}, "empty"),
    ],
)
def test_fields_that_cannot_stand(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        spec(**fields)
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("fields", "attribute", "value"),
    [
        ({"input": ["visible=3x64x48"]}, "inputs", {"visible": (3, 64, 48)}),
        ({"input": {"visible": [3, 64, 48]}}, "inputs", {"visible": (3, 64, 48)}),
        ({"input": {"visible": "3×64×48"}}, "inputs", {"visible": (3, 64, 48)}),
        ({"option": {"width": 0.25, "present": True}}, "options", {"width": "0.25", "present": "true"}),
        ({"batch": "4"}, "batches", (4,)),
        ({"batch": [1, "8"]}, "batches", (1, 8)),
        ({"exclude": "^/fc"}, "exclude", ("^/fc",)),
        ({"labels": "a, b"}, "labels", ("a", "b")),
        ({"labels": ["a", "b"]}, "labels", ("a", "b")),
        ({"budget": "accuracy=1,class=2"}, "budget", BudgetSpec(accuracy=1.0, class_recall=2.0)),
        ({"budget": {"agreement": 0.9}}, "budget", BudgetSpec(agreement=0.9)),
        ({"budget": BudgetSpec(recall=3)}, "budget", BudgetSpec(recall=3)),
        ({"engine-out": "a.plan"}, "engine_out", Path("a.plan")),
        ({"engine_out": Path("a.plan")}, "engine_out", Path("a.plan")),
        ({"seed": "12"}, "seed", 12),
        ({}, "plugins", None),
        ({"plugins": "inline"}, "plugins", "inline"),
    ],
)
def test_values_are_read_from_text_and_from_tables(fields: dict[str, Any], attribute: str, value: object) -> None:
    read = BuildSpec.from_fields({"network": "viri-fusion", "output": "out.edgefer", **fields})
    assert getattr(read, attribute) == value


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": "visible"}, "NAME=CxHxW"),
        ({"input": "visible=64x64"}, "3x224x224"),
        ({"input": ["a=1x2x3", "a=1x2x3"]}, "twice"),
        ({"option": "width"}, "KEY=VALUE"),
        ({"option": {"width": [1]}}, "option.width"),
        ({"batch": "one"}, "whole number"),
        ({"batch": 1.5}, "whole number"),
        ({"batch": True}, "whole number"),
        ({"precision": "int4"}, "int8+fp16"),
        ({"labels": "a"}, "class names"),
        ({"labels": ["a", "a"]}, "class names"),
        ({"budget": "accuracy"}, "accuracy=0.5"),
        ({"budget": "acuracy=1"}, "acuracy"),
        ({"budget": {"class": "much"}}, "number"),
        ({"strict": "yes"}, "true or false"),
        ({"exporter": "tracer"}, "one of auto, torchscript, dynamo"),
        ({"plugins": "some"}, "one of auto, plugin, inline"),
        ({"weights": ""}, "not empty"),
        ({"percentile": "many"}, "a number"),
        ({"wieghts": "a.pt"}, "wieghts"),
    ],
)
def test_values_that_cannot_be_read(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        BuildSpec.from_fields({"network": "viri-fusion", "output": "out.edgefer", **fields})
    assert said in raised.value.message


def test_an_unknown_field_is_met_with_the_nearest_known_one() -> None:
    with pytest.raises(UsageError) as raised:
        BuildSpec.from_fields({"network": "viri-fusion", "allow_overbudget": True})
    assert raised.value.hint == "Did you mean `allow-over-budget`?"
    with pytest.raises(UsageError) as raised:
        BuildSpec.from_fields({"xyzzy": 1})
    assert "calibration" in raised.value.hint


def test_a_network_is_needed() -> None:
    with pytest.raises(UsageError, match="No network"):
        BuildSpec.from_fields({"output": "x.edgefer"})


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"network = ", "is not TOML"), (b"\xff\xfe", "cannot be read")],
)
def test_a_file_that_cannot_be_read(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "build.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        BuildSpec.from_toml(path)
    assert said in raised.value.message


def test_the_flags_are_the_fields_of_the_file() -> None:
    parser = Parser()
    add_arguments(parser)
    flags = {action.dest.replace("_", "-") for action in parser._actions} - {"help", "spec"}
    assert flags == set(field_names())


def test_what_is_given_in_vain_is_listed() -> None:
    sentences = spec(**BOTH, precision="fp16", exclude=("a",), method="entropy").unused()
    assert [sentence.split("`")[1] for sentence in sentences] == ["calibration", "exclude", "method"]
    assert spec(**BOTH, exclude=("a",)).unused() == ()


def test_kinds_of_network(tmp_path: Path) -> None:
    script, bundle = tmp_path / "net.py", tmp_path / "some.bundle"
    script.write_text("")
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("manifest.json", "{}")
    (tmp_path / "broken.edgefer").write_bytes(b"")
    assert classify("viri-fusion") == "registered"
    assert classify(f"{script}:make") == "file"
    assert classify(str(bundle)) == "bundle"
    # What a file of this name holds is for the reader of bundles to say.
    assert classify(str(tmp_path / "broken.edgefer")) == "bundle"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net.onnx", "There is no file net.onnx"),
        ("best.pt", "--weights best.pt"),
        ("net.py", "net.py:FACTORY"),
        ("net.py:make", "does not exist"),
        ("net.py:not a name", "not the name of a function"),
        ("missing.edgefer", "no file"),
        ("folder/name", "no file"),
    ],
)
def test_networks_that_are_not_taken(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as raised:
        classify(text)
    assert said in str(raised.value)


def test_a_file_of_another_kind_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    with pytest.raises(UsageError, match="neither a bundle"):
        classify(str(path))


def test_paths_are_checked_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="checkpoint"):
        spec(weights=tmp_path / "best.pt").check_files()
    with pytest.raises(UsageError, match="does not exist") as raised:
        spec(output=tmp_path / "missing" / "out.edgefer").check_files()
    assert "mkdir -p" in raised.value.hint
    with pytest.raises(UsageError, match="a file is expected"):
        spec(output=tmp_path).check_files()
    with pytest.raises(UsageError, match="--engine-out"):
        spec(output=tmp_path / "o.edgefer", engine_out=tmp_path).check_files()
    weights, network = tmp_path / "best.pt", tmp_path / "network.py"
    weights.write_bytes(b"")
    network.write_text("")
    with pytest.raises(UsageError, match=r"--output .* would overwrite --weights"):
        spec(weights=weights, output=tmp_path / "." / "best.pt").check_files()
    with pytest.raises(UsageError, match=r"--engine-out .* would overwrite --weights"):
        spec(weights=weights, output=tmp_path / "o.edgefer", engine_out=weights).check_files()
    with pytest.raises(UsageError, match=r"--output .* would overwrite the network"):
        spec(network=f"{network}:build", output=network).check_files()
    with pytest.raises(UsageError, match=r"--engine-out .* would overwrite --output"):
        spec(output=tmp_path / "o.edgefer", engine_out=tmp_path / "o.edgefer").check_files()
    (tmp_path / "report").write_text("")
    with pytest.raises(UsageError, match="a folder is expected"):
        spec(output=tmp_path / "o.edgefer", report=tmp_path / "report").check_files()
    with pytest.raises(UsageError, match=r"--report .* is below .*/report, which is a file"):
        spec(output=tmp_path / "o.edgefer", report=tmp_path / "report" / "new").check_files()
    with pytest.raises(UsageError, match=r"--cache .* is a file; a folder is expected"):
        spec(output=tmp_path / "o.edgefer", cache=tmp_path / "report").check_files()
    spec(output=tmp_path / "o.edgefer", report=tmp_path / "new", cache=tmp_path / "a" / "b").check_files()
    spec(output=tmp_path / "o.edgefer", cache=tmp_path / "report", flavour="none").check_files()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UsageError, match=r"--output .* cannot be written to"):
        spec(output=tmp_path / "o.edgefer").check_files()
