"""What is left of a session on a GPU when something fails: a typed error or a way round it, and nothing behind."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable

import simulated_session as tiny
from session_checks import ONE, REPLAY, Setting, arrays_of, assert_answer, assert_given_back, names, opened, prepared
from simulation import simulate

from edgefer.errors import DeviceError, EdgeferError, EdgeferWarning, EngineIncompatible

NOT_FAILING = {
    *("cuCtxPopCurrent", "cuMemFree", "cuMemFreeHost", "cuGraphDestroy", "cuGraphExecDestroy", "cuEventDestroy"),
    *("cuStreamDestroy", "cuDevicePrimaryCtxRelease", "TensorRT.free", "nptype"),
    *("Runtime.destroyed", "ICudaEngine.destroyed", "IExecutionContext.destroyed", "ICudaEngine.get_tensor_name"),
    *("ICudaEngine.get_tensor_mode", "ICudaEngine.get_tensor_shape", "ICudaEngine.get_tensor_dtype"),
    *("ICudaEngine.get_tensor_location", "ICudaEngine.get_tensor_profile_shape", "IExecutionContext.get_tensor_shape"),
    *("ICudaEngine.get_device_memory_size_for_profile_v2", "IExecutionContext.set_device_memory"),
}
"""What gives back, and what only tells."""


def check_opening_that_fails(setting: Setting = ONE) -> None:
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


def check_inferences_that_fail(setting: Setting = ONE) -> None:
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


def check_refused_captures(setting: Setting = ONE) -> None:
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


def check_interruptions(setting: Setting = ONE) -> None:
    """Ctrl-C at any call of an inference loses no lane and no memory, and the next answer is right."""
    for name in ("cuGraphLaunch", "cuEventRecord", "cuEventSynchronize", "cuMemcpyDtoDAsync", "cuStreamWaitEvent"):
        with opened(setting) as (session, simulation):
            arrays = arrays_of(simulation, tiny.feeds(1, 1), simulation.gpu.foreign_stream())
            for given in (tiny.feeds(1, 2), arrays):
                for start in (session.infer, lambda **feeds: session.infer_async(**feeds).result()):
                    simulation.gpu.fail(name, KeyboardInterrupt(), times=1)
                    with contextlib.suppress(KeyboardInterrupt):
                        start(**given)
                    simulation.gpu.mend()
                    assert not simulation.gpu.busy(), f"{name} was interrupted: a lane was given back with work on it"
                    for seed in range(setting.streams + 1):
                        assert_answer(session, tiny.feeds(1, seed), session.infer(**tiny.feeds(1, seed)))


def check_interrupted_opening(setting: Setting = ONE) -> None:
    """Ctrl-C at any call of the opening gives back what was there by then."""
    rehearsal = simulate(integrated=setting.integrated)
    with prepared(rehearsal, setting) as open_session:
        session = open_session()
        wanted = names(rehearsal.gpu.calls)
        session.close()
    counts: dict[str, int] = {}
    for name in wanted:
        counts[name] = counts.get(name, 0) + 1
    # Methods of TensorRT would be in the traceback, and hold what they are of; the real ones are no frames of Python.
    driver = {name for name in counts if name.startswith("cu")}
    for name in sorted(driver - NOT_FAILING - {"cuCtxPushCurrent"}):
        for after in {0, counts[name] // 2, counts[name] - 1}:
            simulation = simulate(integrated=setting.integrated)
            simulation.gpu.fail(name, KeyboardInterrupt(), after=after, times=1)
            with prepared(simulation, setting) as open_session:
                try:
                    open_session()
                except KeyboardInterrupt:
                    simulation.gpu.mend()
                else:
                    raise AssertionError(f"{name} is called less often this time")
                try:
                    assert_given_back(simulation)
                except AssertionError as error:
                    raise AssertionError(f"call {after} of {name} was interrupted: {error}") from error


def check_dead_gpu(setting: Setting = ONE) -> None:
    """After a kernel has failed nothing works in this process: that is said, and closing ends all the same."""
    simulation = simulate(integrated=setting.integrated)
    with prepared(simulation, setting) as open_session:
        session = open_session()
        simulation.gpu.dead = True
        for _ in range(2 * setting.streams):
            try:
                session.infer(**tiny.feeds(1))
            except DeviceError as error:
                if "CUDA_ERROR_ILLEGAL_ADDRESS" not in error.message:
                    raise AssertionError(f"not the driver's name for it: {error.message}") from error
            else:
                raise AssertionError("a dead GPU answers")
        with contextlib.suppress(DeviceError):
            session.close()
        assert not sum(simulation.gpu.retained.values())
        assert simulation.gpu.stack == []


def check_full_gpu(setting: Setting = ONE) -> None:
    """However little memory there is: a typed error, and all of it is given back, or a session that works."""
    outcomes = set()
    for total in (512, 2_000, 6_000, 20_000, 40_000, 1 << 20):
        simulation = simulate(total_bytes=total, integrated=setting.integrated)
        with prepared(simulation, setting) as open_session:
            try:
                session = open_session()
            except (DeviceError, EngineIncompatible):
                outcomes.add("refused")
            else:
                outcomes.add("opened")
                assert_answer(session, tiny.feeds(1), session.infer(**tiny.feeds(1)))
                session.close()
            assert_given_back(simulation)
    assert outcomes == {"refused", "opened"}
