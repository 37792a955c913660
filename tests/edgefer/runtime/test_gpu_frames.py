"""Frames on a simulated GPU: one graph of copies, kernel, engine and copies, whose views change without a new one."""

from __future__ import annotations

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import session_checks as checks
import simulated_session as tiny
from numpy.typing import NDArray
from session_checks import REPLAY, Setting, names
from simulated_preprocess import ENTRY, register
from simulation import Simulation, simulate

from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import DeviceError, InputError, UsageError
from edgefer.kernels.driver import Driver
from edgefer.kernels.launch import Kernels
from edgefer.kernels.preprocess_frame import Camera, Frame
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.frames import IMAGES
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.gpu_stage import FrameStage, StageCamera, stage_bytes
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.session import Session
from edgefer.runtime.view import View, fitted, over_box, through
from kernels.cases.preprocess_reference import Picture, values_of

SIZE = (8, 8)
SPECS = {str(spec.role): spec for spec in checks.BUNDLES[(1,)].manifest.graphs[0].inputs}
RANDOM = np.random.default_rng(0)
VISIBLE = RANDOM.integers(0, 256, (24, 31, 3), np.uint8)
LUMA, PAIRS = VISIBLE[..., 0].copy(), RANDOM.integers(0, 256, (12, 16, 2), np.uint8)
HEAT = RANDOM.integers(0, 65536, (17, 20), np.uint16)
GREY = HEAT.astype(np.uint8)
BOX = over_box((3.2, 4.1, 20.7, 19.9), SIZE, (24, 31), angle=0.3)
SHEAR = np.array([[2.1, 0.2, 0.3], [-0.1, 1.9, 0.7], [0.01, 0.02, 1.0]])
USUAL = Setting()
SETTINGS = {
    "pinned": USUAL,
    "mapped": Setting(integrated=True),
    "two streams, TensorRT 11": Setting(streams=2, version="11.4.1"),
}


@contextlib.contextmanager
def opened(setting: Setting = USUAL, **simulated: Any) -> Iterator[tuple[Session, Simulation]]:
    """A session on a GPU that has the kernel. At the end everything has to have been given back, in good order."""
    simulation = simulate(integrated=setting.integrated, version=setting.version, **simulated)
    register(simulation.gpu)
    with checks.prepared(simulation, setting) as open_session:
        session = open_session()
        try:
            yield session, simulation
        finally:
            session.close()
        checks.assert_given_back(simulation)


def tensor(role: str, planes: NDArray[Any], view: View | None, frame: Frame | None = None, pairs: Any = None) -> Any:
    """What an input has to be, exactly."""
    spec = SPECS[role]
    kind: Any = "y16" if planes.dtype == np.uint16 else "bgr8" if planes.ndim == 3 else "gray8"
    layout = frame or Frame(kind, *planes.shape[:2])
    assert spec.image is not None
    view = view or fitted(spec.image, SIZE, planes.shape[:2])
    matrix = view.to_source.astype(np.float32).astype(np.float64)
    picture = Picture(layout, planes, pairs, matrix, view.crop, view.samples)
    return values_of(picture, spec.image, spec.shape[1], SIZE)[0][None].astype(np.float32)


def logits(visible: Any, infrared: Any) -> Any:
    return tiny.logits({"visible": visible, "infrared": infrared})[0]


