"""Functions inlined or stripped before parsing, and what the graph computes unchanged by it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from edgefer.engine.portable import for_parser
from edgefer.errors import BundleError, CompileError, EnvironmentMismatch

onnx = pytest.importorskip("onnx")

GATE, SQUASH = ("edgefer", "Gate"), ("edgefer", "Squash")


def operators(data: bytes) -> list[tuple[str, str]]:
    return [(node.domain, node.op_type) for node in onnx.ModelProto.FromString(data).graph.node]


@pytest.mark.parametrize("inside", [True, False], ids=["q/dq inside", "q/dq outside"])
def test_without_plugins_everything_is_inlined(make_portable: Callable[..., bytes], inside: bool) -> None:
    data = for_parser(make_portable(inside))
    model = onnx.ModelProto.FromString(data)
    assert not model.functions
    assert {domain for domain, _ in operators(data)} == {""}
    assert [name for _, name in operators(data)].count("QuantizeLinear") == 3
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("inside", [True, False], ids=["q/dq inside", "q/dq outside"])
def test_plugin_nodes_stay_with_their_attributes(make_portable: Callable[..., bytes], inside: bool) -> None:
    model = onnx.ModelProto.FromString(for_parser(make_portable(inside), frozenset({GATE})))
    gates = [node for node in model.graph.node if node.op_type == "Gate"]
    assert [gate.name for gate in gates] == ["gate0", "gate1", "gate2"]
    assert {attribute.name for attribute in gates[0].attribute} == {"plugin_version", "plugin_namespace"}
    assert not model.functions


def test_a_plugin_inside_a_function_survives_the_inlining_around_it(make_portable: Callable[..., bytes]) -> None:
    names = operators(for_parser(make_portable(), frozenset({SQUASH})))
    assert names.count(SQUASH) == 3
    assert GATE not in names


def test_opset_ir_and_signature_are_kept(make_portable: Callable[..., bytes]) -> None:
    before = onnx.ModelProto.FromString(make_portable())
    after = onnx.ModelProto.FromString(for_parser(make_portable()))
    assert after.ir_version == before.ir_version == 9
    assert [each.version for each in after.opset_import if not each.domain] == [19]
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)


def test_nodes_have_names_of_their_own(make_portable: Callable[..., bytes]) -> None:
    names = [node.name for node in onnx.ModelProto.FromString(for_parser(make_portable())).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("inside", [True, False], ids=["q/dq inside", "q/dq outside"])
def test_the_inlined_graph_computes_the_same(make_portable: Callable[..., bytes], inside: bool) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = np.random.default_rng(1).standard_normal((1, 8, 16, 16)).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for data in (make_portable(inside), for_parser(make_portable(inside)))
    ]
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0]).max() > 0.1


def test_equal_input_gives_equal_bytes_in_another_process(make_portable: Callable[..., bytes]) -> None:
    code = (
        "import sys, hashlib; from edgefer.engine.portable import for_parser;"
        "print(hashlib.sha256(for_parser(sys.stdin.buffer.read())).hexdigest())"
    )
    digests = {
        subprocess.run([sys.executable, "-c", code], input=make_portable(), capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(digests) == 1


def test_a_graph_without_functions_is_passed_on_untouched(make_graph: Callable[..., bytes]) -> None:
    data = make_graph("int8")
    assert for_parser(data) is data


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"\x08\x09"])
def test_what_is_not_onnx_is_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError, match="not an ONNX model"):
        for_parser(data)


def test_a_body_in_another_opset_is_refused(make_portable: Callable[..., bytes]) -> None:
    model = onnx.ModelProto.FromString(make_portable())
    for function in model.functions:
        for each in function.opset_import:
            if not each.domain:
                each.version = 25
    with pytest.raises(CompileError):
        for_parser(model.SerializeToString())


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, make_graph: Callable[..., bytes]) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EnvironmentMismatch, match=r"edgefer\[device\]") as caught:
        for_parser(make_graph())
    assert caught.value.exit_code == 3
