"""Streams, events, captures and graphs of a simulated GPU. Work is done when somebody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from simulated_memory import IllegalUse


@dataclass(frozen=True)
class Work:
    """Something for the GPU to do. `uses` names what no other stream may use meanwhile, `needs` what has to be there as
    long as a graph of it is: allocations, execution contexts."""

    name: str
    run: Callable[[], None]
    uses: frozenset[object] = frozenset()
    needs: frozenset[int] = frozenset()


@dataclass(eq=False)
class Capture:
    thread: int
    local: bool
    work: list[Work] = field(default_factory=list)
    invalid: str = ""


@dataclass(eq=False)
class SimulatedStream:
    """`given` and `done` count works; an event is such a count."""

    handle: int
    priority: int = 0
    flags: int = 0
    queue: deque[Work] = field(default_factory=deque)
    given: int = 0
    done: int = 0
    capture: Capture | None = None

    def put(self, work: Work) -> None:
        if self.capture is not None:
            self.capture.work.append(work)
            return
        self.queue.append(work)
        self.given += 1

    def run_to(self, count: int) -> None:
        """Do the first `count` works that were ever put on this stream."""
        while self.done < count:
            work = self.queue.popleft()
            self.done += 1
            work.run()


@dataclass(eq=False)
class SimulatedEvent:
    """`mark` is the stream and how many of its works are before the event; None before it was recorded."""

    handle: int
    flags: int = 0
    mark: tuple[SimulatedStream, int] | None = None
    captured: bool = False
    asked: int = 0

    @property
    def happened(self) -> bool:
        return self.mark is None or self.mark[0].done >= self.mark[1]

    def reach(self) -> None:
        if self.mark is not None:
            self.mark[0].run_to(self.mark[1])


@dataclass(eq=False)
class SimulatedGraph:
    """What a capture recorded; `launches` counts where it is executable."""

    handle: int
    work: tuple[Work, ...]
    launches: int = 0


@dataclass(eq=False)
class SimulatedExecutable(SimulatedGraph):
    """A graph that can be launched."""


def collide(stream: SimulatedStream, streams: list[SimulatedStream], work: Work) -> None:
    """Refuse work that uses what work on another stream, not done yet, uses too.

    Raises:
        IllegalUse: an execution context or its memory would be used twice at once.
    """
    for other in streams:
        if other is stream:
            continue
        for waiting in other.queue:
            if work.uses & waiting.uses:
                raise IllegalUse(f"{work.name} uses what {waiting.name} on another stream is using")
