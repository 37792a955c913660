"""Answers that come later, on the CPU: in order, one after the other, whatever becomes of the session."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.container import Bundle
from edgefer.errors import AnswerPending, EdgeferError, InputError, UsageError
from edgefer.runtime import pending as pending_module
from edgefer.runtime import runners
from edgefer.runtime.pending import MOST_PENDING, HostQueue, PendingEstimate
from edgefer.runtime.runners import RunnerEntry
from edgefer.runtime.session import Session

Factory = Callable[..., Any]


class Slow:
    """A runner of the tiny network that answers, once it may, with the sum of `visible` in every logit."""

    versions: Mapping[str, str] = {}
    inputs: Mapping[str, Any] = {"visible": (1, 3, 8, 8), "infrared": (1, 1, 8, 8)}
    outputs = ("logits", "embedding")
    output_types: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.may = threading.Event()
        self.threads: set[str] = set()
        self.ran = 0
        self.closed_after = -1

    def run(self, feeds: Any, out: Any = None) -> dict[str, Any]:
        self.threads.add(threading.current_thread().name)
        assert self.may.wait(30)
        assert self.closed_after < 0
        self.ran += 1
        with np.errstate(over="ignore"):
            total = feeds["visible"].sum()
        logits = np.full((1, 5), total, np.float32) + np.arange(5, dtype=np.float32)
        return {"logits": logits, "embedding": np.zeros((1, 8), np.float32)}

    def close(self) -> None:
        self.closed_after = self.ran


@pytest.fixture
def slow(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Any:
    runner = Slow()
    runner.may.set()  # for the run at opening
    monkeypatch.setattr(runners, "RUNNERS", (RunnerEntry("slow", "cpu", lambda: None, lambda request: runner),))
    session = Session(tiny_bundle)
    runner.may.clear()
    runner.threads.clear()
    runner.ran = 0
    yield session, runner
    runner.may.set()
    session.close()


def example(value: float = 0.0) -> dict[str, Any]:
    return {"visible": np.full((1, 3, 8, 8), value, np.float32), "infrared": np.zeros((1, 1, 8, 8), np.float32)}


def test_it_answers_as_infer_does(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    pytest.importorskip("onnxruntime")
    with Session(tiny_bundle) as session:
        examples = [tiny_inputs(seed=seed) for seed in range(20)]
        pending = [session.infer_async(**each) for each in examples]
        for later, each in zip(pending, examples, strict=True):
            found, expected = later.result(), session.infer(**each)
            np.testing.assert_array_equal(found.logits, expected.logits)
            assert found.modalities == expected.modalities
            assert later.done()
            assert later.event is None
            assert later.result() is found


def test_it_does_not_wait(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    pending = session.infer_async(**example(1.0))
    assert not pending.done()
    with pytest.raises(AnswerPending, match=r"not there after 0\.02 s") as caught:
        pending.result(timeout=0.02)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.hint
    with pytest.raises(AnswerPending):
        pending.result(timeout=0)
    runner.may.set()
    assert pending.result(timeout=30).index == 4
    assert len(runner.threads) == 1
    assert next(iter(runner.threads)).startswith("edgefer-async")


def test_tensors_may_change_as_soon_as_it_returns(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    tensors = example(1.0)
    pending = session.infer_async(**tensors)
    tensors["visible"][:] = 7.0
    runner.may.set()
    assert pending.result().logits[0] == 3 * 8 * 8


def test_no_thread_is_started_without_need(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    runner.may.set()
    session.infer(**example())
    assert runner.threads == {threading.current_thread().name}


def test_they_run_in_order_and_only_so_many_wait(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    pending = [session.infer_async(**example(float(value))) for value in range(MOST_PENDING)]
    with ThreadPoolExecutor(1) as pool:
        one_more = pool.submit(lambda: session.infer_async(**example(99.0)))
        with pytest.raises(FutureTimeout):  # Python 3.10 has two
            one_more.result(timeout=0.05)
        runner.may.set()
        pending.append(one_more.result(timeout=30))
    values = [each.result().logits[0] / (3 * 8 * 8) for each in pending]
    assert values == [*range(MOST_PENDING), 99.0]


def test_closing_waits_for_what_was_submitted(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    pending = [session.infer_async(**example(float(value))) for value in range(3)]
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(session.close)
        runner.may.set()
        closing.result(timeout=30)
    assert runner.closed_after == 3
    assert [each.result().logits[0] / (3 * 8 * 8) for each in pending] == [0, 1, 2]
    with pytest.raises(UsageError, match="closed"):
        session.infer_async(**example())


def test_a_forked_process_has_a_thread_of_its_own(slow: tuple[Session, Slow], monkeypatch: pytest.MonkeyPatch) -> None:
    session, runner = slow
    mine = [session.infer_async(**example()) for _ in range(MOST_PENDING)]
    with monkeypatch.context() as forked:
        forked.setattr(pending_module.os, "getpid", lambda: -1)
        forked.setattr(runner, "may", threading.Event())
        runner.may.set()
        assert session.infer_async(**example(1.0)).result(timeout=30).logits[0] == 3 * 8 * 8
    runner.may.set()
    assert [each.result(timeout=30).logits[0] for each in mine] == [0] * MOST_PENDING


def test_waiting_in_vain_is_a_timeout_that_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(AnswerPending("not there", hint="wait")))
    assert isinstance(error, AnswerPending)
    assert (error.message, error.hint, str(error)) == ("not there", "wait", "not there\nhint: wait")


def test_a_queue_that_is_closed_takes_nothing() -> None:
    queue = HostQueue(Slow())  # type: ignore[arg-type]
    queue.close()
    queue.close()
    for _ in range(MOST_PENDING + 1):  # and keeps no room for what it refused
        with pytest.raises(UsageError, match="closed"):
            queue.submit(example(), None)


def test_what_is_wrong_is_said_at_once_or_with_the_answer(
    slow: tuple[Session, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, runner = slow
    runner.may.set()
    with pytest.raises(InputError, match="'infrared'"):
        session.infer_async(visible=example()["visible"])
    assert runner.ran == 0

    def fails(feeds: Any, out: Any = None) -> Any:
        raise EdgeferError("the graph failed")

    monkeypatch.setattr(runner, "run", fails)
    pending = session.infer_async(**example())
    for _ in range(2):
        with pytest.raises(EdgeferError, match="the graph failed"):
            pending.result()
    assert pending.done()


def test_logits_that_are_not_finite(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    runner.may.set()
    pending = session.infer_async(**example(3e38))
    for _ in range(2):
        with pytest.raises(InputError, match="not finite"):
            pending.result()


def test_several_threads_may_ask_for_one_answer(slow: tuple[Session, Slow]) -> None:
    session, runner = slow
    pending = session.infer_async(**example(1.0))
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(pending.result) for _ in range(4)]
        runner.may.set()
        answers = [each.result(timeout=30) for each in asking]
    assert all(answer is answers[0] for answer in answers)
    assert isinstance(pending, PendingEstimate)
