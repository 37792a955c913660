"""What a session on a GPU has to keep to, as functions that raise AssertionError: of allocation, order, waiting, giving
back. They need no pytest, so that a process with an altered runtime can be held against them."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import simulated_session as tiny
from simulated_gpu import ForeignArray
from simulation import Simulation, simulate

from edgefer.errors import DeviceError, EdgeferError, EdgeferWarning, EngineIncompatible, UsageError
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

ALLOCATIONS = (
    *("cuMemAlloc", "cuMemHostAlloc", "TensorRT.allocate", "cuStreamCreate", "cuStreamCreateWithPriority"),
    *("cuEventCreate", "Runtime.deserialize_cuda_engine"),
)
CAPTURES = ("cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy")
LAUNCH = ["cuGraphLaunch", "cuEventRecord", "cuEventSynchronize"]
REPLAY = ["cuCtxPushCurrent", *LAUNCH, "cuCtxPopCurrent"]
"""All calls of an inference, once it is ready."""
BUNDLES = {batches: tiny.bundle(batches) for batches in ((1, 4), (1,))}


@dataclass(frozen=True)
class Setting:
    """What the checks are run under."""

    streams: int = 1
    integrated: bool = False
    version: str = "10.3.0"
    batches: tuple[int, ...] = (1, 4)
    graphs: bool = True


@contextlib.contextmanager
def opened(setting: Setting = Setting(), **options: Any) -> Iterator[tuple[Session, Simulation]]:
    """A session on a GPU of its own. At the end everything has to have been given back, in good order."""
    simulation = simulate(integrated=setting.integrated, version=setting.version)
    with prepared(simulation, setting, **options) as open_session:
        session = open_session()
        try:
            yield session, simulation
        finally:
            session.close()
        session.close()
        assert_given_back(simulation)


@contextlib.contextmanager
def prepared(simulation: Simulation, setting: Setting = Setting(), **options: Any) -> Iterator[Callable[[], Session]]:
    """How sessions on a simulated GPU are opened; the engine is in the cache after the first."""
    with tempfile.TemporaryDirectory(prefix="edgefer-gpu-") as cache, tiny.in_place(simulation, **options):
        settings = GpuSettings(streams=setting.streams, graphs=setting.graphs, cache=cache)
        yield lambda: Session(BUNDLES[setting.batches], device="tensorrt", gpu=settings)


def assert_given_back(simulation: Simulation) -> None:
    """Nothing is left, nothing undefined happened, and each thing went before what it needs."""
    gpu = simulation.gpu
    if gpu.open():
        gc.collect()  # which takes as long as opening a session
    gpu.assert_clean()
    assert gpu.abandoned == []


def assert_answer(session: Session, given: Mapping[str, Any], answer: Any) -> None:
    """An answer to one example is that of the network."""
    np.testing.assert_allclose(answer.logits, tiny.logits(given)[0], atol=1e-5)


def names(calls: list[tuple[str, tuple[Any, ...]]]) -> list[str]:
    return [name for name, _ in calls]


def arrays_of(simulation: Simulation, given: Mapping[str, Any], stream: int | None = None) -> dict[str, ForeignArray]:
    """The same in the GPU's memory, ready behind a stream, or at once."""
    return {name: simulation.gpu.foreign_array(value, stream) for name, value in given.items()}


# The checks


def check_answers(setting: Setting = Setting()) -> None:
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


def check_nothing_is_allocated(setting: Setting = Setting(), count: int = 200) -> None:
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


def check_replay_is_all_there_is(setting: Setting = Setting()) -> None:
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


def check_plain_before_capture(setting: Setting = Setting()) -> None:
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


def check_producers_are_waited_for(setting: Setting = Setting()) -> None:
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


def check_bound_sets_come_and_go(setting: Setting = Setting()) -> None:
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


def check_lanes(setting: Setting = Setting(streams=2)) -> None:
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


