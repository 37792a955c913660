"""Frames on a simulated GPU that do not go as usual: over the CPU, beyond a limit, after an error, or not at all."""

from __future__ import annotations

import gc
import tempfile
from typing import Any

import msgspec
import numpy as np
import pytest
import session_checks as checks
import simulated_session as tiny
from session_checks import Setting, names
from simulated_frames import (
    BOX,
    HEAT,
    HEAT_TENSOR,
    LUMA,
    PAIRS,
    VISIBLE,
    Rows,
    logits,
    opened,
    settings_of,
    tensor,
)
from simulated_preprocess import register
from simulation import simulate

from edgefer.errors import DeviceError, InputError, UsageError
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.session import Session


def test_a_frame_that_was_freed_is_not_read() -> None:
    with opened() as (session, simulation):
        gone = simulation.gpu.foreign_array(VISIBLE)
        gone.free()
        with pytest.raises(InputError, match=r"input 'visible' begins at .* in no memory that the driver knows"):
            session.infer_images(visible=gone, infrared=HEAT)
        expected = logits(tensor("visible", VISIBLE, BOX), HEAT_TENSOR)
        found = session.infer_images(visible=VISIBLE, infrared=HEAT, views={"visible": BOX})
        np.testing.assert_allclose(found.logits, expected, atol=1e-4)


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