HEAT_TENSOR = tensor("infrared", HEAT, None)
THROUGH = through(SHEAR, SIZE, (24, 31))
FRAMES: dict[str, tuple[Any, Any, Any]] = {
    "BGR": (VISIBLE, None, tensor("visible", VISIBLE, None)),
    "one channel": (LUMA[..., None], None, tensor("visible", LUMA, None)),
    "a face box": (VISIBLE, BOX, tensor("visible", VISIBLE, BOX)),
    "a homography": (VISIBLE, SHEAR, tensor("visible", VISIBLE, THROUGH)),
    "NV12": (Nv12(LUMA, PAIRS), BOX, tensor("visible", LUMA, BOX, Frame("nv12", 24, 31), PAIRS)),
    "NV12, BT.709": (
        Nv12(LUMA, PAIRS, "bt709", full_range=True, site="left"),
        None,
        tensor("visible", LUMA, None, Frame("nv12", 24, 31, matrix="bt709", full_range=True, chroma="left"), PAIRS),
    ),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_every_format_and_view_is_answered(setting: Setting) -> None:
    with opened(setting) as (session, _):
        assert "on the GPU" in session.info["settings"][IMAGES]  # type: ignore[index]
        for name, (frame, view, expected) in FRAMES.items():
            for _ in range(2):
                found = session.infer_images(visible=frame, infrared=HEAT, views={"visible": view})
                np.testing.assert_allclose(found.logits, logits(expected, HEAT_TENSOR), atol=1e-4, err_msg=name)
        found = session.infer_images(visible=VISIBLE[..., ::-1], infrared=GREY, colour="rgb")
        expected = logits(tensor("visible", VISIBLE, None), tensor("infrared", GREY, None))
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)
        assert found.modalities == ("visible", "infrared")
        # Tensors are answered as ever, in between.
        given = tiny.feeds()
        checks.assert_answer(session, given, session.infer(**given))


@pytest.mark.parametrize("integrated", [False, True])
def test_the_graph_has_copies_kernel_engine_and_copies_in_this_order(integrated: bool) -> None:
    with opened(Setting(integrated=integrated)) as (session, simulation):
        with simulation.gpu.recording() as calls:
            session.infer_images(visible=VISIBLE, infrared=HEAT)
        work = ["cuMemcpyHtoDAsync", "cuLaunchKernel", "IExecutionContext.execute_async_v3", "cuMemcpyDtoHAsync"]
        put = [name for name in names(calls) if name in (*work, "cuStreamBeginCapture", "cuGraphLaunch")]
        once = work[1:3] if integrated else work
        assert put == [*once, "cuStreamBeginCapture", *once, "cuGraphLaunch"]
        for seed in range(3):
            frame = np.random.default_rng(seed).integers(0, 256, VISIBLE.shape, np.uint8)
            view = over_box((seed, 2, 20 + seed, 20), SIZE, (24, 31))
            before = simulation.gpu.open()
            with simulation.gpu.recording() as calls:
                found = session.infer_images(visible=frame, infrared=HEAT, views={"visible": view})
            assert names(calls) == REPLAY
            assert simulation.gpu.open() == before
            np.testing.assert_allclose(found.logits, logits(tensor("visible", frame, view), HEAT_TENSOR), atol=1e-4)
        assert captures(session) == 2 + 1


def captures(session: Session) -> int:
    found = session.info["counters"]
    assert isinstance(found, dict)
    return int(found["captures"])


def test_the_fifth_size_takes_the_place_of_the_first() -> None:
    sizes = [(24, 31), (20, 20), (9, 40), (30, 12), (8, 8)]
    frames = {size: np.random.default_rng(size[0]).integers(0, 256, (*size, 3), np.uint8) for size in sizes}

    def answer(session: Session, size: tuple[int, int]) -> None:
        found = session.infer_images(visible=frames[size], infrared=HEAT)
        expected = logits(tensor("visible", frames[size], None), HEAT_TENSOR)
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)

    with opened() as (session, simulation):
        at_first = captures(session)
        for size in sizes[:4]:
            answer(session, size)
        open_with_four = simulation.gpu.open()
        answer(session, sizes[0])
        assert captures(session) == at_first + 4
        answer(session, sizes[4])
        assert simulation.gpu.open() == open_with_four
        # The second was used longest ago, for the first was used again.
        answer(session, sizes[0])
        assert captures(session) == at_first + 5
        answer(session, sizes[1])
        assert captures(session) == at_first + 6
        assert simulation.gpu.open() == open_with_four


