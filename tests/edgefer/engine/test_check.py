"""A whole graph held against a target: versions, inputs, functions, and the parser of the target beside the facts."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")

from edgefer.engine import ask  # noqa: E402
from edgefer.engine.ask import ask_parser  # noqa: E402
from edgefer.engine.check import check, refusals  # noqa: E402
from edgefer.engine.support.report import ParserAnswer, Problem  # noqa: E402
from edgefer.engine.support.table import TARGETS  # noqa: E402
from edgefer.errors import UsageError  # noqa: E402

needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    model = onnx.ModelProto.FromString(data)
    change(model)
    return bytes(model.SerializeToString())


def answering(accepted: bool) -> ask.Ask:
    problem = Problem(severity="refused", reason="said so", source="the parser", node="node")
    answer = ParserAnswer(flavour="rtx", version="1", accepted=accepted, problems=() if accepted else (problem,))
    return lambda data, target: (answer, "")


@pytest.mark.parametrize("kind", ["fp32", "int8", "fp16"])
@pytest.mark.parametrize("target", TARGETS)
def test_what_edgefer_builds_is_taken_everywhere(make_graph: Callable[..., bytes], kind: str, target: str) -> None:
    found = check(make_graph(kind), target, ask=None)
    assert found.verdict == "accepted", found.problems
    assert found.problems == ()
    assert (found.opset, found.ir_version) == (19, 9)


def test_functions_are_inlined_first(make_portable: Callable[..., bytes]) -> None:
    found = check(make_portable(), "tensorrt-10.3", ask=None)
    assert found.verdict == "accepted", found.problems
    assert "edgefer::Gate" in found.inlined
    assert not any("::" in name for name in found.operators)


def test_an_operator_of_this_project_without_its_function_is_refused(make_portable: Callable[..., bytes]) -> None:
    data = changed(make_portable(), lambda model: model.functions.__delitem__(slice(None)))
    found = check(data, "tensorrt-11", ask=None)
    assert found.verdict == "refused"
    assert "edgefer::Gate is no operator" in refusals(found)[0].reason


@pytest.mark.parametrize(
    ("target", "opset", "severity", "said"),
    [
        ("tensorrt-10.3", 8, "warning", "older than 9"),
        ("tensorrt-10.3", 21, "unknown", "newer than 20"),
        ("tensorrt-10.13", 21, "unknown", "ONNX 1.18"),
        ("tensorrt-10.16", 25, "unknown", "newer than 24"),
        ("tensorrt-11", 25, "unknown", "11.5"),
        ("tensorrt-11", 0, "refused", "imports no opset"),
    ],
)
def test_opsets(make_graph: Callable[..., bytes], target: str, opset: int, severity: str, said: str) -> None:
    def change(model: Any) -> None:
        model.opset_import[0].version = opset

    problems = check(changed(make_graph(), change), target, ask=None).problems
    assert any(each.severity == severity and said in each.reason for each in problems), problems


def test_a_newer_ir_version_is_a_warning(make_graph: Callable[..., bytes]) -> None:
    found = check(changed(make_graph(), lambda model: setattr(model, "ir_version", 12)), "tensorrt-10.3", ask=None)
    (problem,) = found.problems
    assert found.verdict == "accepted"
    assert (problem.severity, "IR version 12 is newer than 10" in problem.reason) == ("warning", True)


def test_dynamic_sizes(make_graph: Callable[..., bytes]) -> None:
    batch = check(make_graph(batch="N"), "rtx", ask=None)
    assert batch.dynamic == {"x": ("N", 3, 32, 32)}
    assert batch.problems == ()

    def change(model: Any) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"

    sizes = check(changed(make_graph(), change), "rtx", ask=None)
    assert [each.severity for each in sizes.problems if each.tensor == "x"] == ["warning"]
    shapeless = check(
        changed(make_graph(), lambda model: model.graph.input[0].type.tensor_type.ClearField("shape")), "rtx"
    )
    assert any("no shape" in each.reason for each in shapeless.problems)


def test_a_graph_of_nothing(make_graph: Callable[..., bytes]) -> None:
    def change(model: Any) -> None:
        del model.graph.node[:]
        del model.graph.output[:]

    found = check(changed(make_graph(), change), "rtx", ask=None)
    assert {each.reason for each in refusals(found)} == {"the graph has no nodes", "the graph has no outputs"}


def test_initialisers_among_the_inputs_are_no_inputs(make_graph: Callable[..., bytes]) -> None:
    def change(model: Any) -> None:
        for each in model.graph.initializer:
            model.graph.input.append(onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims))

    assert check(changed(make_graph("int8"), change), "tensorrt-10.3", ask=None).verdict == "accepted"


def test_the_verdict_of_facts_and_parser_together(make_graph: Callable[..., bytes]) -> None:
    def newer(model: Any) -> None:
        model.opset_import[0].version = 25

    good, bad, open_ = make_graph(), make_graph("unknown"), changed(make_graph(), newer)
    expected = {
        (good, True): ("accepted", "accepted"),
        (good, False): ("accepted", "refused"),
        (bad, True): ("refused", "refused"),
        (open_, True): ("unknown", "accepted"),
        (open_, False): ("unknown", "refused"),
    }
    for (data, accepted), verdicts in expected.items():
        found = check(data, "rtx", ask=answering(accepted))
        assert (found.table, found.verdict) == verdicts
    assert refusals(check(good, "rtx", ask=answering(False)))[0].reason == "said so"


def test_an_unknown_target(make_graph: Callable[..., bytes]) -> None:
    with pytest.raises(UsageError, match="tensorrt-9"):
        check(make_graph(), "tensorrt-9")


@pytest.mark.parametrize(
    ("installed", "said"), [("", "is not installed"), ("10.16.1", "the TensorRT here is 10.16.1"), ("10.3.0", "a GPU")]
)
def test_a_parser_of_another_release_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, make_graph: Callable[..., bytes], installed: str, said: str
) -> None:
    from edgefer.engine.driver import CudaDriver

    monkeypatch.setattr(ask, "_installed", lambda flavour: installed)
    monkeypatch.setattr(ask, "cuda_driver", lambda: CudaDriver(version=None, problem="none"))
    found = check(make_graph(), "tensorrt-10.3")
    assert found.parser is None
    assert said in found.parser_note


def worker(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, signal, sys, time, pathlib\nfolder = pathlib.Path(sys.argv[1])\n{code}")


@pytest.mark.parametrize(
    ("code", "timeout", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGABRT)", 30.0, "killed by SIGABRT"),
        ("print('out of ideas'); sys.exit(7)", 30.0, "status 7: out of ideas"),
        ("time.sleep(60)", 0.3, "no answer within 0.3 s"),
    ],
)
def test_a_parser_that_dies_has_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, timeout: float, said: str
) -> None:
    monkeypatch.setattr(ask, "_installed", lambda flavour: "1.7.1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer, _ = ask_parser(b"graph", "rtx", timeout=timeout, command=worker(code))
    assert answer is not None
    assert not answer.accepted
    assert said in answer.problems[0].reason
    assert list(tmp_path.iterdir()) == []


@needs_rtx
def test_the_parser_itself_is_asked(make_graph: Callable[..., bytes]) -> None:
    taken = check(make_graph("int8"), "rtx")
    assert taken.parser is not None
    assert taken.parser.accepted
    assert taken.verdict == "accepted"
    refused = check(make_graph("uint8"), "rtx")
    assert refused.table == refused.verdict == "refused"
    assert refused.parser is not None
    assert [(each.node, each.operator) for each in refused.parser.problems] == [("x_quantise", "QuantizeLinear")]
    assert "1.7" in refused.parser.problems[0].source