def check_opening_that_fails(setting: Setting = Setting()) -> None:
    """Whatever call fails while a session is opened: a typed error, or a session that works; nothing stays behind."""
    rehearsal = simulate(integrated=setting.integrated, version=setting.version)
    with prepared(rehearsal, setting) as open_session:
        session = open_session()
        wanted = list(rehearsal.gpu.calls)
        session.close()
    seen: dict[str, int] = {}
    for name, _ in wanted:
        after = seen.get(name, 0)
        seen[name] = after + 1
        # Of the many that are alike fewer and fewer, and the entries of a module are all alike.
        few = 1 if name.startswith("cuFunc") or name == "cuModuleGetFunction" else 64
        if name not in NOT_FAILING and after < few and after & (after - 1) == 0:
            _open_with_fault(setting, name, after)


NOT_FAILING = {
    *("cuCtxPopCurrent", "cuMemFree", "cuMemFreeHost", "cuGraphDestroy", "cuGraphExecDestroy", "cuEventDestroy"),
    *("cuStreamDestroy", "cuDevicePrimaryCtxRelease", "TensorRT.free", "nptype"),
    *("Runtime.destroyed", "ICudaEngine.destroyed", "IExecutionContext.destroyed", "ICudaEngine.get_tensor_name"),
    *("ICudaEngine.get_tensor_mode", "ICudaEngine.get_tensor_shape", "ICudaEngine.get_tensor_dtype"),
    *("ICudaEngine.get_tensor_location", "ICudaEngine.get_tensor_profile_shape", "IExecutionContext.get_tensor_shape"),
    *("ICudaEngine.get_device_memory_size_for_profile_v2", "IExecutionContext.set_device_memory"),
}
"""What gives back, and what only tells."""


def _open_with_fault(setting: Setting, name: str, after: int) -> None:
    simulation = simulate(integrated=setting.integrated, version=setting.version)
    gpu = simulation.gpu
    with prepared(simulation, setting) as open_session:
        code = "CUDA_ERROR_OUT_OF_MEMORY" if "Alloc" in name else "CUDA_ERROR_LAUNCH_FAILED"
        gpu.fail(name, code, after=after, times=1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EdgeferWarning)  # a capture may be what fails
                session = open_session()
        except EdgeferError:
            pass
        else:
            given = tiny.feeds(1, 3)
            assert_answer(session, given, session.infer(**given))
            session.close()
        gpu.mend()
        try:
            assert_given_back(simulation)
        except AssertionError as error:
            raise AssertionError(f"call {after} of {name} failed: {error}") from error


def check_inferences_that_fail(setting: Setting = Setting()) -> None:
    """Whatever call of an inference fails: a typed error, and the next one is answered right."""
    calls = {*REPLAY[:-1], "cuMemcpyDtoDAsync", "cuStreamWaitEvent"}
    for name in sorted(calls):
        with opened(setting) as (session, simulation):
            arrays = arrays_of(simulation, tiny.feeds(1, 1), simulation.gpu.foreign_stream())
            session.infer(**arrays)
            for given in (tiny.feeds(1, 2), arrays):
                simulation.gpu.fail(name, "CUDA_ERROR_LAUNCH_FAILED", times=1)
                for start in (session.infer, lambda **feeds: session.infer_async(**feeds).result()):
                    with contextlib.suppress(DeviceError):
                        start(**given)
                    assert not simulation.gpu.busy(), "a lane was given back with work on its stream"
                simulation.gpu.mend()
                for seed in range(setting.streams + 1):
                    assert_answer(session, tiny.feeds(1, seed), session.infer(**tiny.feeds(1, seed)))


