"""A session answers as the network does, from any thread, until it is closed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgefer
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import BundleError, EnvironmentMismatch, InputError, UsageError
from edgefer.runtime import runners
from edgefer.runtime.estimate import softmax
from edgefer.runtime.preprocess import Preprocessor
from edgefer.runtime.session import Session

pytest.importorskip("onnxruntime")

Factory = Callable[..., Any]
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def session(tiny_bundle: Bundle) -> Session:
    return Session(tiny_bundle)


def test_it_answers_as_the_network_does(session: Session, tiny_inputs: Factory, tiny_logits: Factory) -> None:
    inputs = tiny_inputs()
    logits = tiny_logits(inputs)[0]
    answer = session.infer(**inputs)
    np.testing.assert_allclose(answer.logits, logits, rtol=1e-5, atol=1e-5)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(answer.probabilities, probabilities, rtol=1e-4)
    assert answer.index == int(logits.argmax())
    assert answer.label == session.labels[answer.index] == answer.labels[answer.index]
    assert answer.confidence == pytest.approx(probabilities.max(), rel=1e-4)
    assert answer.modalities == ("visible", "infrared")
    assert answer.probabilities.dtype == answer.logits.dtype == np.float32
    assert set(answer.outputs) == {"embedding"}
    assert answer.outputs["embedding"].shape == (8,)


def test_literal_evaluation_answers_the_same(tiny_bundle: Bundle, tiny_inputs: Factory, tiny_logits: Factory) -> None:
    inputs = tiny_inputs()
    with Session(tiny_bundle, optimise=False, threads=1) as session:
        np.testing.assert_allclose(session.infer(**inputs).logits, tiny_logits(inputs)[0], rtol=1e-5, atol=1e-5)
        assert session.info["optimise"] is False
        assert session.info["threads"] == 1


def test_temperature_divides_the_logits(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    members = {name: tiny_bundle.member(name) for name in tiny_bundle.members}
    warm = Session(Bundle.from_members(replace(tiny_bundle.manifest, temperature=2.5), members))
    answer = warm.infer(**tiny_inputs())
    scaled = answer.logits.astype(float) / 2.5
    np.testing.assert_allclose(answer.probabilities, np.exp(scaled) / np.exp(scaled).sum(), rtol=1e-5)


def test_softmax_does_not_overflow() -> None:
    logits = [1e4, 1e4 - 1, -1e4, 88.0, 3e38]
    assert softmax(logits) == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(softmax(logits[:2]), 1 / (1 + np.exp([-1.0, 1.0])), rtol=1e-12)
    np.testing.assert_allclose(softmax([0.0] * 4, 3.0), [0.25] * 4)
    np.testing.assert_allclose(softmax([-3e38, -3e38], 1e-3), [0.5, 0.5])


def test_eight_threads_answer_as_one(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    session = Session(tiny_bundle_factory(size=32), threads=2)
    examples = [tiny_inputs(seed=seed, size=32) for seed in range(64)]
    serial = [session.infer(**example) for example in examples]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for expected, found in zip(serial, pool.map(lambda each: session.infer(**each), examples), strict=True):
                np.testing.assert_array_equal(found.logits, expected.logits)
                np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_images_are_preprocessed_as_the_manifest_says(tiny_bundle: Bundle, session: Session) -> None:
    pytest.importorskip("cv2")
    generator = np.random.default_rng(0)
    visible = generator.integers(0, 256, (72, 128, 3), np.uint8)
    infrared = generator.integers(0, 65536, (48, 64), np.uint16)
    specs = tiny_bundle.graph().inputs
    for colour in ("bgr", "rgb"):
        expected = session.infer(
            visible=Preprocessor(specs[0])(visible, colour=colour), infrared=Preprocessor(specs[1])(infrared)
        )
        found = session.infer_images(visible=visible, infrared=infrared, colour=colour)
        np.testing.assert_array_equal(found.logits, expected.logits)


def test_images_that_the_network_does_not_take(tiny_bundle: Bundle) -> None:
    members = {name: tiny_bundle.member(name) for name in tiny_bundle.members}
    graph = tiny_bundle.graph()
    inputs = (graph.inputs[0], replace(graph.inputs[1], image=None))
    manifest = replace(tiny_bundle.manifest, graphs=(replace(graph, inputs=inputs),))
    session = Session(Bundle.from_members(manifest, members))
    with pytest.raises(InputError, match="takes no infrared image") as caught:
        session.infer_images(infrared=np.zeros((9, 9), np.uint8))
    assert "visible" in caught.value.hint


def test_tensors_go_by_name_or_by_role(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    # A foreign graph whose names say the opposite of its roles: the name wins.
    names = {"visible": "infrared", "infrared": "heat", "present": "present"}
    session = Session(tiny_bundle_factory(names=names))
    inputs = tiny_inputs()
    by_name = session.infer(infrared=inputs["visible"], heat=inputs["infrared"])
    by_role = session.infer(visible=inputs["visible"], heat=inputs["infrared"])
    np.testing.assert_array_equal(by_name.logits, by_role.logits)
    with pytest.raises(InputError, match="given twice"):
        session.infer(infrared=inputs["visible"], visible=inputs["visible"], heat=inputs["infrared"])


def test_a_missing_camera_is_masked_where_the_network_takes_a_mask(
    tiny_bundle_factory: Factory, tiny_inputs: Factory, tiny_logits: Factory
) -> None:
    session = Session(tiny_bundle_factory(mask=True))
    inputs = tiny_inputs(mask=True)
    cameras = {role: inputs[role] for role in ("visible", "infrared")}
    whole = session.infer(**cameras)
    np.testing.assert_allclose(whole.logits, tiny_logits(inputs, mask=True)[0], rtol=1e-5, atol=1e-5)
    assert whole.modalities == ("visible", "infrared")
    for column, role in enumerate(cameras):
        present = np.zeros((1, 2), np.float32)
        present[0, column] = 1
        expected = tiny_logits({**inputs, "present": present}, mask=True)[0]
        for arguments in ({role: inputs[role]}, {**dict.fromkeys(cameras), role: inputs[role]}):
            alone = session.infer(**arguments)
            np.testing.assert_allclose(alone.logits, expected, rtol=1e-5, atol=1e-5)
            assert alone.modalities == (role,)
        said = session.infer(**cameras, present=present)
        np.testing.assert_allclose(said.logits, expected, rtol=1e-5, atol=1e-5)
        assert said.modalities == (role,)


def test_masks_that_cannot_be(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    session = Session(tiny_bundle_factory(mask=True))
    visible = tiny_inputs()["visible"]
    with pytest.raises(InputError, match="at least one camera"):
        session.infer()
    with pytest.raises(InputError, match="at least one camera"):
        session.infer_images()
    with pytest.raises(InputError, match="'infrared' is present, which is missing"):
        session.infer(visible=visible, present=np.ones((1, 2), np.float32))
    for mask in ([[0, 0]], [[0.5, 0]], [[2, 0]]):
        with pytest.raises(InputError, match="expected 0 or 1"):
            session.infer(visible=visible, present=np.array(mask, np.float32))


def test_a_batch_is_answered_one_by_one_on_a_graph_of_one(session: Session, tiny_inputs: Factory) -> None:
    examples = [tiny_inputs(seed=seed) for seed in range(3)]
    for found, example in zip(session.infer_batch(examples), examples, strict=True):
        np.testing.assert_array_equal(found.logits, session.infer(**example).logits)
    assert session.infer_batch([]) == []


@pytest.mark.parametrize("batches", [(4,), (1, 4), (2, 3)])
def test_a_batch_is_answered_in_the_batches_of_the_graph(
    tiny_bundle_factory: Factory, tiny_inputs: Factory, tiny_logits: Factory, batches: tuple[int, ...]
) -> None:
    session = Session(tiny_bundle_factory(batches=batches))
    runs: list[int] = []
    runner = session._runner
    assert runner is not None
    run = runner.run
    runner.run = lambda feeds: (runs.append(len(feeds["visible"])), run(feeds))[1]  # type: ignore[method-assign]
    examples = [tiny_inputs(seed=seed) for seed in range(6)]
    answers = session.infer_batch(examples)
    assert set(runs) <= set(batches)
    assert len(answers) == 6
    for answer, example in zip(answers, examples, strict=True):
        np.testing.assert_allclose(answer.logits, tiny_logits(example)[0], rtol=1e-5, atol=1e-5)
        assert answer.outputs["embedding"].shape == (8,)
    np.testing.assert_allclose(session.infer(**examples[5]).logits, answers[5].logits, rtol=1e-5)


def test_a_batch_says_which_example_is_wrong(session: Session, tiny_inputs: Factory) -> None:
    with pytest.raises(InputError, match="example 1: input 'infrared'"):
        session.infer_batch([tiny_inputs(), {"visible": tiny_inputs()["visible"]}])


def test_run_gives_every_output_raw(session: Session, tiny_inputs: Factory, tiny_logits: Factory) -> None:
    inputs = tiny_inputs()
    outputs = session.run(inputs)
    assert set(outputs) == {"logits", "embedding"}
    np.testing.assert_allclose(outputs["logits"], tiny_logits(inputs), rtol=1e-5, atol=1e-5)


def test_run_refuses_feeds_that_do_not_match(session: Session, tiny_inputs: Factory) -> None:
    inputs = tiny_inputs()
    with pytest.raises(InputError, match=r"unknown \['heat'\], missing \['infrared'\]"):
        session.run({"visible": inputs["visible"], "heat": inputs["infrared"]})
    with pytest.raises(InputError, match=r"batches \[2\]"):
        session.run(tiny_inputs(count=2))
    with pytest.raises(InputError, match=r"batches \[1, 2\]"):
        session.run({**inputs, "visible": tiny_inputs(count=2)["visible"]})
    with pytest.raises(InputError, match="'visible'"):
        session.run({**inputs, "visible": inputs["visible"].astype(np.float64)})


def test_a_graph_is_chosen_by_its_role(
    tiny_bundle_factory: Factory, tiny_inputs: Factory, tiny_logits: Factory
) -> None:
    bundles = [tiny_bundle_factory(role="fused"), tiny_bundle_factory(role="infrared", seed=9)]
    manifest = replace(bundles[0].manifest, graphs=tuple(bundle.graph() for bundle in bundles), golden=None, members={})
    both = Bundle.from_members(manifest, {bundle.graph().member: bundle.onnx(bundle.graph()) for bundle in bundles})
    inputs = tiny_inputs()
    for role, options in ((None, {}), ("fused", {}), ("infrared", {"seed": 9})):
        with Session(both, graph=role) as session:
            np.testing.assert_allclose(session.infer(**inputs).logits, tiny_logits(inputs, **options)[0], rtol=1e-4)
            assert session.info["graph"] == (role or "fused")
    with pytest.raises(InputError, match="no graph with the role 'saliency'"):
        Session(both, graph="saliency")


def test_a_graph_without_logits_has_raw_outputs_only(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    graph = tiny_bundle.graph()
    manifest = replace(tiny_bundle.manifest, graphs=(replace(graph, outputs=graph.outputs[1:]),), golden=None)
    session = Session(Bundle.from_members(manifest, {graph.member: tiny_bundle.onnx(graph)}))
    with pytest.raises(InputError, match="has no logits"):
        session.infer(**tiny_inputs())
    assert "embedding" in session.run(tiny_inputs())


def test_logits_that_are_not_finite_are_an_error(session: Session, tiny_inputs: Factory) -> None:
    inputs = tiny_inputs()
    with pytest.raises(InputError, match="not finite") as caught:
        session.infer(**{**inputs, "visible": np.full_like(inputs["visible"], 3e38)})
    assert "range" in caught.value.hint


def test_closing(tiny_bundle_path: Path, tiny_inputs: Factory) -> None:
    with edgefer.load(tiny_bundle_path) as session:
        session.infer(**tiny_inputs())
        assert str(session.info["runner"]) in repr(session)
    assert "closed" in repr(session)
    session.close()
    for use in (
        lambda: session.infer(**tiny_inputs()),
        lambda: session.infer_batch([tiny_inputs()]),
        lambda: session.run(tiny_inputs()),
        session.__enter__,
    ):
        with pytest.raises(UsageError, match="closed"):
            use()


def test_closing_while_threads_answer(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    session = Session(tiny_bundle)
    inputs = tiny_inputs()

    def use(_: int) -> str:
        try:
            return session.infer(**inputs).label
        except UsageError as error:
            return error.message

    expected = session.infer(**inputs).label
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(use, each) for each in range(200)]
        session.close()
        assert {answer.result() for answer in answers} <= {expected, "the session is closed"}


def test_info_says_what_answered(tiny_bundle_path: Path, tiny_bundle: Bundle) -> None:
    import onnxruntime

    info = edgefer.load(tiny_bundle_path, device="onnxruntime").info
    assert info["runner"] == "onnxruntime"
    assert "asked for" in str(info["why"])
    assert info["versions"] == {
        "edgefer": edgefer.__version__,
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    assert "auto took cpu" in str(edgefer.load(tiny_bundle_path).info["why"])
    assert info["digest"] == tiny_bundle.digest
    assert info["bundle"] == str(tiny_bundle_path)
    assert "asked for" in str(Session(tiny_bundle, device="cpu").info["why"])
    assert msgspec.json.decode(msgspec.json.encode(info)) == info


def test_devices(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentMismatch, match="'tensorrt' is not available: no tensorrt: no CUDA driver") as caught:
        Session(tiny_bundle, device="tensorrt")
    assert "cpu" in caught.value.hint
    with pytest.raises(UsageError, match="expected one of auto, tensorrt, cpu"):
        Session(tiny_bundle, device="cuda:0")
    for threads in (0, -1, 1.5, 100_000):
        with pytest.raises(UsageError, match="number of threads"):
            Session(tiny_bundle, threads=threads)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="gpu is a dict, expected GpuSettings"):
        Session(tiny_bundle, gpu={"streams": 2})  # type: ignore[arg-type]
    monkeypatch.setattr(runners, "RUNNERS", runners.RUNNERS[:1])
    with pytest.raises(EnvironmentMismatch, match="device 'auto' is not available"):
        Session(tiny_bundle)


def test_a_new_runner_is_one_line_in_the_table(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    request: list[runners.RunnerRequest] = []

    class Constant:
        """Answers ones."""

        versions = {"constant": "1"}  # noqa: RUF012
        inputs = {"visible": (1, 3, 8, 8), "infrared": (1, 1, 8, 8)}  # noqa: RUF012
        outputs = ("logits", "embedding")
        closed = False

        def run(self, feeds: Any) -> dict[str, Any]:
            return {"logits": np.eye(5, dtype=np.float32)[3:4], "embedding": np.zeros((1, 8), np.float32)}

        def close(self) -> None:
            Constant.closed = True

    def open_constant(asked: runners.RunnerRequest) -> Any:
        request.append(asked)
        return Constant()

    entry = runners.RunnerEntry("constant", "gpu", lambda: None, open_constant)
    monkeypatch.setattr(runners, "RUNNERS", (entry, *runners.RUNNERS))
    with Session(tiny_bundle, threads=3) as session:
        assert (
            session.infer(visible=np.zeros((1, 3, 8, 8), np.float32), infrared=np.zeros((1, 1, 8, 8), np.float32)).index
            == 3
        )
        assert session.info["why"] == "auto took gpu"
    assert Constant.closed
    assert (request[0].threads, request[0].graph) == (3, tiny_bundle.graph())


def test_missing_packages_are_named(tiny_bundle: Bundle, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(EnvironmentMismatch, match="OpenCV") as caught:
        session.infer_images(visible=np.zeros((9, 9, 3), np.uint8), infrared=np.zeros((9, 9), np.uint8))
    assert "edgefer[vision]" in caught.value.hint
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentMismatch, match="onnxruntime") as caught:
        Session(tiny_bundle)
    assert "edgefer[cpu]" in caught.value.hint
    assert caught.value.exit_code == 3


def test_graphs_that_are_not_what_the_manifest_says(tiny_bundle: Bundle, plain_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="onnxruntime cannot load"):
        Session(plain_bundle)
    graph = tiny_bundle.graph()
    members = {graph.member: tiny_bundle.onnx(graph)}

    def with_graph(**change: Any) -> Bundle:
        manifest = replace(tiny_bundle.manifest, golden=None, graphs=(replace(graph, **change),))
        return Bundle.from_members(manifest, members)

    wider = replace(graph.inputs[0], shape=(1, 3, 8, 9))
    renamed = replace(graph.inputs[0], name="colour")
    other = replace(graph.outputs[1], name="map")
    for change, says in (
        ({"inputs": (wider, graph.inputs[1])}, r"has the shape \(1, 3, 8, 8\)"),
        ({"inputs": (renamed, graph.inputs[1])}, "declared are"),
        ({"inputs": graph.inputs[:1]}, "declared are"),
        ({"outputs": (graph.outputs[0], other)}, "declared are"),
    ):
        with pytest.raises(BundleError, match=says):
            Session(with_graph(**change))


def test_quantised_graphs_leave_one_optimisation_out(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    real = runners.OnnxRuntimeRunner

    def spy(onnx: bytes, **options: Any) -> Any:
        seen.append(options["disabled"])
        return real(onnx, **options)

    monkeypatch.setattr(runners, "OnnxRuntimeRunner", spy)
    members = {name: tiny_bundle.member(name) for name in tiny_bundle.members}
    for precision in ("fp32", "int8", "int8+fp16"):
        Session(Bundle.from_members(replace(tiny_bundle.manifest, precision=precision), members), device="onnxruntime")
    assert seen == [(), ("WeightBiasQuantization",), ("WeightBiasQuantization",)]


def test_an_image_specification_is_needed_for_images() -> None:
    from edgefer.bundle.manifest import InputSpec

    with pytest.raises(InputError, match="not one that images can be made into"):
        Preprocessor(InputSpec(name="x", role="visible", shape=(1, 3, 8, 8)))
    with pytest.raises(InputError, match="not one that images"):
        Preprocessor(InputSpec(name="x", role="visible", shape=(1, 2, 8, 8), image=ImageSpec(colour="rgb")))
