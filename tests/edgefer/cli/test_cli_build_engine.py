"""build-engine: what it asks the build for, what it says of the result, and what it does with a bundle."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle.manifest import NetworkSpec, StepFigure
from edgefer.cli.main import main
from edgefer.engine.workspace import Workspace
from edgefer_export.report.content import Report, step_report
from edgefer_export.result import BuildResult
from edgefer_export.spec import BuildSpec

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Capture = pytest.CaptureFixture[str]

REPORT = Report(
    title="viri-fusion, INT8",
    verdict="pass",
    reason="Nothing was lost.",
    created="2026-03-14T09:26:53Z",
    network=NetworkSpec(name="viri-fusion"),
    precision="int8",
    labels=("a", "b"),
    inputs=(),
    steps=(
        step_report(
            StepFigure(
                step="int8",
                count=2000,
                correct=1773,
                mean_recall=0.8865,
                worst_class="b",
                worst_recall=0.85,
                agreement=0.991,
                max_error=0.0834,
            ),
            [[900, 100], [127, 873]],
            seconds=18.2,
            size=23_611_007,
        ),
    ),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[BuildSpec]:
    """The specifications that the build was asked for; the build itself does nothing and passes."""
    return fake_build(monkeypatch, tmp_path, "pass")


def fake_build(monkeypatch: pytest.MonkeyPatch, folder: Path, verdict: Any) -> list[BuildSpec]:
    specs: list[BuildSpec] = []

    def build(spec: BuildSpec, reporter: Any) -> BuildResult:
        specs.append(spec)
        written = verdict != "fail" or spec.allow_over_budget
        return BuildResult(
            bundle=spec.output if written else None,
            report_html=folder / "report.html",
            report_json=folder / "report.json",
            verdict=verdict,
            reason=REPORT.reason,
            report=REPORT,
            engine=None,
            seconds={"export": 1.5},
        )

    module = types.ModuleType("edgefer_export.build")
    module.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edgefer_export.build", module)
    monkeypatch.chdir(folder)
    return specs


def error_of(capsys: Capture, *words: str, code: int = 2) -> dict[str, str]:
    assert main(["build-engine", *words, "--json"]) == code
    error: dict[str, str] = json.loads(capsys.readouterr().out)["error"]
    return error


def test_flags_become_the_specification(asked: list[BuildSpec], tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"")
    words = shlex.split(
        "build-engine viri-fusion --weights best.pt --calibration synthetic:64:1 --evaluation synthetic:200:2 "
        "--precision int8+fp16 --layout pairs --option width=0.25 size=64 --option gate=linear --batch 1 4 "
        "--exclude ^/fc --budget accuracy=1,class=2.5 --strict --flavour none "
        "--golden-from-data --method percentile --percentile 99.9 --seed 7 --report r --cache c --labels a,b "
        "--band nir -o out.edgefer"
    )
    assert main(words) == 0
    (spec,) = asked
    assert spec.network == "viri-fusion"
    assert spec.weights == Path("best.pt")
    assert (spec.calibration, spec.evaluation, spec.layout) == ("synthetic:64:1", "synthetic:200:2", "pairs")
    assert spec.precision == "int8+fp16"
    assert spec.options == {"width": "0.25", "size": "64", "gate": "linear"}
    assert (spec.batches, spec.exclude) == ((1, 4), ("^/fc",))
    assert (spec.budget.accuracy, spec.budget.class_recall, spec.budget.recall) == (1.0, 2.5, 0.5)
    assert (spec.strict, spec.golden_from_data, spec.flavour) == (True, True, "none")
    assert (spec.method, spec.percentile, spec.seed) == ("percentile", 99.9, 7)
    assert (spec.report, spec.cache, spec.output) == (Path("r"), Path("c"), Path("out.edgefer"))
    assert (spec.labels, spec.band) == (("a", "b"), "nir")
    assert spec.command == ("edgefer", *words)


def test_without_flags_the_defaults_are_those_of_the_specification(asked: list[BuildSpec]) -> None:
    assert main(["build-engine", "viri-fusion", "-o", "out.edgefer"]) == 0
    (spec,) = asked
    command = ("edgefer", "build-engine", "viri-fusion", "-o", "out.edgefer")
    assert spec == BuildSpec(network="viri-fusion", output=Path("out.edgefer"), command=command)


def test_the_trtexec_line_is_printed_also_where_nothing_was_compiled(
    asked: list[BuildSpec], tiny_bundle: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "out.edgefer").write_bytes(tiny_bundle.read_bytes())
    words = ["build-engine", "viri-fusion", "-o", "out.edgefer", "--flavour", "none", "--print-trtexec"]
    assert main(words) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("trtexec --onnx=")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trtexec"] == line
    assert asked[0].print_trtexec


SPEC = """
network = "viri-fusion"
calibration = "synthetic:64:1"
evaluation = "synthetic:200:2"
precision = "int8"
method = "entropy"
exclude = ["a", "b"]
batch = 2
strict = true
output = "from-file.edgefer"
seed = 3