def test_a_missing_camera_is_zeros_under_a_mask() -> None:
    network = replace(tiny.tiny().TinyNetwork(), mask=True)
    bundle = tiny.tiny().make_tiny_bundle(network, golden=4, onnx=b"no graph")

    seen: dict[str, Any] = {}

    def function(given: Mapping[str, Any]) -> dict[str, Any]:
        seen.update({name: value.copy() for name, value in given.items()})
        found = tiny.tiny().tiny_reference(network, given).astype(np.float32)
        return {"logits": found, "embedding": np.repeat(found, 2, axis=1)[:, :8]}

    simulation = simulate()
    register(simulation.gpu)
    with tempfile.TemporaryDirectory() as cache, tiny.in_place(simulation, function=function):
        with Session(bundle, device="tensorrt", gpu=GpuSettings(cache=cache)) as session:
            asked: list[tuple[Any, tuple[int, int]]] = [(None, (1, 1))]
            asked += [({"visible": VISIBLE}, (1, 0)), ({"infrared": HEAT}, (0, 1)), (None, (1, 1))]
            for given, mask in asked:
                found = session.infer_images(**(given or {"visible": VISIBLE, "infrared": HEAT}))
                feeds = {
                    "visible": mask[0] * tensor("visible", VISIBLE, None),
                    "infrared": mask[1] * HEAT_TENSOR,
                    "present": np.array([mask], np.float32),
                }
                for name, value in feeds.items():
                    np.testing.assert_allclose(seen[name], value, atol=1e-5)
                np.testing.assert_allclose(found.logits, function(feeds)["logits"][0], atol=1e-4)
                assert len(found.modalities) == sum(mask)
            with pytest.raises(InputError, match="all missing"):
                session.infer_images()
        checks.assert_given_back(simulation)


class Rows:
    """A part of an array in GPU memory, whose rows have gaps."""

    def __init__(self, whole: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> None:
        said = whole.__cuda_array_interface__
        data = (said["data"][0] + offset, False)
        self.__cuda_array_interface__ = {**said, "shape": shape, "strides": strides, "data": data}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_frames_in_gpu_memory_are_read_where_they_are(setting: Setting) -> None:
    with opened(setting) as (session, simulation):
        gpu = simulation.gpu
        producer = gpu.foreign_stream()
        visible, heat = gpu.foreign_array(VISIBLE * 0, producer), gpu.foreign_array(HEAT, None)
        expected = logits(tensor("visible", VISIBLE, BOX), HEAT_TENSOR)
        for number in range(3):
            # Not there yet when the answer is asked for.
            visible.produce(VISIBLE)
            with gpu.recording() as calls:
                found = session.infer_images(visible=visible, infrared=heat, views={"visible": BOX})
            np.testing.assert_allclose(found.logits, expected, atol=1e-4)
            copied = sum(arguments[2] for name, arguments in calls if name == "cuMemcpyHtoDAsync")
            assert copied <= (2 * 256 if number < setting.streams and not setting.integrated else 0)
        assert names(calls)[1:3] == ["cuEventRecord", "cuStreamWaitEvent"]
        counted = session.info["counters"]
        assert isinstance(counted, dict)
        assert counted["bound"] == 6
        assert counted["copied"] == 0
        # A crop of a larger picture, and planes of NV12 with gaps.
        large = gpu.foreign_array(np.pad(VISIBLE, ((2, 3), (4, 5), (0, 0))))
        crop = Rows(large, VISIBLE.shape, (40 * 3, 3, 1), 2 * 40 * 3 + 4 * 3)
        found = session.infer_images(visible=crop, infrared=HEAT, views={"visible": BOX})
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)
        luma = Rows(gpu.foreign_array(np.pad(LUMA, ((0, 0), (0, 33)))), LUMA.shape, (64, 1))
        pairs = Rows(gpu.foreign_array(np.pad(PAIRS, ((0, 0), (0, 16), (0, 0)))), PAIRS.shape, (64, 2, 1))
        found = session.infer_images(visible=Nv12(luma, pairs), infrared=HEAT)
        expected = logits(tensor("visible", LUMA, None, Frame("nv12", 24, 31), PAIRS), HEAT_TENSOR)
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)


