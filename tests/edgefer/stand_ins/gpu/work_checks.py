"""What inferences on a GPU have to keep to: answers, allocation, the calls of one, and waiting for others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import simulated_session as tiny
from session_checks import (
    ONE,
    REPLAY,
    TWO,
    Setting,
    arrays_of,
    assert_answer,
    assert_given_back,
    names,
    opened,
    prepared,
)
from simulated_gpu import SimulatedGpu
from simulation import Simulation, simulate

from edgefer.errors import EdgeferError
from edgefer.kernels.preprocess import PreprocessParams
from edgefer.runtime.session import Session

ALLOCATIONS = (
    *("cuMemAlloc", "cuMemHostAlloc", "TensorRT.allocate", "cuStreamCreate", "cuStreamCreateWithPriority"),
    *("cuEventCreate", "Runtime.deserialize_cuda_engine"),
)
CAPTURES = ("cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy")


def check_answers(setting: Setting = ONE) -> None:
    """Every way of asking gives the network's answers: hosts' arrays, the GPU's, both, bound or not, now or later."""
    with opened(setting) as (session, simulation):
        kept = [(given, session.infer(**given)) for given in (tiny.feeds(1, seed) for seed in (40, 41))]
        for given, answer in kept:  # an answer is not changed by the next one
            assert_answer(session, given, answer)
        for seed in range(3):
            given = tiny.feeds(1, seed)
            assert_answer(session, given, session.infer(**given))
            pending = [(tiny.feeds(1, 10 + number), number) for number in range(3)]
            later = [(feeds, session.infer_async(**feeds)) for feeds, _ in pending]
            for feeds, each in later:
                assert_answer(session, feeds, each.result())
            for batch in setting.batches:
                several = tiny.feeds(batch, 20 + seed)
                np.testing.assert_allclose(session.run(several)["logits"], tiny.logits(several), atol=1e-5)
                out = {"logits": np.full((batch, 5), np.nan, np.float32)}
                found = session.run(several, out=out)
                assert found["logits"] is out["logits"]
                np.testing.assert_allclose(out["logits"], tiny.logits(several), atol=1e-5)
        check_device_answers(session, simulation)


def check_device_answers(session: Session, simulation: Simulation) -> None:
    given = tiny.feeds(1, 30)
    arrays = arrays_of(simulation, given)
    assert_answer(session, given, session.infer(**arrays))
    mixed = {**given, "visible": arrays["visible"]}
    assert_answer(session, given, session.infer(**mixed))
    session.bind(**arrays)
    assert_answer(session, given, session.infer(**arrays))
    assert_answer(session, given, session.infer(**tiny.feeds(1, 30)))
    other = tiny.feeds(1, 31)
    for name, array in arrays.items():
        array.produce(other[name])
    simulation.gpu.finish()
    assert_answer(session, other, session.infer(**arrays))
    assert_answer(session, given, session.infer(**given))


