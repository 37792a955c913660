"""A bundle executed by OpenVINO: the same answers, from any number of threads, on any machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.errors import BundleError, EdgeferError, EnvironmentMismatch, InputError, UsageError
from edgefer.runtime import openvino_runner, runners
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer.runtime.openvino_library import shared_core
from edgefer.runtime.openvino_runner import OpenVinoRunner
from edgefer.runtime.session import Session

onnx = pytest.importorskip("onnx")
helper, numpy_helper, parser = (pytest.importorskip(f"onnx.{name}") for name in ("helper", "numpy_helper", "parser"))
pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

Factory = Callable[..., Any]


def small(text: str, **weights: np.ndarray[Any, Any]) -> bytes:
    """A graph `g (float[1,4] x) => (...) {...}` in ONNX's text form, as bytes."""
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return bytes(model.SerializeToString())


def test_the_answers_are_the_networks(tiny_bundle: Bundle, tiny_inputs: Factory, tiny_logits: Factory) -> None:
    with Session(tiny_bundle, device="openvino") as session:
        found = session.infer(**tiny_inputs()).logits
        assert session.info["runner"] == "openvino"
    np.testing.assert_allclose(found, tiny_logits(tiny_inputs())[0], atol=1e-5)


def test_it_serves_the_cpu_where_it_is_installed(tiny_bundle: Bundle) -> None:
    for device in ("auto", "cpu"):
        assert Session(tiny_bundle, device=device).info["runner"] == "openvino"
    info = Session(tiny_bundle, device="cpu", threads=1).info
    assert info["settings"]["inference precision"] == "f32"
    assert set(info["versions"]) == {"edgefer", "numpy", "openvino"}


def test_literally_means_onnxruntime(tiny_bundle: Bundle) -> None:
    info = Session(tiny_bundle, optimise=False).info
    assert info["runner"] == "onnxruntime"
    assert "literally" in str(info["why"])
    with pytest.raises(UsageError, match="literally"):
        Session(tiny_bundle, device="openvino", optimise=False)


