"""Several lanes, several threads, and answers that are fetched later, on a simulated GPU."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any
from unittest import mock

import numpy as np
import pytest
import simulated_session as tiny
from opened_runner import Opening, check, opened
from simulation import Simulation, simulate

from edgefer.errors import DeviceError, EdgeferError, UsageError
from edgefer.runtime.gpu.lanes import Lanes

PATIENCE_SECONDS = 20.0
"""What no test needs; a deadlock shows as a failure."""


@pytest.fixture
def simulation() -> Simulation:
    return simulate()


def within_time(action: Any) -> Any:
    """What the action gives, in a thread that is not waited for for ever."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(action())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), "deadlock"
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_threads_get_their_own_answers(simulation: Simulation, streams: int) -> None:
    with opened(simulation, streams=streams) as opening:
        assert len(opening.runner.lanes) == streams

        def ask(seed: int) -> None:
            given = tiny.feeds(4 if seed % 3 else 1, seed)
            feeds = opening.arrays(given) if seed % 4 == 0 else given
            found = opening.runner.submit(feeds).wait() if seed % 2 else opening.runner.run(feeds)
            check(found, given)

        with ThreadPoolExecutor(6) as pool:
            for each in [pool.submit(ask, seed) for seed in range(60)]:
                each.result(PATIENCE_SECONDS)
        counters = opening.runner.counters
    assert counters["captures"] >= 2 * streams


def test_two_lanes_work_at_the_same_time(simulation: Simulation) -> None:
    with opened(simulation, streams=2) as opening, opening.runner.lane() as one, opening.runner.lane() as other:
        assert one is not other
        assert one.stream.handle != other.stream.handle
        assert not {*one.batches[1].addresses.values()} & {*other.batches[1].addresses.values()}


def test_streams_have_the_priority_asked_for() -> None:
    for priority, call in (("high", "cuStreamCreateWithPriority"), ("normal", "cuStreamCreate")):
        simulation = simulate()
        with opened(simulation, streams=2, priority=priority) as opening:
            assert opening.request.settings["streams"] == f"2, priority {priority}"
        assert simulation.gpu.count(call) == 2


def test_answers_may_be_fetched_in_any_order(simulation: Simulation) -> None:
    with opened(simulation, streams=3) as opening:
        given = [tiny.feeds(1, seed) for seed in range(3)]
        submitted = [opening.runner.submit(each) for each in given]
        for each, feeds in reversed(list(zip(submitted, given, strict=True))):
            check(each.wait(), feeds)
            assert each.wait() is each.wait()


@pytest.mark.parametrize("streams", [1, 2])
def test_the_oldest_is_fetched_when_all_lanes_are_taken(simulation: Simulation, streams: int) -> None:
    with opened(simulation, streams=streams) as opening:
        given = [tiny.feeds(1, seed) for seed in range(6)]
        submitted = within_time(lambda: [opening.runner.submit(each) for each in given])
        assert submitted[0].done()
        check(within_time(lambda: opening.runner.run(tiny.feeds(4))), tiny.feeds(4))
        for each, feeds in zip(submitted, given, strict=True):
            check(each.wait(), feeds)


