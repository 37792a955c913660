"""A reference to a GPU's primary context: making it current, and giving back in order all that was made in it.

pycuda keeps a stack of contexts for every thread, and ends the process when a thread ends with one left on it; what it
allocates it can free only where the same context is current. So whatever is done is done between a push and a pop on
the same thread, and nothing is left to pycuda's destructors, which run at any time on any thread.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from edgefer.errors import DeviceError, UsageError
from edgefer.kernels.driver import Driver
from edgefer.runtime.gpu.cuda_errors import Translator

Release = Callable[[], object]

_PATIENCE = 10.0
"""Seconds that `close` waits for other threads: more than any inference takes, less than an exit may hang."""


class _Held(NamedTuple):
    release: Release
    by_pycuda: bool


class _Entered(threading.local):
    """The contexts that this thread is in, innermost last: pycuda's objects."""

    def __init__(self) -> None:
        self.stack: list[Any] = []


_entered = _Entered()


class PrimaryContext:
    """The primary context of GPU `ordinal`, retained here and released by `close`.

    `with context: ...` makes it this thread's current one, and restores at the end what was current before. It may be
    nested, and entered by several threads at once.

    Raises, from entering it:
        UsageError: it was closed.
        DeviceError: it was opened in a process that this one was forked from, or the driver refused.
    """

    def __init__(self, pycuda: Any, driver: Driver, ordinal: int) -> None:
        self.pycuda = pycuda
        self.driver = driver
        self.ordinal = ordinal
        self.translator = Translator(pycuda, driver)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._keys = itertools.count()
        self._held: dict[int, _Held] = {}
        self._inside: set[int] = set()
        self._closed = False
        self._error = pycuda.Error
        with self.translator.guard():
            self._context = pycuda.Device(ordinal).retain_primary_context()
        self._push, self._pop = pycuda.Context.push, pycuda.Context.pop

    def __enter__(self) -> None:
        stack = _entered.stack
        if not stack or stack[-1] is not self._context:
            # Before the look at `_closed`: `close` sets that first and looks at this then.
            self._inside.add(threading.get_ident())
        if self._closed or os.getpid() != self._pid:
            self._left(stack)
            raise self._unusable()
        self._activate(stack)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack = _entered.stack
        if not stack or stack[-1] is not self._context:
            return  # closed inside
        if os.getpid() != self._pid:
            stack.pop()
            return
        try:
            self._leave(stack)
        except self._error as failed:
            stack.pop()
            if error is None:  # what is on its way up says more
                raise self.translator.error(failed) from failed
        finally:
            self._left(stack)

    # pycuda's stack and this one change in one call of C, between the halves of which no handler of a signal runs:
    # whatever Ctrl-C interrupts, this stack says what is left to be popped, by `close` at the latest.

    def _activate(self, stack: list[Any]) -> None:
        if stack and stack[-1] is self._context:
            stack.append(self._context)
            return
        depth = len(stack)
        try:
            stack.extend(itertools.filterfalse(self._push, (self._context,)))  # a push gives None
        except BaseException as error:
            if len(stack) > depth:
                self._leave(stack)
            self._left(stack)
            if isinstance(error, self._error):
                raise self.translator.error(error) from error
            raise

    def _leave(self, stack: list[Any]) -> None:
        if len(stack) > 1 and stack[-2] is stack[-1]:
            stack.pop()
        else:
            stack[-1:] = iter(self._pop, None)

    def _left(self, stack: list[Any]) -> None:
        # By identity: pycuda's contexts of one GPU are equal.
        if not any(each is self._context for each in stack):
            self._inside.discard(threading.get_ident())

    @property
    def usable(self) -> bool:
        """Whether it is open, and this is the process that opened it."""
        return not self._closed and os.getpid() == self._pid

    @property
    def depth(self) -> int:
        """How many times this thread is in it."""
        return sum(each is self._context for each in _entered.stack)

    def inside(self, thread: int) -> bool:
        """Whether a thread is in it, by its identifier."""
        return thread in self._inside

    def hold(self, release: Release, *, by_pycuda: bool = False) -> int:
        """Has `close` call `release`, with the context current, before whatever was held earlier. The number is for
        `let_go`. Where the context was closed meanwhile, `release` is called at once. `by_pycuda` says that it frees
        memory of pycuda's, which prints instead of raising, and is left alone where the context is dead.

        Raises:
            UsageError: it was closed.
        """
        with self._lock:
            if not self._closed:
                key = next(self._keys)
                self._held[key] = _Held(release, by_pycuda)
                return key
        release()
        raise self._unusable()

    def let_go(self, key: int) -> None:
        """Calls what was held now; nothing where that is done already, or in a forked process."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            held = self._held.pop(key, None)
            if held is not None:
                self._inside.add(threading.get_ident())
        if held is not None:
            self._activate(_entered.stack)
            try:
                held.release()
            finally:
                self.__exit__(None, None, None)

    def close(self) -> None:
        """Releases what is held, newest first, then the context; once. Whoever is in it on another thread is waited
        for, and nobody gets in any more. In a forked process it touches nothing: what was opened belongs to the one
        that opened it.

        Raises:
            DeviceError: the driver refused something, or the context is dead after a failed kernel; it is the first of
                several errors. All that can be released is. Or a thread stays in the context; nothing is released then.
        """
        if os.getpid() != self._pid:
            self._closed = True
            _keep(self._held)
            _keep(self._context)
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            held, self._held = self._held, {}
        if not self._deserted():
            _keep(held)
            _keep(self._context)
            raise DeviceError(
                f"GPU {self.ordinal} is closed while another thread uses it, which did not end within {_PATIENCE:g} s",
                hint="end the threads that use the session before it is closed",
            )
        errors: list[Exception] = []
        self._release(list(held.values()), errors)
        stack = _entered.stack
        while stack and stack[-1] is self._context:
            self.__exit__(None, None, None)
        # pycuda would leave the context current on this thread, and on another than that which opened it would not
        # release it at all; its destructor takes it for one of pycuda's own making. The driver counts references and
        # does not mind who gives them back.
        _keep(self._context)
        try:
            self.driver.release(self.ordinal)
        except DeviceError as error:
            errors.append(error)
        if errors:
            raise errors[0]

    def _deserted(self) -> bool:
        """Waits until no other thread is in the context."""
        until = time.monotonic() + _PATIENCE
        while self._inside - {threading.get_ident()}:
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True

    def _release(self, held: list[_Held], errors: list[Exception]) -> None:
        try:
            self._activate(_entered.stack)
        except DeviceError as error:
            errors.append(error)
            _keep(held)
            return
        try:
            alive = self._is_alive(errors)
            for each in reversed(held):
                if each.by_pycuda and not alive:
                    _keep(each)
                    continue
                try:
                    each.release()
                except Exception as error:  # the others are to be released all the same
                    errors.append(error)
        finally:
            self.__exit__(None, None, None)

    def _is_alive(self, errors: list[Exception]) -> bool:
        try:
            with self.translator.guard():
                self.pycuda.mem_get_info()
        except DeviceError as error:
            errors.append(error)
            return False
        return True

    def _unusable(self) -> Exception:
        if os.getpid() != self._pid:
            return DeviceError(
                f"GPU {self.ordinal} was opened in process {self._pid} and is used in process {os.getpid()}, which was "
                "forked from it",
                hint="CUDA does not work across a fork: open the session in the process that uses it, or start "
                "processes with multiprocessing.get_context('spawn')",
            )
        return UsageError(
            f"GPU {self.ordinal} is used after it was closed", hint="open the session again, or close it later"
        )


def _keep(value: object) -> None:
    """Never destroys `value`: pycuda's destructors would print, or end the process, where the driver refuses them."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
