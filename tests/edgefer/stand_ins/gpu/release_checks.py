"""How sessions on a GPU end: closed by any thread, forgotten, forked; all is given back, in reverse."""

from __future__ import annotations

import gc
import os
import threading

import simulated_session as tiny
from session_checks import ONE, Setting, arrays_of, assert_answer, assert_given_back, opened, prepared
from simulation import Simulation, simulate

from edgefer.errors import DeviceError, UsageError
from edgefer.runtime.session import Session


def check_reverse_order(setting: Setting = ONE) -> None:
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


def check_threads_and_closing(setting: Setting = ONE) -> None:
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


def check_forgotten(setting: Setting = ONE) -> None:
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


def check_forgotten_elsewhere() -> None:
    """The last reference may be let go by another thread than that which opened the session."""
    simulation = simulate()
    with prepared(simulation) as open_session:
        held = [open_session()]
        held[0].infer(**tiny.feeds(1))
        thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        assert_given_back(simulation)


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