def test_done_does_not_wait(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        submitted = opening.runner.submit(tiny.feeds())
        with simulation.gpu.recording() as calls:
            assert not submitted.done()
        assert "cuEventSynchronize" not in [name for name, _ in calls]
        simulation.gpu.finish()
        assert submitted.done()
        check(submitted.wait(), tiny.feeds())
        assert submitted.done()


def test_another_stream_can_wait_for_the_event(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        submitted = opening.runner.submit(tiny.feeds())
        simulation.gpu.event(submitted.event)
        assert submitted.event == int(opening.runner.lanes[0].event.handle)
        submitted.wait()


def test_an_answer_is_written_where_the_caller_wants_it(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        out = {"logits": np.zeros((1, 5), np.float32), "embedding": np.zeros((1, 8), np.float32)}
        found = opening.runner.submit(tiny.feeds(1, 2), out).wait()
        assert all(found[name] is out[name] for name in out)
        check(out, tiny.feeds(1, 2))


@pytest.mark.parametrize("streams", [1, 2])
def test_closing_fetches_what_nobody_has_fetched(simulation: Simulation, streams: int) -> None:
    with opened(simulation, streams=streams) as opening:
        submitted = [opening.runner.submit(tiny.feeds(1, seed)) for seed in range(streams)]
        within_time(opening.runner.close)
        for seed, each in enumerate(submitted):
            assert each.done()
            check(each.wait(), tiny.feeds(1, seed))


def test_closing_waits_for_those_who_have_a_lane_and_turns_others_away(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        taken, leave = threading.Event(), threading.Event()
        order: list[str] = []

        def hold() -> None:
            with opening.runner.lane():
                taken.set()
                assert leave.wait(PATIENCE_SECONDS)
                order.append("given")

        def wait_for_one() -> None:
            with pytest.raises(UsageError, match="closed"):
                opening.runner.run(tiny.feeds())

        def close() -> None:
            opening.runner.close()
            order.append("closed")

        with ThreadPoolExecutor(3) as pool:
            jobs = [pool.submit(hold)]
            assert taken.wait(PATIENCE_SECONDS)
            jobs += [pool.submit(wait_for_one), pool.submit(close)]
            jobs[1].result(PATIENCE_SECONDS)
            leave.set()
            for job in jobs:
                job.result(PATIENCE_SECONDS)
        assert order == ["given", "closed"]


def test_an_answer_that_failed_says_so_to_everybody_who_asks(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        submitted = opening.runner.submit(tiny.feeds())
        simulation.gpu.fail("cuEventSynchronize", "CUDA_ERROR_ILLEGAL_ADDRESS", times=1)
        for _ in range(2):
            with pytest.raises(DeviceError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
                submitted.wait()
        assert submitted.done()
        check(opening.runner.run(tiny.feeds()), tiny.feeds())


def test_an_answer_that_cannot_be_written_is_the_trouble_of_who_asked_for_it(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        out = {"logits": np.zeros((1, 5), np.float32)}
        submitted = opening.runner.submit(tiny.feeds(), out)
        out["logits"].setflags(write=False)
        check(opening.runner.run(tiny.feeds(1, 3)), tiny.feeds(1, 3))
        with pytest.raises(ValueError, match="read-only"):
            submitted.wait()


def test_closing_from_inside_of_an_inference_is_an_error_and_not_for_ever(simulation: Simulation) -> None:
    with opened(simulation) as opening:

        def close_inside() -> None:
            with opening.runner.lane():
                opening.runner.close()

        with pytest.raises(UsageError, match="in the middle of one of this thread's own inferences"):
            within_time(close_inside)
        check(opening.runner.run(tiny.feeds()), tiny.feeds())


def test_binding_takes_all_lanes_without_a_deadlock(simulation: Simulation) -> None:
    with opened(simulation, streams=2) as opening:
        sets = [(seed, opening.arrays(tiny.feeds(1, seed))) for seed in range(4)]

        def bind_and_run(number: int) -> None:
            seed, arrays = sets[number]
            opening.runner.bind(arrays)
            pending = [opening.runner.submit(arrays) for _ in range(3)]
            check(opening.runner.run(arrays), tiny.feeds(1, seed))
            for each in pending:
                check(each.wait(), tiny.feeds(1, seed))

        with ThreadPoolExecutor(4) as pool:
            for job in [pool.submit(bind_and_run, number) for number in range(4)]:
                job.result(PATIENCE_SECONDS)
        assert opening.runner.counters["copied"] == 0


def test_what_a_stage_works_in_is_given_back_with_its_inference(simulation: Simulation) -> None:
    gone: list[int] = []
    with opened(simulation) as opening:

        def make(number: int) -> None:
            with opening.runner.lane() as lane:
                lane.inference(
                    1,
                    key=("stage", number),
                    addresses={},
                    before=lane.batches[1].copy_in(),
                    closed=lambda: gone.append(number),
                )

        for number in range(5):
            make(number)
        assert gone == [0]
        make(1)  # it is there, and now the last that was used
        assert gone == [0]
        make(5)
        assert gone == [0, 2]
        with opening.runner.lane() as lane:
            lane.drop(1, ("stage", 3))
            lane.drop(1, ("stage", 3))
        assert gone == [0, 2, 3]
        for call, answer in (("ICudaEngine.create_execution_context", None), ("cuStreamSynchronize", None)):
            del gone[:]
            simulation.gpu.fail(call, "CUDA_ERROR_LAUNCH_FAILED" if call.startswith("cu") else answer, times=1)
            with pytest.raises(EdgeferError):
                make(7)
            assert gone == [7]
        del gone[:]
    assert sorted(gone) == [1, 4, 5]


@pytest.mark.parametrize("step", ["give", "pending", "fetched", "_collect"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_lane_that_an_interrupt_loses_is_taken_back(simulation: Simulation, step: str, elsewhere: bool) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    def ask(opening: Opening) -> None:
        given = tiny.feeds()
        if step == "give":
            opening.runner.run(given)
        opening.runner.submit(given).wait()
        opening.runner.submit(given)
        opening.runner.run(given)

    def lose(opening: Opening) -> None:
        with mock.patch.object(Lanes, step, interrupted), pytest.raises(KeyboardInterrupt):
            ask(opening)

    def lost_and_found() -> None:
        with opened(simulation) as opening:
            if elsewhere:
                within_time(lambda: lose(opening))
            else:
                lose(opening)
            for _ in range(2):
                check(opening.runner.run(tiny.feeds()), tiny.feeds())
                check(opening.runner.submit(tiny.feeds()).wait(), tiny.feeds())
            lose(opening)  # and is not missed by `close`

    within_time(lost_and_found)


def test_what_is_at_work_is_not_taken_back(simulation: Simulation) -> None:
    with opened(simulation) as opening, ThreadPoolExecutor(1) as pool:
        with opening.runner.lane():
            waiting = pool.submit(opening.runner.run, tiny.feeds())
            with pytest.raises(FutureTimeout):
                waiting.result(0.5)
        check(waiting.result(PATIENCE_SECONDS), tiny.feeds())


def test_nothing_is_made_while_another_thread_captures(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, jobs = simulation.bindings.cuStreamBeginCapture, list[Future[None]]()
    with opened(simulation, streams=2) as opening, ThreadPoolExecutor(1) as pool:

        def make(number: int) -> None:
            with opening.runner.lane() as lane:
                lane.inference(1, key=("stage", number), addresses={}, before=lane.batches[1].copy_in())

        def begun(*arguments: object) -> object:
            answer = begin(*arguments)
            if not jobs:
                jobs.append(pool.submit(make, 2))
                wait(jobs, timeout=0.3)  # it would be made by then
            return answer

        monkeypatch.setattr(simulation.bindings, "cuStreamBeginCapture", begun)
        with simulation.gpu.recording() as calls:
            make(1)
            jobs[0].result(PATIENCE_SECONDS)
        found = [name for name, _ in calls]
    meanwhile = found[found.index("cuStreamBeginCapture") : found.index("cuStreamEndCapture")]
    assert "ICudaEngine.create_execution_context" not in meanwhile
    assert found.count("ICudaEngine.create_execution_context") == 2


def test_what_the_gpu_reads_stays_alive_until_it_has_been_read(simulation: Simulation) -> None:
    import gc
    import weakref

    class Owner:
        pass

    with opened(simulation) as opening:
        arrays, owner = opening.arrays(tiny.feeds()), Owner()
        seen = weakref.ref(owner)
        owned = {name: _owned(opening, each, owner) for name, each in arrays.items()}
        submitted = opening.runner.submit(owned)
        del owned, owner
        gc.collect()
        assert seen() is not None
        submitted.wait()
        gc.collect()
        assert seen() is None


def _owned(opening: Opening, array: Any, owner: object) -> Any:
    return type(array)(array.address, array.shape, array.dtype, None, owner)