def test_a_fifth_place_in_gpu_memory_is_captured_anew() -> None:
    with opened() as (session, simulation):
        arrays = [simulation.gpu.foreign_array(VISIBLE) for _ in range(5)]
        at_first = captures(session)
        for array in (*arrays[:4], *arrays[:4]):
            session.infer_images(visible=array, infrared=HEAT)
        assert captures(session) == at_first + 4
        for array in (arrays[4], arrays[0]):
            session.infer_images(visible=array, infrared=HEAT)
        assert captures(session) == at_first + 6


def test_inputs_of_two_sizes_are_two_launches() -> None:
    simulation = simulate()
    register(simulation.gpu)
    device = CudaDevice(pycuda=simulation.pycuda, driver=Driver(simulation.bindings))
    kernels = Kernels(driver=device.driver)
    heat, grey = SPECS["infrared"].image, SPECS["visible"].image
    assert heat is not None
    assert grey is not None
    cameras = [
        StageCamera("infrared", Camera(Frame("y16", *HEAT.shape), heat, 1), (4, 6)),
        StageCamera("visible", Camera(Frame("bgr8", 24, 31), grey, 3), SIZE),
    ]
    memory = {"infrared": device.allocate(4 * 6 * 4), "visible": device.allocate(3 * 64 * 4)}
    stage = FrameStage(device, kernels, cameras, {role: each.address for role, each in memory.items()})
    assert stage.bytes_on_gpu == stage_bytes(cameras) > VISIBLE.nbytes + HEAT.nbytes
    views = {"infrared": fitted(heat, (4, 6), HEAT.shape), "visible": BOX}
    stream = device.stream()
    with device.current():
        # Before a frame was written there is no picture, and nothing of the frames' memory is read.
        stage.enqueue(stream)
        stream.wait()
        assert (simulation.gpu.view(memory["visible"].address, (3, 8, 8), np.float32) == 0).all()
        stage.write({"visible": (VISIBLE,), "infrared": (HEAT,)}, views)
        stage.enqueue(stream)
        stream.wait()
    assert simulation.gpu.count("cuLaunchKernel") == 4
    found = simulation.gpu.view(memory["visible"].address, (1, 3, 8, 8), np.float32)
    np.testing.assert_allclose(found, tensor("visible", VISIBLE, BOX), atol=1e-5)
    picture = Picture(
        cameras[0].camera.frame,
        HEAT,
        None,
        views["infrared"].to_source,
        views["infrared"].crop,
        views["infrared"].samples,
    )
    found = simulation.gpu.view(memory["infrared"].address, (1, 4, 6), np.float32)
    np.testing.assert_allclose(found, values_of(picture, heat, 1, (4, 6))[0], atol=1e-4)
    stage.close()
    kernels.close()
    device.close()
    checks.assert_given_back(simulation)


def settings_of(session: Session) -> str:
    found = session.info["settings"]
    assert isinstance(found, dict)
    return str(found[IMAGES])


def test_what_the_kernel_does_not_take_goes_over_the_cpu_and_is_said() -> None:
    pytest.importorskip("cv2")
    with opened() as (session, simulation):
        deep = VISIBLE.astype(np.uint16) * 257
        expected = logits(tensor("visible", VISIBLE, BOX), HEAT_TENSOR)
        for _ in range(2):
            with simulation.gpu.recording() as calls:
                found = session.infer_images(visible=deep, infrared=HEAT, views={"visible": BOX})
            np.testing.assert_allclose(found.logits, expected, atol=0.1)
            assert "cuLaunchKernel" not in names(calls)
        assert settings_of(session) == "on the CPU: the visible camera has frames of three channels of 16 bits"
        in_gpu_memory = simulation.gpu.foreign_array(deep)
        with pytest.raises(InputError, match="is in GPU memory, and it is pre-processed on the CPU here"):
            session.infer_images(visible=in_gpu_memory, infrared=HEAT)
        session.infer_images(visible=VISIBLE, infrared=VISIBLE)
        assert settings_of(session).startswith("on the CPU: the infrared camera has frames in bgr8")
        # What it takes goes over the GPU still.
        with simulation.gpu.recording() as calls:
            session.infer_images(visible=VISIBLE, infrared=HEAT)
        assert "cuLaunchKernel" in names(calls)