def test_where_it_is_missing_onnxruntime_answers(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    info = Session(tiny_bundle, device="cpu").info
    assert info["runner"] == "onnxruntime"
    assert "edgefer[openvino]" in str(info["why"])
    with pytest.raises(EnvironmentMismatch, match="openvino not installed"):
        Session(tiny_bundle, device="openvino")
    with pytest.raises(EnvironmentMismatch, match="cannot be imported"):
        OpenVinoRunner(tiny_bundle.onnx(tiny_bundle.graph()))


def test_a_graph_that_it_refuses_is_run_by_onnxruntime(
    tiny_bundle: Bundle, plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="not an ONNX model"):
        Session(plain_bundle, device="openvino")

    def refuse(*args: Any, **options: Any) -> Any:
        raise BundleError("OpenVINO cannot load the graph")

    monkeypatch.setattr(runners, "OpenVinoRunner", refuse)
    info = Session(tiny_bundle).info
    assert info["runner"] == "onnxruntime"
    assert "no openvino: OpenVINO cannot load the graph" in str(info["why"])


def test_operators_it_does_not_know_are_named() -> None:
    data = small("g (float[1,4] x) => (float[1,4] y) { y = Relu (x) }")
    model = onnx.load_from_string(data)
    model.graph.node[0].domain = "elsewhere"
    with pytest.raises(BundleError, match="OpenVINO cannot load") as caught:
        OpenVinoRunner(model.SerializeToString())
    assert "elsewhere.Relu" in caught.value.details


def test_an_input_that_the_graph_does_not_read_is_left_to_onnxruntime(
    tiny_bundle: Bundle, tiny_bundle_factory: Factory, tiny_inputs: Factory
) -> None:
    model = onnx.load_from_string(tiny_bundle.onnx(tiny_bundle.graph()))
    model.graph.input.append(helper.make_tensor_value_info("present", onnx.TensorProto.FLOAT, [1, 2]))
    masked = tiny_bundle_factory(mask=True)
    graph = masked.graph()
    bundle = Bundle.from_members(
        masked.manifest.__class__(**{**_fields(masked.manifest), "golden": None}),
        {graph.member: model.SerializeToString()},
    )
    with Session(bundle) as session:
        assert session.info["runner"] == "onnxruntime"
        assert "does not take the input present" in str(session.info["why"])
        session.infer(**tiny_inputs())


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_eight_threads_answer_as_one_does(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    for threads in (None, 1, 2):
        with Session(tiny_bundle_factory(size=32), device="openvino", threads=threads) as session:
            inputs = [tiny_inputs(seed=seed, size=32) for seed in range(24)]
            serial = [session.infer(**each).logits for each in inputs]
            with ThreadPoolExecutor(8) as pool:
                parallel = list(pool.map(lambda each: session.infer(**each).logits, inputs * 4))
        for index, found in enumerate(parallel):
            np.testing.assert_array_equal(found, serial[index % len(serial)])


def test_answers_are_not_overwritten_by_later_ones(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    runner = OpenVinoRunner(tiny_bundle.onnx(tiny_bundle.graph()))
    first = runner.run(tiny_inputs(seed=1))["logits"]
    kept = first.copy()
    runner.run(tiny_inputs(seed=2))
    np.testing.assert_array_equal(first, kept)


def test_a_missing_input_is_not_taken_from_the_last_call(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    runner = OpenVinoRunner(tiny_bundle.onnx(tiny_bundle.graph()))
    inputs = tiny_inputs()
    runner.run(inputs)
    with pytest.raises(InputError, match=r"expected \['infrared', 'visible'\]"):
        runner.run({"visible": inputs["visible"]})
    with pytest.raises(InputError, match="OpenVINO refuses"):
        runner.run({**inputs, "visible": np.zeros((1, 3, 2, 2), np.float32)})
    runner.run(inputs)


def test_a_failure_inside_is_typed(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    class Broken:
        def infer(self, *args: Any, **options: Any) -> None:
            raise RuntimeError("out of memory")

    runner = OpenVinoRunner(tiny_bundle.onnx(tiny_bundle.graph()))
    runner._idle.append(Broken())
    with pytest.raises(EdgeferError, match="failed while it ran"):
        runner.run(tiny_inputs())
    assert len(runner._idle) == 1


def test_shapes_and_batches_are_those_of_the_graph(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    bundle = tiny_bundle_factory(batches=(1, 4))
    runner = OpenVinoRunner(bundle.onnx(bundle.graph()))
    assert runner.inputs == {"visible": (None, 3, 8, 8), "infrared": (None, 1, 8, 8)}
    assert set(runner.outputs) == {"logits", "embedding"}
    assert runner.run(tiny_inputs(4))["logits"].shape == (4, 5)


def test_tensors_that_are_merged_keep_their_names() -> None:
    data = small(
        "g (float[1,4] x, float[1,4] z) => (float[1,4] b, float[1,4] a, float[1,4] c, float[2] k)"
        "{ i = Identity (x) a = Relu (i) b = Identity (a) c = Identity (z) k = Identity (w) }",
        w=np.ones(2, np.float32),
    )
    x = np.array([[-1, 0, 1, 2]], np.float32)
    runner = OpenVinoRunner(data)
    assert runner.outputs == ("b", "a", "c", "k")
    found, expected = runner.run({"z": x + 1, "x": x}), OnnxRuntimeRunner(data).run({"x": x, "z": x + 1})
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_half_precision_is_computed_in_float32() -> None:
    weights = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float16)
    data = small(
        "g (float[1,4] x) => (float[1,64] y)"
        "{ h = Cast <to = 10> (x) p = Gemm <transB = 1> (h, w) y = Cast <to = 1> (p) }",
        w=weights,
    )
    runner = OpenVinoRunner(data)
    assert str(runner.compiled.get_property("INFERENCE_PRECISION_HINT")).find("float32") >= 0
    x = np.random.default_rng(1).standard_normal((1, 4)).astype(np.float32)
    exact = x.astype(np.float16).astype(np.float64) @ weights.astype(np.float64).T
    assert np.abs(runner.run({"x": x})["y"] - exact).max() < 5e-3


def test_quantised_layers_run_in_int8(tiny_int8: Quantised) -> None:
    runner = OpenVinoRunner(tiny_int8.data, threads=1)
    executed = runner.compiled.get_runtime_model().get_ops()
    kinds = {
        (op.get_rt_info()["layerType"].astype(str), op.get_rt_info()["runtimePrecision"].astype(str))
        for op in executed
        if "layerType" in op.get_rt_info()
    }
    assert any(layer == "Convolution" and precision in ("i8", "u8") for layer, precision in kinds), kinds
    literal = OnnxRuntimeRunner(tiny_int8.data, optimise=False).run(tiny_int8.feeds)["y"]
    # One step of the quantised input, through weights of at most 1.
    assert np.abs(runner.run(tiny_int8.feeds)["y"] - literal).max() <= 0.05 * np.abs(literal).max()


@dataclass(frozen=True)
class Quantised:
    """A convolution with Q/DQ as the quantiser writes it, and what to feed it."""

    data: bytes
    feeds: dict[str, Any]


@pytest.fixture
def tiny_int8() -> Quantised:
    generator = np.random.default_rng(0)
    data = small(
        "g (float[1,16,8,8] x) => (float[1,16,8,8] y)"
        "{ q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)"
        "  w = DequantizeLinear <axis = 0> (wq, ws, wz)"
        "  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (d, w, b) y = Relu (c) }",
        s=np.float32(1 / 127),
        z=np.int8(0),
        wq=generator.integers(-127, 128, (16, 16, 3, 3)).astype(np.int8),
        ws=np.full(16, 1 / 1000, np.float32),
        wz=np.zeros(16, np.int8),
        b=generator.standard_normal(16).astype(np.float32),
    )
    return Quantised(data, {"x": generator.random((1, 16, 8, 8), np.float32)})


def test_functions_of_a_model_are_inlined() -> None:
    model = parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 19, "edgefer" : 1]>'
        "g (float[1,4] x) => (float[1,4] y) { y = edgefer.Twice (x) }"
        '<domain: "edgefer", opset_import: ["" : 19]> Twice (X) => (Y) { Y = Add (X, X) }'
    )
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(OpenVinoRunner(model.SerializeToString()).run({"x": x})["y"], 2 * x)


@pytest.mark.parametrize(
    ("cpus", "threads", "streams", "total"), [(2, 1, 2, 2), (2, 2, 1, 2), (8, 3, 2, 6), (64, 1, 8, 8), (2, 16, 1, 16)]
)
def test_streams_share_the_cpus(
    cpus: int, threads: int, streams: int, total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runner, "_cpus", lambda: cpus)
    found = openvino_runner._properties(threads, profile=False)
    assert (found["NUM_STREAMS"], found["INFERENCE_NUM_THREADS"]) == (streams, total)
    assert "INFERENCE_NUM_THREADS" not in openvino_runner._properties(None, profile=False)


def test_a_profile_counts_layers(tiny_bundle: Bundle, tiny_inputs: Factory, tmp_path: Path) -> None:
    request = runners.RunnerRequest(tiny_bundle, tiny_bundle.graph(), 1, True, profile=tmp_path)
    runner = runners.open_runner("openvino", request).runner
    assert isinstance(runner, OpenVinoRunner)
    asked = runner.compiled.create_infer_request()
    asked.infer(tiny_inputs())
    assert len(asked.profiling_info) > 3


def test_it_reports_to_nobody_and_leaves_no_file(tiny_bundle_path: Path, tmp_path: Path) -> None:
    script = (
        "import sys, edgefer\n"
        f"edgefer.load({str(tiny_bundle_path)!r}, device='openvino')\n"
        "print(sorted(name for name in sys.modules if name.startswith('openvino_telemetry')))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def head(width: int = 64, classes: int = 5) -> Quantised:
    """Two quantised matrix products with a ReLU and a batch norm between them, as the heads of the networks have."""
    generator = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return generator.integers(-127, 128, shape).astype(np.int8)

    data = small(
        f"g (float[1,128] x) => (float[1,{classes}] y)"
        "{ q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) v = DequantizeLinear <axis = 0> (w, ws, wz)"
        "  a = Gemm <transB = 1> (d, v, b) r = Relu (a) n = BatchNormalization (r, scale, offset, mean, variance)"
        "  p = QuantizeLinear (n, t, z) e = DequantizeLinear (p, t, z) u = DequantizeLinear <axis = 0> (k, ks, kz)"
        "  y = Gemm <transB = 1> (e, u, c) }",
        s=np.float32(0.05),
        z=np.int8(0),
        w=weights(width, 128),
        ws=generator.uniform(7e-4, 1.7e-3, width).astype(np.float32),
        wz=np.zeros(width, np.int8),
        b=generator.standard_normal(width).astype(np.float32),
        scale=generator.uniform(0.8, 1, width).astype(np.float32),
        offset=generator.standard_normal(width).astype(np.float32) / 10,
        mean=generator.uniform(0, 2, width).astype(np.float32),
        variance=generator.uniform(0.2, 3, width).astype(np.float32),
        t=np.float32(0.04),
        k=weights(classes, width),
        ks=np.full(classes, 1e-3, np.float32),
        kz=np.zeros(classes, np.int8),
        c=generator.standard_normal(classes).astype(np.float32),
    )
    return Quantised(data, {"x": (0.05 * generator.integers(0, 128, (1, 128))).astype(np.float32)})


@pytest.mark.parametrize("threads", [1, 2, None])
def test_quantised_products_in_a_row_answer_as_written(threads: int | None) -> None:
    # OpenVINO 2026.4 fuses them into one loop that is wrong by five orders of magnitude.
    network = head()
    literal = OnnxRuntimeRunner(network.data, optimise=False).run(network.feeds)["y"]
    found = OpenVinoRunner(network.data, threads=threads).run(network.feeds)["y"]
    np.testing.assert_allclose(found, literal, atol=0.02)


def test_only_products_in_a_row_cost_the_fused_loops(tiny_int8: Quantised) -> None:
    def quantises(data: bytes) -> bool:
        return openvino_runner._quantises_products(shared_core().read_model(data))

    assert quantises(head().data)
    assert not quantises(tiny_int8.data)
    assert not quantises(
        small(
            "g (float[1,4] x) => (float[1,4] y) { a = MatMul (x, w) r = Relu (a) y = MatMul (r, w) }",
            w=np.eye(4, dtype=np.float32),
        )
    )


def test_a_version_without_that_property_is_taken_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runner, "_FUSED_LOOPS", "NO_SUCH_PROPERTY")
    assert OpenVinoRunner(head().data).outputs == ("y",)


def expecting(bundle: Bundle, move: float, *, quantised_by: float = 0.0) -> Bundle:
    """The bundle expecting answers that are off by `move`, and saying that quantising moved them by so much."""
    golden = bundle.manifest.golden
    assert golden is not None
    right = bundle.array(golden.expected["logits"])
    members = {name: bundle.member(name) for name in bundle.members}
    members[golden.expected["logits"]] = encode_array((right + move).astype(np.float32))
    members[golden.reference["logits"]] = encode_array((right + move + quantised_by).astype(np.float32))
    return Bundle.from_members(msgspec.structs.replace(bundle.manifest, members={}), members)


def test_answers_that_are_not_the_bundles_are_refused(tiny_bundle: Bundle) -> None:
    wrong = expecting(tiny_bundle, 1.0)
    with pytest.raises(BundleError, match="output 'logits' differs from the expected by") as caught:
        Session(wrong, device="openvino")
    assert "onnxruntime" in caught.value.hint
    info = Session(wrong).info
    assert info["runner"] == "onnxruntime"
    assert "no openvino: output 'logits' differs" in str(info["why"])
    info = Session(tiny_bundle).info
    assert info["runner"] == "openvino"
    assert info["seconds"]["self-check"] > 0  # type: ignore[index]


def test_as_much_as_quantising_moves_an_answer_is_allowed(tiny_bundle: Bundle) -> None:
    range_ = float(np.abs(tiny_bundle.array("golden/expected.npy")).max())
    assert Session(expecting(tiny_bundle, 0.01 * range_, quantised_by=0.02 * range_)).info["runner"] == "openvino"
    assert Session(expecting(tiny_bundle, 0.03 * range_, quantised_by=0.02 * range_)).info["runner"] == "onnxruntime"


@pytest.mark.parametrize("options", [{"mask": True}, {"batches": (3,)}, {"batches": (1, 4)}, {"golden": 0}])
def test_bundles_of_all_kinds_pass_the_check(tiny_bundle_factory: Factory, options: dict[str, Any]) -> None:
    assert Session(tiny_bundle_factory(**options), threads=1).info["runner"] == "openvino"


INTERRUPTED = """
import os, signal, sys, time
from edgefer.runtime.session import Session

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever it was in the parent
first = Session(sys.argv[1], device="openvino")
second = Session(sys.argv[1], device="openvino")
first.close()
del first
second.close()
del second
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_after_two_sessions_is_an_interrupt_and_no_crash(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tiny.edgefer"
    tiny_bundle.write(path)
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
