"""Many threads on one session on a simulated GPU: every answer right, nothing left behind, nobody waiting for ever."""

from __future__ import annotations

import contextlib
import faulthandler
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import session_checks as checks
import simulated_session as tiny
import work_checks as work
from session_checks import Setting
from simulation import Simulation, simulate

from edgefer.errors import UsageError
from edgefer.kernels.preprocess import PreprocessParams
from edgefer.runtime.session import Session

THREADS = 8
SECONDS = 60.0
"""A deadlock is what takes longer."""


class Workload:
    """What the threads do at random: each of the ways to ask, with examples whose answers are known."""

    def __init__(self, session: Session, simulation: Simulation) -> None:
        self.session, self.simulation = session, simulation
        simulation.gpu.kernel("edgefer_preprocess_f32n", PreprocessParams, work.plain)
        self.examples = [tiny.feeds(1, seed) for seed in range(6)]
        self.batches = [tiny.feeds(4, 10 + seed) for seed in range(3)]
        self.answers = [tiny.logits(each) for each in self.examples]
        self.batch_answers = [tiny.logits(each) for each in self.batches]
        self.on_gpu = [checks.arrays_of(simulation, each) for each in self.examples]
        self.batches_on_gpu = [checks.arrays_of(simulation, each) for each in self.batches]

    def step(self, rng: random.Random) -> None:
        way: Callable[[random.Random], None] = rng.choice(
            [
                *(self.one, self.batch, self.device, self.device_batch, self.mixed, self.later, self.into, self.bind),
                self.frames,
            ]
        )
        way(rng)

    def one(self, rng: random.Random) -> None:
        number = rng.randrange(6)
        same(self.session.infer(**self.examples[number]).logits, self.answers[number][0])

    def batch(self, rng: random.Random) -> None:
        number = rng.randrange(3)
        same(self.session.run(self.batches[number])["logits"], self.batch_answers[number])

    def device(self, rng: random.Random) -> None:
        number = rng.randrange(6)
        same(self.session.infer(**self.on_gpu[number]).logits, self.answers[number][0])

    def device_batch(self, rng: random.Random) -> None:
        number = rng.randrange(3)
        same(self.session.run(self.batches_on_gpu[number])["logits"], self.batch_answers[number])

    def mixed(self, rng: random.Random) -> None:
        number = rng.randrange(6)
        name = rng.choice(["visible", "infrared"])
        feeds = {**self.examples[number], name: self.on_gpu[number][name]}
        same(self.session.infer(**feeds).logits, self.answers[number][0])

    def later(self, rng: random.Random) -> None:
        numbers = [rng.randrange(6) for _ in range(rng.randrange(1, 5))]
        pending = [self.session.infer_async(**self.examples[number]) for number in numbers]
        order = list(zip(numbers, pending, strict=True))
        rng.shuffle(order)
        for number, each in order[: rng.randrange(len(order) + 1)]:  # some are never asked for
            same(each.result().logits, self.answers[number][0])

    def into(self, rng: random.Random) -> None:
        number = rng.randrange(6)
        out = {"logits": np.full((1, 5), np.nan, np.float32)}
        self.session.run(self.examples[number], out=out)
        same(out["logits"], self.answers[number])

    def frames(self, rng: random.Random) -> None:
        visible, infrared = rng.randrange(256), rng.randrange(65536)
        size = (10 + rng.randrange(6), 20)  # of more sizes than graphs are kept for
        answer = self.session.infer_images(**work.plain_frames(visible, infrared, size))
        same(answer.logits, tiny.logits(work.plain_feeds(visible, infrared))[0])

    def bind(self, rng: random.Random) -> None:
        if rng.random() < 0.2:
            self.session.bind(**self.on_gpu[rng.randrange(6)])


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Ends the process with the stacks of all threads where the block takes too long. Threads change often in it."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        faulthandler.cancel_dump_traceback_later()


def run_threads(work: Callable[[int], None]) -> None:
    """The work in threads, by their number; the first error of any is raised."""
    problems: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # handed to the thread that asks
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("setting", [Setting(streams=2), Setting(streams=1), Setting(streams=2, integrated=True)])
def test_every_thread_gets_its_own_answers(setting: Setting, seed: int) -> None:
    with time_limit(), checks.opened(setting) as (session, simulation):
        workload = Workload(session, simulation)
        workload.session.bind(**workload.on_gpu[0])

        def work(number: int) -> None:
            rng = random.Random(f"{seed} {number}")
            for _ in range(200):
                workload.step(rng)

        run_threads(work)


@pytest.mark.parametrize("seed", [4, 5, *(pytest.param(each, marks=pytest.mark.slow) for each in range(6, 26))])
def test_closing_in_the_middle_ends_every_thread_and_leaves_nothing(seed: int) -> None:
    simulation = simulate()
    with time_limit(), checks.prepared(simulation, Setting(streams=2)) as open_session:
        workload = Workload(open_session(), simulation)
        steps = [0] * THREADS

        def work(number: int) -> None:
            rng = random.Random(f"{seed} {number}")
            if number == 0:
                while min(steps[1:]) < 10:  # everybody is in the middle of something
                    workload.step(rng)
                workload.session.close()
                return
            with contextlib.suppress(UsageError):
                for _ in range(10_000):
                    workload.step(rng)
                    steps[number] += 1
                raise AssertionError("the session was never closed")

        run_threads(work)
        with pytest.raises(UsageError, match="closed"):
            workload.one(random.Random(0))
        checks.assert_given_back(simulation)