@pytest.mark.parametrize("changes", [{"equalise": "clahe"}, {"resize": "bicubic"}])
def test_a_manifest_that_the_kernel_cannot_follow(changes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    network, usual = tiny.tiny(), tiny.tiny().tiny_graph

    def changed(of: Any) -> Any:
        graph = usual(of)
        images = [msgspec.structs.replace(spec.image, **changes) for spec in graph.inputs]
        inputs = [msgspec.structs.replace(spec, image=image) for spec, image in zip(graph.inputs, images, strict=True)]
        return msgspec.structs.replace(graph, inputs=tuple(inputs))

    monkeypatch.setattr(network, "tiny_graph", changed)
    monkeypatch.setitem(checks.BUNDLES, (1,), tiny.bundle((1,)))
    with opened(Setting(batches=(1,))) as (session, simulation):
        with simulation.gpu.recording() as calls:
            session.infer_images(visible=VISIBLE, infrared=HEAT)
        assert "cuLaunchKernel" not in names(calls)
        assert next(iter(changes.values())) in settings_of(session)
        with simulation.gpu.recording() as calls:
            session.infer_images(visible=VISIBLE, infrared=HEAT, views={"visible": BOX, "infrared": np.eye(3)})
        # A view says itself how pixels are sampled.
        assert ("cuLaunchKernel" in names(calls)) == ("resize" in changes)


def test_batches_without_a_single_one_go_over_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setitem(checks.BUNDLES, (4,), tiny.bundle((4,)))
    with opened(Setting(batches=(4,))) as (session, _):
        found = session.infer_images(visible=VISIBLE, infrared=HEAT)
        np.testing.assert_allclose(found.logits, logits(tensor("visible", VISIBLE, None), HEAT_TENSOR), atol=0.1)
        assert "batches of 4, and frames come one by one" in settings_of(session)


def test_a_gpu_that_there_is_no_kernel_for() -> None:
    pytest.importorskip("cv2")
    with opened(compute_capability=(7, 5)) as (session, _):
        session.infer_images(visible=VISIBLE, infrared=HEAT)
        assert settings_of(session).startswith("on the CPU: edgefer has no kernels for a GPU of compute capability 7.5")


def test_memory_limit_counts_frames() -> None:
    need = 24 * 31 * 3
    simulation = simulate()
    register(simulation.gpu)
    bundle = checks.BUNDLES[(1,)]
    with tempfile.TemporaryDirectory() as cache, tiny.in_place(simulation):
        with Session(bundle, device="tensorrt", gpu=GpuSettings(cache=cache)) as session:
            plain = int(str(session.info["settings"]["GPU memory"]).split()[0])  # type: ignore[index]
        for limit, fits in ((plain + need + 2048, True), (plain + need, False)):
            settings = GpuSettings(cache=cache, memory_limit=limit)
            with Session(bundle, device="tensorrt", gpu=settings) as session:
                if not fits:
                    with pytest.raises(UsageError, match="memory_limit is") as caught:
                        session.infer_images(visible=VISIBLE, infrared=HEAT)
                    assert "smaller frames" in caught.value.hint
                    continue
                for frame in (VISIBLE, VISIBLE[::-1, :30], VISIBLE):
                    session.infer_images(visible=frame, infrared=HEAT)
        checks.assert_given_back(simulation)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("cuMemAlloc", "CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuMemHostAlloc", "CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuLaunchKernel", "CUDA_ERROR_LAUNCH_FAILED"),
        ("cuGraphLaunch", "CUDA_ERROR_UNKNOWN"),
        ("cuEventSynchronize", "CUDA_ERROR_UNKNOWN"),
    ],
)
def test_after_an_error_frames_are_answered_again(call: str, code: str) -> None:
    with opened() as (session, simulation):
        simulation.gpu.fail(call, code, times=1)
        with pytest.raises(DeviceError, match=code):
            session.infer_images(visible=VISIBLE, infrared=HEAT)
        found = session.infer_images(visible=VISIBLE, infrared=HEAT)
        np.testing.assert_allclose(found.logits, logits(tensor("visible", VISIBLE, None), HEAT_TENSOR), atol=1e-4)


