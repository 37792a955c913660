"""A session of two graphs: when the saliency graph runs, how its map moves, and what a bundle must say about it.

The tiny bundle has a saliency graph that answers the brightness of 4x4 pixels, and a classifier whose logits are
W mean(visible * saliency) + b.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import edgefer  # noqa: E402
from edgefer import SaliencySession  # noqa: E402
from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.bundle.manifest import (  # noqa: E402
    BudgetSpec,
    GateSpec,
    GraphSpec,
    ImageSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    Provenance,
    SaliencySpec,
)
from edgefer.engine.driver import CudaDriver, Gpu  # noqa: E402
from edgefer.errors import BundleError, DeviceError, EdgeferWarning, InputError, UsageError  # noqa: E402
from edgefer.runtime import fallback, runners  # noqa: E402
from edgefer.runtime import saliency as runtime  # noqa: E402
from edgefer.runtime.gpu_settings import GpuSettings  # noqa: E402
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner  # noqa: E402
from edgefer.runtime.saliency_map import MapMaker, SaliencyMap  # noqa: E402

LABELS = ("angry", "happy", "neutral", "sad", "surprise")
SIDE = 16
EVERY = 3
WEIGHTS = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def saved(
    nodes: list[Any], inputs: dict[str, tuple[Any, ...]], outputs: dict[str, tuple[Any, ...]], **weights: Any
) -> bytes:
    def values(named: dict[str, tuple[Any, ...]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in named.items()]

    initialisers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class CountedSession(edgefer.Session):
    """A session that knows how many of its kind are open."""

    open = 0

    def __init__(self, *given: Any, **how: Any) -> None:
        super().__init__(*given, **how)
        CountedSession.open += 1

    def close(self) -> None:
        super().close()
        CountedSession.open -= 1


def maker_onnx(*, inverse: bool = False) -> bytes:
    """Brightness of 4x4 pixels, or one over it."""
    nodes = [
        helper.make_node("Conv", ["image", "grey"], ["g"]),
        helper.make_node("AveragePool", ["g"], ["a" if inverse else "saliency"], kernel_shape=[4, 4], strides=[4, 4]),
    ]
    if inverse:
        nodes.append(helper.make_node("Reciprocal", ["a"], ["saliency"]))
    grey = np.full((1, 3, 1, 1), 1 / 3, np.float32)
    return saved(nodes, {"image": (1, 3, SIDE, SIDE)}, {"saliency": (1, 1, 4, 4)}, grey=grey)


def classifier_onnx(batch: int | str) -> bytes:
    nodes = [
        helper.make_node("Mul", ["visible", "map"], ["x"]),
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "W"], ["logits"], transB=1),
    ]
    inputs = {"visible": (batch, 3, SIDE, SIDE), "map": (batch, 1, SIDE, SIDE)}
    return saved(nodes, inputs, {"logits": (batch, 5)}, W=WEIGHTS)


def manifest(batches: tuple[int, ...] = (1,)) -> Manifest:
    classifier = GraphSpec(
        role="visible",
        member="graphs/visible.onnx",
        inputs=(
            InputSpec(name="visible", role="visible", shape=(1, 3, SIDE, SIDE), image=ImageSpec(colour="rgb")),
            InputSpec(name="map", role="saliency", shape=(1, 1, SIDE, SIDE), image=ImageSpec(colour="grey")),
        ),
        outputs=(OutputSpec(name="logits", role="logits", shape=(1, 5)),),
        batches=batches,
    )
    maker = GraphSpec(
        role="saliency",
        member="graphs/saliency.onnx",
        inputs=(InputSpec(name="image", role="visible", shape=(1, 3, SIDE, SIDE), image=ImageSpec(colour="bgr")),),
        outputs=(OutputSpec(name="saliency", role="other", shape=(1, 1, 4, 4)),),
        rate=1 / EVERY,
    )
    return Manifest(
        network=NetworkSpec(name="tiny"),
        graphs=(classifier, maker),
        labels=LABELS,
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="A test.", budget=BudgetSpec()),
        provenance=Provenance(created="2026-01-01T00:00:00+00:00"),
        saliency=SaliencySpec(input="map", weight=1.0),
    )


def made(said: Manifest | None = None, *, batches: tuple[int, ...] = (1,), inverse: bool = False) -> Bundle:
    batch: int | str = 1 if batches == (1,) else "batch"
    members = {"graphs/visible.onnx": classifier_onnx(batch), "graphs/saliency.onnx": maker_onnx(inverse=inverse)}
    return Bundle.from_members(said or manifest(batches), members)


def session(bundle: Bundle | None = None, **how: Any) -> SaliencySession:
    return SaliencySession(bundle or made(), device="onnxruntime", threads=1, **how)


def frame(seed: int = 0, shape: tuple[int, ...] = (SIDE, SIDE, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8)


def test_the_saliency_graph_runs_on_every_kth_frame() -> None:
    with session() as following:
        assert following.every == EVERY
        ages = [int(following.infer_images(visible=frame(n)).outputs["saliency_age"]) for n in range(8)]
        seen = following.info["saliency"]
    assert ages == [0, 1, 2, 0, 1, 2, 0, 1]
    assert isinstance(seen, dict)
    assert (seen["frames"], seen["runs"], seen["age"], seen["every"]) == (8, 3, 1, EVERY)
    assert seen["graph"] == "saliency"


def test_an_answer_rests_on_the_weighted_pixels() -> None:
    image = frame(1)
    with session(every=1) as following:
        answer = following.infer_images(visible=image)
    pixels = image[..., ::-1].astype(np.float64) / 255
    cells = pixels.mean(2).reshape(4, 4, 4, 4).mean((1, 3))
    cells /= cells.max()
    centres = np.clip((np.arange(SIDE) + 0.5) / 4 - 0.5, 0, 3)
    rows = np.array([np.interp(centres, range(4), column) for column in cells.T]).T
    saliency = np.array([np.interp(centres, range(4), row) for row in rows])
    expected = WEIGHTS.astype(np.float64) @ (pixels * saliency[..., None]).mean((0, 1))
    # A code of 16 bits for each value of the map, and sums of 256 float32 products.
    np.testing.assert_allclose(answer.logits, expected, atol=2e-5)
    np.testing.assert_allclose(answer.outputs["saliency"], saliency, atol=2e-5)
    assert answer.label == LABELS[int(expected.argmax())]


def test_between_runs_the_map_is_that_of_the_last_one() -> None:
    with session() as following:
        first = following.infer_images(visible=frame(1)).outputs["saliency"]
        second = following.infer_images(visible=frame(2)).outputs["saliency"]
        following.infer_images(visible=frame(3))
        fourth = following.infer_images(visible=frame(2)).outputs["saliency"]
    assert np.array_equal(first, second)
    assert not np.array_equal(first, fourth)


def test_a_face_that_moves_by_whole_pixels_gets_the_very_same_answer() -> None:
    face = frame(4, (40, 32, 3))
    answers = []
    with session(every=10) as following:
        for x, y in ((5, 7), (22, 1), (60, 50)):
            image = frame(x, (100, 120, 3))
            image[y : y + 40, x : x + 32] = face
            answers.append(following.infer_images(visible=image, box=(x, y, 32, 40)))
    assert [int(each.outputs["saliency_age"]) for each in answers] == [0, 1, 2]
    for each in answers[1:]:
        assert np.array_equal(each.logits, answers[0].logits)
        assert np.array_equal(each.outputs["saliency"], answers[0].outputs["saliency"])


def test_a_box_is_the_same_as_the_crop() -> None:
    image = frame(5, (100, 120, 3))
    with session(every=1) as following:
        boxed = following.infer_images(visible=image, box=(10, 20, 48, 40))
        cropped = following.infer_images(visible=np.ascontiguousarray(image[20:60, 10:58]))
        rgb = following.infer_images(visible=image[..., ::-1], box=(10, 20, 48, 40), colour="rgb")
    assert np.array_equal(boxed.logits, cropped.logits)
    assert np.array_equal(boxed.logits, rgb.logits)


def test_another_face_needs_a_reset() -> None:
    with session(every=100) as following:
        following.infer_images(visible=frame(1))
        following.reset()
        info = following.info["saliency"]
        assert isinstance(info, dict)
        assert info["age"] == -1
        after = following.infer_images(visible=frame(2))
    with session() as fresh:
        expected = fresh.infer_images(visible=frame(2))
    assert int(after.outputs["saliency_age"]) == 0
    assert np.array_equal(after.logits, expected.logits)


def test_a_run_can_be_put_off_and_asked_for() -> None:
    with session() as following:
        without = following.infer_images(visible=frame(1), run=False)
        ages = [
            int(following.infer_images(visible=frame(1), run=run).outputs["saliency_age"])
            for run in (None, None, False, False, False, None, True, None)
        ]
    assert int(without.outputs["saliency_age"]) == -1
    assert (without.outputs["saliency"] == 1).all()
    pixels = frame(1)[..., ::-1].astype(np.float64) / 255
    np.testing.assert_allclose(without.logits, WEIGHTS.astype(np.float64) @ pixels.mean((0, 1)), atol=1e-5)
    # The third frame without a run would have been the one for it: it stays due until it is made up for.
    assert ages == [0, 1, 2, 3, 4, 0, 0, 1]


def test_an_empty_map_reaches_the_classifier_as_it_is() -> None:
    with session() as following:
        answer = following.infer_images(visible=np.zeros((SIDE, SIDE, 3), np.uint8))
    assert int(answer.outputs["saliency_age"]) == 0
    assert not answer.outputs["saliency"].any()


def test_a_map_that_is_not_finite_leaves_the_session_as_it_was() -> None:
    with session(made(inverse=True)) as following:
        with pytest.raises(InputError, match="not finite"):
            following.infer_images(visible=np.zeros((SIDE, SIDE, 3), np.uint8))
        answer = following.infer_images(visible=frame(1))
        info = following.info["saliency"]
    assert int(answer.outputs["saliency_age"]) == 0
    assert isinstance(info, dict)
    assert (info["frames"], info["runs"]) == (1, 1)


@pytest.mark.parametrize("batches", [(1,), (1, 4)])
def test_several_frames_are_answered_as_one_after_the_other(batches: tuple[int, ...]) -> None:
    bundle = made(batches=batches)
    frames = [frame(n, (40, 40, 3)) for n in range(7)]
    boxes = [None, (0, 0, 30, 30), (5, 5, 30, 30), None, (-5, 0, 20, 20), None, None]
    with session(bundle) as following:
        together = following.infer_batch(frames, boxes)
    with session(bundle) as following:
        apart = [following.infer_images(visible=image, box=box) for image, box in zip(frames, boxes, strict=True)]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-6)
        assert one.outputs["saliency_age"] == other.outputs["saliency_age"]


def test_threads_share_one_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    run = MapMaker.__call__

    def slow(maker: MapMaker, *given: Any, **how: Any) -> SaliencyMap:
        # Long enough for the other threads to find the map missing, if nothing makes them wait.
        time.sleep(0.005)
        return run(maker, *given, **how)

    monkeypatch.setattr(MapMaker, "__call__", slow)
    with session() as following, ThreadPoolExecutor(8) as pool:
        ages = list(
            pool.map(lambda n: int(following.infer_images(visible=frame(n)).outputs["saliency_age"]), range(30))
        )
        info = following.info["saliency"]
    assert sorted(ages) == sorted([0, 1, 2] * 10)
    assert isinstance(info, dict)
    assert (info["frames"], info["runs"]) == (30, 10)


def test_a_closed_session_says_so() -> None:
    following = session()
    following.close()
    following.close()
    with pytest.raises(UsageError, match="closed"):
        following.infer_images(visible=frame())
    with pytest.raises(UsageError, match="closed"):
        following.infer_batch([])
    with pytest.raises(UsageError, match="closed"), following:
        pass


@pytest.mark.parametrize("wrong", ["image", "box", "colour"])
def test_a_batch_with_a_frame_that_cannot_be_counts_none(wrong: str) -> None:
    frames, boxes = [frame(n) for n in range(4)], [None, None, None, None]
    how: dict[str, Any] = {}
    if wrong == "image":
        frames[2] = frames[2].astype(np.float32)
    elif wrong == "box":
        boxes[2] = (100, 100, 5, 5)  # type: ignore[call-overload]
    else:
        how = {"colour": "hsv"}
    with session() as following:
        following.infer_images(visible=frame(9))
        with pytest.raises(InputError, match=f"^frame {0 if wrong == 'colour' else 2}: "):
            following.infer_batch(frames, boxes, **how)
        info = following.info["saliency"]
        assert isinstance(info, dict)
        assert (info["frames"], info["runs"], info["age"]) == (1, 1, 0)
        if wrong == "colour":
            with pytest.raises(InputError, match="colour order"):
                following.infer_images(visible=frame(), run=False, **how)
            assert following.info["saliency"] == info


def test_a_map_in_a_batch_that_is_not_finite_names_its_frame() -> None:
    with session(made(inverse=True), every=1) as following:
        with pytest.raises(InputError, match=r"^frame 1: .*not finite"):
            following.infer_batch([frame(1), np.zeros((SIDE, SIDE, 3), np.uint8), frame(2)])
        info = following.info["saliency"]
    assert isinstance(info, dict)
    assert (info["frames"], info["runs"], info["age"]) == (1, 1, 0)


def test_an_input_may_be_called_as_an_argument_of_python_is() -> None:
    said = manifest()
    classifier, maker = said.graphs
    inputs = (msgspec.structs.replace(classifier.inputs[0], name="self"), classifier.inputs[1])
    said = msgspec.structs.replace(said, graphs=(msgspec.structs.replace(classifier, inputs=inputs), maker))
    model = onnx.load_model_from_string(classifier_onnx(1))
    model.graph.input[0].name = model.graph.node[0].input[0] = "self"
    members = {"graphs/visible.onnx": model.SerializeToString(), "graphs/saliency.onnx": maker_onnx()}
    with session(Bundle.from_members(said, members)) as following, session() as other:
        assert np.array_equal(
            following.infer_images(visible=frame()).logits, other.infer_images(visible=frame()).logits
        )


def test_both_graphs_are_closed_when_the_face_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    said = manifest()
    classifier, maker = said.graphs
    inputs = (msgspec.structs.replace(classifier.inputs[0], image=None), classifier.inputs[1])
    said = msgspec.structs.replace(said, graphs=(msgspec.structs.replace(classifier, inputs=inputs), maker))
    monkeypatch.setattr(runtime, "Session", CountedSession)
    monkeypatch.setattr(CountedSession, "open", 0)
    with pytest.raises(InputError, match=r"'visible' .* is not one that images can be made into"):
        session(made(said))
    assert CountedSession.open == 0


def test_the_first_graph_is_closed_when_the_second_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = edgefer.Session.close
    monkeypatch.setattr(edgefer.Session, "close", lambda self: (closed.append(self.graph.role), close(self))[0])
    said = manifest()
    broken = Bundle.from_members(said, {"graphs/visible.onnx": b"no graph", "graphs/saliency.onnx": maker_onnx()})
    with pytest.raises(BundleError):
        session(broken)
    assert closed == ["saliency"]
    closed.clear()
    session().close()
    assert closed == ["visible", "saliency"]


def test_both_graphs_get_what_may_be_taken_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[runners.RunnerRequest] = []

    def opens(request: runners.RunnerRequest) -> OnnxRuntimeRunner:
        asked.append(request)
        return OnnxRuntimeRunner(request.bundle.onnx(request.graph))

    entry = runners.RunnerEntry("tensorrt", "tensorrt", lambda: None, opens)
    monkeypatch.setattr(runners, "RUNNERS", (entry, *runners.RUNNERS[1:]))
    gpu = GpuSettings(priority="low")
    with SaliencySession(made(), device="tensorrt", gpu=gpu) as following, session() as on_cpu:
        image = frame()
        found = following.infer_images(visible=image)
        np.testing.assert_array_equal(found.logits, on_cpu.infer_images(visible=image).logits)
        saliency: Any = following.info["saliency"]
        assert (following.info["device"], saliency["device"]) == ("tensorrt", "tensorrt")
    assert [(str(each.graph.role), each.gpu) for each in asked] == [("saliency", gpu), ("visible", gpu)]


def test_a_gpu_that_neither_graph_uses_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(request: runners.RunnerRequest) -> OnnxRuntimeRunner:
        raise DeviceError("cuInit failed: CUDA_ERROR_UNKNOWN")

    entry = runners.RunnerEntry("tensorrt", "tensorrt", lambda: None, refuses)
    monkeypatch.setattr(runners, "RUNNERS", (entry, *runners.RUNNERS[1:]))
    gpu = Gpu(name="Orin", compute_capability="8.7", memory_bytes=1 << 30)
    monkeypatch.setattr(fallback, "cuda_driver", lambda: CudaDriver(version="12.6", gpus=(gpu,)))
    for _ in range(2):
        with pytest.warns(EdgeferWarning, match="cuInit failed") as caught:
            SaliencySession(made())
        assert [each.filename for each in caught] == [__file__]


def test_what_cannot_be_is_refused() -> None:
    alone = msgspec.structs.replace(manifest(), saliency=None)
    with pytest.raises(InputError, match="no saliency graph that serves another"):
        session(made(alone))
    with pytest.raises(UsageError, match="every 0 frames"):
        session(every=0)
    with session() as following:
        with pytest.raises(InputError, match="2 frames and 1 boxes"):
            following.infer_batch([frame(), frame()], [None])
        with pytest.raises(InputError, match="no pixel of an image"):
            following.infer_images(visible=frame(), box=(100, 100, 5, 5))
        with pytest.raises(InputError, match="a NoneType"):
            following.infer_images(visible=None)  # type: ignore[arg-type]


def test_a_session_of_one_graph_still_takes_tensors() -> None:
    tensors = {"visible": np.ones((1, 3, SIDE, SIDE), np.float32), "map": np.ones((1, 1, SIDE, SIDE), np.float32)}
    with edgefer.load(made(), device="onnxruntime") as network:
        found = network.infer(**tensors)
        with pytest.raises(InputError, match="'map' \\(saliency\\) is missing"):
            network.infer_images(visible=frame())
    np.testing.assert_allclose(found.logits, WEIGHTS.sum(1), rtol=1e-5)


def _changed(**changes: Any) -> Manifest:
    said = manifest()
    if "weight" in changes or "input" in changes:
        fields = {"input": "map", "weight": 1.0, **changes}
        return msgspec.structs.replace(said, saliency=SaliencySpec(**fields))
    classifier, maker = said.graphs
    if "map" in changes:
        inputs = (classifier.inputs[0], msgspec.structs.replace(classifier.inputs[1], **changes["map"]))
        return msgspec.structs.replace(said, graphs=(msgspec.structs.replace(classifier, inputs=inputs), maker))
    return msgspec.structs.replace(said, graphs=(classifier, msgspec.structs.replace(maker, **changes)))


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (_changed(weight=1.5), "weight of the saliency map is 1.5"),
        (_changed(weight=float("nan")), "weight of the saliency map is nan"),
        (_changed(input="elsewhere"), "goes to the input 'elsewhere', which 0 graphs have"),
        (_changed(role="other"), "no graph has the role 'saliency'"),
        (_changed(rate=1e-310), "has the rate 1e-310; it runs once a frame"),
        (_changed(rate=2.0), "has the rate 2.0; it runs once a frame"),
        (_changed(map={"role": "other"}), "of role 'other'"),
        (_changed(map={"image": None}), "expected an image"),
        (_changed(map={"shape": (1, 3, SIDE, SIDE)}), "expected an image"),
        (_changed(outputs=(OutputSpec(name="saliency", role="other", shape=(1, 16)),)), "gives no map"),
        (_changed(inputs=()), "has 0 inputs; expected one"),
    ],
)
def test_a_manifest_that_contradicts_itself_about_saliency_is_refused(said: Manifest, fault: str) -> None:
    with pytest.raises(BundleError, match="contradicts itself") as caught:
        made(said)
    assert fault in caught.value.details