def check_refused_captures(setting: Setting = Setting()) -> None:
    """Where no capture works all is enqueued by itself, which is said, and answers are right."""
    for fault in ("cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "not capturable"):
        options = {"capturable": False} if fault == "not capturable" else {}
        simulation = simulate(integrated=setting.integrated)
        if not options:
            simulation.gpu.fail(fault, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        with prepared(simulation, setting, **options) as open_session:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                session = open_session()
            assert [each.category for each in told] == [EdgeferWarning], "told once"
            for seed in range(3):
                given = tiny.feeds(1, seed)
                assert_answer(session, given, session.infer(**given))
            arrays = arrays_of(simulation, tiny.feeds(1, 5))
            session.bind(**arrays)
            assert_answer(session, tiny.feeds(1, 5), session.infer(**arrays))
            found = session.info["counters"]
            assert isinstance(found, dict)
            assert (found["captures"], found["launches"]) == (0, 0)
            assert simulation.gpu.count("cuGraphLaunch") == 0
            session.close()
            assert_given_back(simulation)


def check_refused_enqueue() -> None:
    """What an enqueue returns is looked at: a session whose engine does not run is not opened, and says why."""
    for after in range(3):
        simulation = simulate()
        simulation.gpu.fail("IExecutionContext.execute_async_v3", False, after=after)
        with prepared(simulation) as open_session, warnings.catch_warnings():
            warnings.simplefilter("ignore", EdgeferWarning)
            assert_refused(open_session)
        assert_given_back(simulation)
    with opened(Setting(graphs=False)) as (session, simulation):
        simulation.gpu.fail("IExecutionContext.execute_async_v3", False, times=1)
        assert_refused(lambda: session.infer(**tiny.feeds(1)))
        assert_answer(session, tiny.feeds(1), session.infer(**tiny.feeds(1)))


def assert_refused(call: Callable[[], object]) -> None:
    try:
        found = call()
    except EngineIncompatible as error:
        if "enqueue an inference" not in error.message:
            raise AssertionError(f"another reason is told than that nothing ran: {error.message}") from error
    else:
        raise AssertionError(f"{found} although nothing ran")


def check_threads_and_closing(setting: Setting = Setting()) -> None:
    """Any thread may ask and close, whatever context it has; closed is closed."""
    with opened(setting) as (session, _):
        problems: list[BaseException] = []

        def work() -> None:
            try:
                given = tiny.feeds(1, 4)
                assert_answer(session, given, session.infer(**given))
                session.close()
            except BaseException as error:  # handed to the thread that asks
                problems.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        if problems:
            raise problems[0]
        try:
            session.infer(**tiny.feeds(1))
        except UsageError:
            pass
        else:
            raise AssertionError("a session answers after it was closed")


def check_reverse_order(setting: Setting = Setting()) -> None:
    """What a session made while it was opened is given back in exactly the reverse order."""
    with opened(setting) as (session, simulation):
        session.infer(**tiny.feeds(1))
        session.infer_async(**tiny.feeds(1)).result()
        history = simulation.gpu.history
        made: list[tuple[str, int]] = []
        for what, kind, handle in history:
            if what == "open":
                made.append((kind, handle))
            else:
                made.remove((kind, handle))
        before = len(history)
        session.close()
        gc.collect()
        gone = [(kind, handle) for _, kind, handle in history[before:]]
        assert gone == made[::-1], (gone, made)


def check_forgotten(setting: Setting = Setting()) -> None:
    """A session that nobody closes is given back with the last reference, in order."""
    simulation = simulate(integrated=setting.integrated)
    with prepared(simulation, setting) as open_session:
        session = open_session()
        session.bind(**arrays_of(simulation, tiny.feeds(1)))
        session.infer(**tiny.feeds(1))
        for pending in (False, True):
            later = session.infer_async(**tiny.feeds(1)) if pending else None
            del session, later
            assert_given_back(simulation)
            session = open_session()
        session.close()


def check_fork() -> None:
    """A process that was forked is told so, and leaves alone what belongs to the other."""
    with opened() as (session, simulation):
        child = os.fork()
        if child == 0:
            os._exit(_in_fork(session, simulation))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, "see _in_fork"
        given = tiny.feeds(1, 6)
        assert_answer(session, given, session.infer(**given))


def _in_fork(session: Session, simulation: Simulation) -> int:
    before = len(simulation.gpu.calls)
    try:
        try:
            session.infer(**tiny.feeds(1))
        except DeviceError as error:
            if "fork" not in str(error):
                return 2
        else:
            return 3
        session.close()
        return 0 if len(simulation.gpu.calls) == before else 5
    except BaseException:
        return 4


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