[option]
width = 0.25
size = 64

[budget]
accuracy = 2
class = 3
"""


def test_the_file_gives_what_the_flags_do_not(asked: list[BuildSpec], tmp_path: Path) -> None:
    (tmp_path / "build.toml").write_text(SPEC)
    assert main(["build-engine", "--spec", "build.toml"]) == 0
    (spec,) = asked
    assert (spec.network, spec.precision, spec.method, spec.seed) == ("viri-fusion", "int8", "entropy", 3)
    assert (spec.exclude, spec.batches, spec.strict) == (("a", "b"), (2,), True)
    assert spec.options == {"width": "0.25", "size": "64"}
    assert spec.output == Path("from-file.edgefer")


def test_flags_win_over_the_file(asked: list[BuildSpec], tmp_path: Path) -> None:
    (tmp_path / "build.toml").write_text(SPEC)
    words = shlex.split("--spec build.toml --method max --exclude c --batch 1 --no-strict -o flag.edgefer --seed 9")
    words += ["--option", "width=0.5", "--budget", "class=1,agreement=0.9"]
    assert main(["build-engine", "viri-visible", *words]) == 0
    (spec,) = asked
    assert (spec.network, spec.method, spec.seed, spec.strict) == ("viri-visible", "max", 9, False)
    assert (spec.exclude, spec.batches, spec.output) == (("c",), (1,), Path("flag.edgefer"))
    assert spec.options == {"width": "0.5", "size": "64"}
    assert (spec.budget.accuracy, spec.budget.class_recall, spec.budget.agreement) == (2.0, 1.0, 0.9)


def test_an_unknown_key_of_the_file_is_refused_with_a_suggestion(
    asked: list[BuildSpec], tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "build.toml").write_text('network = "viri-fusion"\nprecison = "int8"\n')
    error = error_of(capsys, "--spec", "build.toml")
    assert error["type"] == "UsageError"
    assert "precison" in error["message"]
    assert "precision" in error["hint"]
    assert asked == []


def test_the_answer_under_json(asked: list[BuildSpec], tmp_path: Path, capsys: Capture) -> None:
    assert main(["build-engine", "viri-fusion", "-o", "out.edgefer", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bundle"] == "out.edgefer"
    assert said["report_html"] == str(tmp_path / "report.html")
    assert (said["verdict"], said["reason"], said["engine"]) == ("pass", "Nothing was lost.", None)
    assert said["seconds"] == {"export": 1.5}
    assert said["report"]["steps"][0]["figure"]["correct"] == 1773


def test_the_answer_in_words(asked: list[BuildSpec], tmp_path: Path, capsys: Capture) -> None:
    assert main(["build-engine", "viri-fusion", "-o", "out.edgefer"]) == 0
    shown = capsys.readouterr().out
    for part in ("int8", "1773/2000", "88.65 %", "99.10 %", "23.61 MB", "verdict: pass: Nothing was lost."):
        assert part in shown
    assert "bundle  out.edgefer" in shown
    assert str(tmp_path / "report.html") in shown


@pytest.mark.parametrize(
    ("verdict", "flags", "code", "bundle"),
    [
        ("pass", [], 0, "out.edgefer"),
        ("pass", ["--strict"], 0, "out.edgefer"),
        ("numeric", [], 0, "out.edgefer"),
        ("numeric", ["--strict"], 0, "out.edgefer"),
        ("undecided", [], 0, "out.edgefer"),
        ("undecided", ["--strict"], 4, "out.edgefer"),
        ("fail", [], 4, None),
        ("fail", ["--allow-over-budget"], 4, "out.edgefer"),
    ],
)
def test_the_verdict_decides_the_exit_code(
    verdict: str,
    flags: list[str],
    code: int,
    bundle: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    fake_build(monkeypatch, tmp_path, verdict)
    assert main(["build-engine", "viri-fusion", "-o", "out.edgefer", "--json", *flags]) == code
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["bundle"]) == (verdict, bundle)


def test_what_is_not_used_is_said(asked: list[BuildSpec], capsys: Capture) -> None:
    words = shlex.split("viri-fusion --calibration synthetic:8:1 --precision fp32 -o out.edgefer")
    assert main(["build-engine", *words]) == 0
    assert "`calibration` is not used" in capsys.readouterr().err


def test_an_onnx_file_that_is_not_there(capsys: Capture, tmp_path: Path) -> None:
    error = error_of(capsys, str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out.edgefer"))
    assert "net.onnx" in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("build-engine", "viri-fusion", "-o", "x.edgefer", "--json", blocked=("torch",), folder=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "edgefer[export]" in json.loads(done.stdout)["error"]["hint"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--weights", "w.pt"],
        ["--calibration", "synthetic:8:1"],
        ["--evaluation", "synthetic:8:1"],
        ["--precision", "int8"],
        ["--option", "width=1"],
        ["--budget", "accuracy=1"],
        ["--exclude", "x"],
        ["--batch", "2"],
        ["--method", "entropy"],
        ["--strict"],
        ["--flavour", "none"],
        ["--report", "r"],
    ],
)
def test_flags_that_a_bundle_settles_are_refused(words: list[str], tiny_bundle: Path, capsys: Capture) -> None:
    error = error_of(capsys, str(tiny_bundle), *words)
    assert error["type"] == "UsageError"
    assert words[0] in error["message"]


def test_a_bundle_is_compiled_again_without_the_host_half(run_cli: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    plan, copy = tmp_path / "out.plan", tmp_path / "copy.edgefer"
    words = ["build-engine", str(tiny_bundle), "--flavour", "tensorrt_rtx", "--cache", str(tmp_path / "cache")]
    blocked = ("torch", "onnxsim", "onnxruntime", "cv2", "matplotlib", "jinja2")
    done = run_cli(*words, "--engine-out", str(plan), "-o", str(copy), "--json", blocked=blocked)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    engine = said["engine"]
    assert engine["flavour"] == "tensorrt_rtx"
    assert engine["cached"] is False
    assert Path(engine["path"]).read_bytes() == plan.read_bytes()
    assert any("not for a Jetson" in note for note in engine["notes"])
    assert copy.read_bytes() == tiny_bundle.read_bytes()
    again = run_cli(*words, "--print-trtexec", blocked=(*blocked, "onnx"))
    assert again.returncode == 0, again.stderr
    assert f"plan    {engine['path']} (from the cache)" in again.stdout
    assert again.stdout.splitlines()[-1].startswith("tensorrt_rtx --onnx=")


def test_a_bundle_without_any_tensorrt_is_an_environment_error(run_cli: Run, tiny_bundle: Path) -> None:
    done = run_cli("build-engine", str(tiny_bundle), "--json", blocked=("tensorrt", "tensorrt_rtx"))
    assert done.returncode == 3, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "EnvironmentMismatch"


@pytest.mark.parametrize(("name", "warned"), [("tiny_bundle", False), ("undecided_bundle", True)])
def test_compiling_a_bundle_that_did_not_pass_says_so(
    name: str, warned: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from edgefer.engine import bundle_engine

    counts = types.SimpleNamespace(total=3, per_precision={"fp32": 3}, reformats=0, plugins=0)
    report: Any = types.SimpleNamespace(
        plan_bytes=7,
        counts=counts,
        seconds={},
        decision=None,
        fused_attention=None,
        workspace=Workspace(asked_bytes=1 << 30, given_bytes=1 << 29, free_bytes=1 << 30),
        timing_cache=None,
    )
    graph = bundle_engine.GraphEngine("fused", Path("engine.plan"), report, True, "trtexec --onnx=x")
    result = bundle_engine.EngineResult("tensorrt", "10.3", (graph,), (), "trtexec --onnx=x")
    asked: list[int | None] = []

    def compiled(*given: Any, **options: Any) -> bundle_engine.EngineResult:
        asked.append(options["workspace_bytes"])
        return result

    monkeypatch.setattr(bundle_engine, "compile_bundle", compiled)
    bundle = str(request.getfixturevalue(name))
    assert main(["build-engine", bundle, "--workspace", "1GiB"]) == 0
    assert "bounded to 512 MiB of the 1024 MiB asked for" in " ".join(capsys.readouterr().out.split())
    assert main(["build-engine", bundle, "--json"]) == 0
    assert asked == [1 << 30, None]
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["engine"]["graphs"][0]["workspace"]["given_bytes"] == 1 << 29
    assert told["verdict"] == ("undecided" if warned else "pass")
    assert ("The verdict on this bundle is `undecided`" in shown.err) is warned
