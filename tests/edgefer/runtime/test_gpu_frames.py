"""Frames on a simulated GPU: one graph of copies, kernel, engine and copies, whose views change without a new one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import session_checks as checks
import simulated_session as tiny
from session_checks import REPLAY, Setting, names
from simulated_frames import (
    BOX,
    FRAMES,
    GREY,
    HEAT,
    HEAT_TENSOR,
    LUMA,
    PAIRS,
    SETTINGS,
    SIZE,
    SPECS,
    VISIBLE,
    Rows,
    captures,
    logits,
    opened,
    tensor,
)
from simulated_preprocess import ENTRY, register
from simulation import simulate

from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import InputError
from edgefer.kernels.driver import Driver
from edgefer.kernels.launch import Kernels
from edgefer.kernels.preprocess_frame import Camera, Frame
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.frames import IMAGES
from edgefer.runtime.gpu.stage import FrameStage, StageCamera, stage_bytes
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.session import Session
from edgefer.runtime.view import fitted, over_box
from kernels.cases.preprocess_reference import Picture, values_of


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


def test_the_settings_say_where_the_last_frames_were_pre_processed() -> None:
    with opened() as (session, _):
        for frame, where in (
            (VISIBLE, "on the GPU"),
            (VISIBLE.astype(np.uint16), "on the CPU"),
            (VISIBLE, "on the GPU"),
        ):
            session.infer_images(visible=frame, infrared=HEAT)
            assert where in session.info["settings"][IMAGES]  # type: ignore[index]


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


def test_threads_have_frames_of_their_own() -> None:
    sizes = [(24, 31), (20, 20), (9, 40)]

    def work(session: Session, seed: int) -> None:
        generator = np.random.default_rng(seed)
        for number in range(20):
            frame = generator.integers(0, 256, (*sizes[(seed + number) % 3], 3), np.uint8)
            view = over_box((1, 2, 10 + number, 8), SIZE, frame.shape[:2]) if number % 2 else None
            found = session.infer_images(visible=frame, infrared=HEAT, views={"visible": view})
            np.testing.assert_allclose(found.logits, logits(tensor("visible", frame, view), HEAT_TENSOR), atol=1e-4)

    with opened(Setting(streams=2)) as (session, _), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: work(session, seed), range(4)))


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


def test_a_fifth_place_in_gpu_memory_is_captured_anew(recwarn: pytest.WarningsRecorder) -> None:
    with opened() as (session, simulation):
        arrays = [simulation.gpu.foreign_array(VISIBLE) for _ in range(5)]
        at_first = captures(session)
        for array in (*arrays[:4], *arrays[:4]):
            session.infer_images(visible=array, infrared=HEAT)
        assert captures(session) == at_first + 4
        session.infer_images(visible=arrays[4], infrared=HEAT)
        assert not recwarn.list
        for array in arrays:
            session.infer_images(visible=array, infrared=HEAT)
        assert captures(session) == at_first + 10
        (warning,) = recwarn.list
        assert "more than 4 places in turn" in str(warning.message)


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


def test_the_entry_is_in_every_binary() -> None:
    from edgefer.kernels import cubins

    for binary in cubins.index().binaries:
        assert ENTRY in {entry.name for entry in binary.entries}


def test_specs_are_what_the_tests_think() -> None:
    assert SPECS["visible"].image == ImageSpec(colour="rgb", band="visible")
    assert SPECS["visible"].shape == (1, 3, *SIZE)