def test_a_refused_capture_is_enqueued_call_by_call(recwarn: pytest.WarningsRecorder) -> None:
    with opened() as (session, simulation):
        simulation.gpu.fail("cuStreamBeginCapture", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        for _ in range(2):
            found = session.infer_images(visible=VISIBLE, infrared=HEAT)
            np.testing.assert_allclose(found.logits, logits(tensor("visible", VISIBLE, None), HEAT_TENSOR), atol=1e-4)
        assert len(recwarn.list) == 1


def test_a_session_that_nobody_closes_gives_frames_back_too() -> None:
    simulation = simulate()
    register(simulation.gpu)
    with checks.prepared(simulation) as open_session:
        session = open_session()
        session.infer_images(visible=VISIBLE, infrared=HEAT)
        del session
        gc.collect()
        checks.assert_given_back(simulation)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a view of no frame": ({"visible": VISIBLE, "views": {"infrared": BOX}}, "no frame of that camera"),
    "a view that is none": ({"visible": VISIBLE, "infrared": HEAT, "views": {"visible": "face"}}, "is a str"),
    "no homography": ({"visible": VISIBLE, "infrared": HEAT, "views": {"visible": np.zeros((3, 3))}}, "invertible"),
    "a camera short": ({"visible": VISIBLE}, "'infrared' .* is missing"),
    "an order of channels": ({"visible": VISIBLE, "infrared": HEAT, "colour": "yuv"}, "expected 'bgr' or 'rgb'"),
    "floats": ({"visible": VISIBLE.astype(np.float32), "infrared": HEAT}, "elements of type float32"),
    "planes apart": ({"visible": "planes apart", "infrared": HEAT}, "one plane in GPU memory and one on the host"),
    "pixels apart": ({"visible": "pixels apart", "infrared": HEAT}, "rows whose pixels lie one after the other"),
    "16-bit luma": ({"visible": "16-bit luma", "infrared": HEAT}, "has uint16 and uint8, expected uint8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refusals_are_the_same_as_on_the_cpu(case: str) -> None:
    given, says = WRONG[case]
    with opened() as (session, simulation):
        gpu = simulation.gpu
        made: dict[str, Any] = {
            "planes apart": lambda: Nv12(gpu.foreign_array(LUMA), PAIRS),
            "pixels apart": lambda: Rows(gpu.foreign_array(VISIBLE), (24, 15, 3), (93, 6, 1)),
            "16-bit luma": lambda: Nv12(gpu.foreign_array(LUMA.astype(np.uint16)), gpu.foreign_array(PAIRS)),
        }
        if isinstance(given["visible"], str):
            given = {**given, "visible": made[given["visible"]]()}
        with pytest.raises(InputError, match=says):
            session.infer_images(**given)


def test_the_entry_is_in_every_binary() -> None:
    from edgefer.kernels import cubins

    for binary in cubins.index().binaries:
        assert ENTRY in {entry.name for entry in binary.entries}


def test_specs_are_what_the_tests_think() -> None:
    assert SPECS["visible"].image == ImageSpec(colour="rgb", band="visible")
    assert SPECS["visible"].shape == (1, 3, *SIZE)