def check_nothing_is_allocated(setting: Setting = ONE, count: int = 200) -> None:
    """After opening, inferences take no memory, and are captured once for each set of addresses."""
    with opened(setting) as (session, simulation):
        given = [tiny.feeds(1, seed) for seed in range(4)]
        answers = [tiny.logits(each)[0] for each in given]
        arrays = [arrays_of(simulation, each) for each in given]
        session.bind(**arrays[0])
        session.infer(**arrays[1])
        out = {name: np.zeros((1, size), np.float32) for name, size in (("logits", 5), ("embedding", 8))}
        mixed = {"visible": given[0]["visible"], "infrared": arrays[0]["infrared"]}
        session.infer(**mixed)
        ways: list[Callable[[int], Any]] = [
            lambda number: session.infer(**given[number]),
            lambda number: session.infer(**given[number], out=out),
            lambda number: session.infer(**arrays[number]),
            lambda number: session.infer_async(**given[number]).result(),
        ]
        for way in ways:  # whatever another lane still has to capture is captured here
            for _ in range(setting.streams):
                for number in range(4):
                    way(number)
        open_before = simulation.gpu.open()
        with simulation.gpu.recording() as calls:
            for number in range(count):
                answer = ways[number % 4](number // 4 % 4)
                np.testing.assert_allclose(answer.logits, answers[number // 4 % 4], atol=1e-5)
        assert [name for name in names(calls) if name in (*ALLOCATIONS, *CAPTURES)] == []
        assert [name for name in names(calls) if name.startswith(("ICudaEngine", "IExecutionContext"))] == []
        assert simulation.gpu.open() == open_before


def check_replay_is_all_there_is(setting: Setting = ONE) -> None:
    """In steady state one inference is one launch and an event; bound arrays wait for their producer on the GPU, others
    are copied once."""
    with opened(setting) as (session, simulation):
        given = tiny.feeds(1)
        for batch in setting.batches:
            several = tiny.feeds(batch)
            for _ in range(3):
                with simulation.gpu.recording() as calls:
                    session.run(several)
                assert names(calls) == REPLAY
        producer = simulation.gpu.foreign_stream()
        arrays = arrays_of(simulation, given, producer)
        session.bind(**arrays)
        with simulation.gpu.recording() as calls:
            session.infer(**arrays)
        wait = ["cuEventRecord", "cuStreamWaitEvent"]
        assert names(calls) == [REPLAY[0], *wait, *REPLAY[1:]]
        others = arrays_of(simulation, given, producer)
        session.infer(**others)
        with simulation.gpu.recording() as calls:
            session.infer(**others)
        assert names(calls) == [REPLAY[0], *wait, *["cuMemcpyDtoDAsync"] * 2, *REPLAY[1:]]
        found = session.info["counters"]
        assert isinstance(found, dict)
        assert (found["bound"], found["copied"]) == (2, 4)
        with simulation.gpu.recording() as calls:
            session.infer_async(**given).result()
        assert names(calls).count("cuGraphLaunch") == 1
        assert set(names(calls)) <= {*REPLAY, "cuEventQuery"}


def check_frames(setting: Setting = ONE) -> None:
    """Camera frames are one launch and an event, too, whatever is in them."""
    with opened(setting) as (session, simulation):
        simulation.gpu.kernel("edgefer_preprocess_f32n", PreprocessParams, plain)
        session.infer_images(**plain_frames(0, 0, (20, 30)))
        for grey in (0, 100, 7):
            with simulation.gpu.recording() as calls:
                answer = session.infer_images(**plain_frames(grey, 3 * grey, (20, 30)))
            assert names(calls) == REPLAY
            assert_answer(session, plain_feeds(grey, 3 * grey), answer)
        assert_answer(session, tiny.feeds(1), session.infer(**tiny.feeds(1)))


def plain(gpu: SimulatedGpu, parameters: PreprocessParams, grid: tuple[int, ...]) -> None:
    """A kernel for frames of one colour: what is in their first pixel, as part of the largest."""
    visible = gpu.view(parameters.visible, (1,), np.uint8)[0] / 255
    infrared = gpu.view(parameters.infrared, (1,), np.uint16)[0] / 65535
    gpu.view(parameters.y, (3, 8, 8), np.float32)[...] = visible
    gpu.view(parameters.y_infrared, (1, 8, 8), np.float32)[...] = infrared


def plain_frames(visible: int, infrared: int, size: tuple[int, int]) -> dict[str, Any]:
    """Frames of one colour, the visible one of that size."""
    return {
        "visible": np.full((*size, 3), visible, np.uint8),
        "infrared": np.full((10, 12), infrared, np.uint16),
    }


def plain_feeds(visible: int, infrared: int) -> dict[str, Any]:
    """What `plain` makes of them."""
    return {
        "visible": np.full((1, 3, 8, 8), visible / 255, np.float32),
        "infrared": np.full((1, 1, 8, 8), infrared / 65535, np.float32),
    }


def check_plain_before_capture(setting: Setting = ONE) -> None:
    """Every execution context runs once by itself before it is captured, and is then left as it is."""
    with opened(setting) as (session, simulation):
        for batch in setting.batches:
            session.bind(**arrays_of(simulation, tiny.feeds(batch)))
        session.infer(**arrays_of(simulation, tiny.feeds(1, 1)))
        found = session.info["counters"]
        assert isinstance(found, dict)
        capturing = False
        ran: set[int] = set()
        captured: set[int] = set()
        for name, arguments in simulation.gpu.calls:
            if name in ("cuStreamBeginCapture", "cuStreamEndCapture"):
                capturing = name == "cuStreamBeginCapture"
            elif name == "IExecutionContext.execute_async_v3":
                if capturing:
                    assert arguments[0] in ran, "captured before it ran"
                    captured.add(arguments[0])
                else:
                    assert arguments[0] not in captured, "enqueued by itself although there is a graph"
                    ran.add(arguments[0])
            elif name.startswith("IExecutionContext.set"):
                assert arguments[0] not in captured, f"{name} after the capture"
        assert ran == captured
        own = setting.streams * len(setting.batches)
        assert len(captured) >= own + setting.streams * len(setting.batches) + 1
        assert found["captures"] == len(captured)


def check_producers_are_waited_for(setting: Setting = ONE) -> None:
    """What another library's stream still has to write is written when it is read, bound or not; nothing is late."""
    with opened(setting) as (session, simulation):
        producer = simulation.gpu.foreign_stream()
        bound = arrays_of(simulation, tiny.feeds(1, 0), producer)
        session.bind(**bound)
        others = arrays_of(simulation, tiny.feeds(1, 0), producer)
        for seed in range(1, 5):
            for arrays in (bound, others):
                given = tiny.feeds(1, seed)
                for name, array in arrays.items():
                    array.produce(given[name])
                assert_answer(session, given, session.infer(**arrays))
        for stream in (None, 1, 2):
            given = tiny.feeds(1, 9)
            arrays = arrays_of(simulation, tiny.feeds(1, 8), stream)
            for name, array in arrays.items():
                array.produce(given[name])
            if stream is None:
                simulation.gpu.finish()
            assert_answer(session, given, session.infer(**arrays))


def check_bound_sets_come_and_go(setting: Setting = ONE) -> None:
    """The last four sets of addresses are kept; those before go, with their graphs, and are then copied."""
    with opened(setting) as (session, simulation):
        sets = [arrays_of(simulation, tiny.feeds(1, seed)) for seed in range(6)]
        held = []
        for arrays in sets:
            session.bind(**arrays)
            held.append(simulation.gpu.open()["executable"])
        assert held[3] == held[4] == held[5]
        for seed, arrays in enumerate(sets):
            assert_answer(session, tiny.feeds(1, seed), session.infer(**arrays))
        found = session.info["counters"]
        assert isinstance(found, dict)
        assert (found["bound"], found["copied"]) == (8, 4)


def check_formats_come_and_go(setting: Setting = ONE) -> None:
    """The graphs of the last four formats of frames are kept; those before go, with their graphs and memory."""
    with opened(setting) as (session, simulation):
        simulation.gpu.kernel("edgefer_preprocess_f32n", PreprocessParams, plain)
        held = []
        for height in range(20, 26):
            session.infer_images(**plain_frames(1, 2, (height, 30)))
            held.append(simulation.gpu.open()["executable"])
        assert held[3] == held[4] == held[5]


def check_lanes(setting: Setting = TWO) -> None:
    """Several inferences are on the GPU at once, each on a lane of its own; more are no deadlock."""
    with opened(setting) as (session, simulation):
        given = [tiny.feeds(1, seed) for seed in range(5)]
        pending = [session.infer_async(**each) for each in given]
        busy = {arguments[1] for name, arguments in simulation.gpu.calls[-60:] if name == "cuGraphLaunch"}
        assert len(busy) == setting.streams
        for each, later in zip(given, pending, strict=True):
            assert_answer(session, each, later.result())
        unread = [session.infer_async(**each) for each in given]
        session.close()
        for each, later in zip(given, unread, strict=True):
            assert_answer(session, each, later.result())


def check_two_sessions() -> None:
    """Sessions on one GPU know nothing of each other."""
    simulation = simulate()
    with prepared(simulation) as open_session:
        first, second = open_session(), open_session()
        for seed in range(3):
            for session in (first, second):
                assert_answer(session, tiny.feeds(1, seed), session.infer(**tiny.feeds(1, seed)))
        later = second.infer_async(**tiny.feeds(1, 5))
        first.close()
        assert_answer(second, tiny.feeds(1, 5), later.result())
        assert_answer(second, tiny.feeds(1, 6), second.infer(**tiny.feeds(1, 6)))
        second.close()
        assert_given_back(simulation)


def check_another_context_is_left_alone() -> None:
    """What another library has made current on this thread is current afterwards."""
    with opened() as (session, simulation):
        gpu = simulation.gpu
        assert gpu.stack == []
        theirs = simulation.bindings.cuDevicePrimaryCtxRetain(0)[1]
        simulation.bindings.cuCtxPushCurrent(theirs)
        before = list(gpu.stack)
        session.infer(**tiny.feeds(1))
        with contextlib.suppress(EdgeferError):
            session.run({"visible": np.zeros((3, 3, 8, 8), np.float32)})
        assert gpu.stack == before
        simulation.bindings.cuCtxPopCurrent()
        simulation.bindings.cuDevicePrimaryCtxRelease(0)
