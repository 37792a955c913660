"""The open loop: frames arrive at a fixed rate, as from a camera, whether or not the last one is answered.

A closed loop asks again only after it was answered: while something stalls it asks nothing, and so it records one slow
run where a camera would have left a queue of late frames behind it. Here the schedule is fixed beforehand, and a
frame's latency counts from when it was due to arrive, so that time spent waiting behind others is in it.

No thread plays the camera. As the arrivals are known, a worker that comes for its next frame works out which have
arrived meanwhile and which of them found the queue full; one that finds none waiting takes the next on the schedule
and sleeps until it is due.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgefer.benchmark.closed_loop import noted
from edgefer.benchmark.frames import Answer, FrameQueue
from edgefer.benchmark.frames import Camera as Camera
from edgefer.benchmark.result import Latency, Loss, OpenLoop, Settings, WarmUp
from edgefer.benchmark.statistics import latency
from edgefer.benchmark.timeline import Action, Aside, Timeline
from edgefer.errors import UsageError

_NAP = 0.1
"""The longest sleep at once, so that an interrupt is answered."""


def open_loop(
    actions: Sequence[Action],
    *,
    settings: Settings,
    camera: Camera | None = None,
    warmed: WarmUp,
    aside: Aside | None = None,
    timeline: Timeline | None = None,
) -> OpenLoop:
    """Answer a camera's frames with one thread for each action, and account for every frame.

    A frame whose action raises an exception is lost with that reason, and the next is taken. Python's garbage
    collector runs as it does in an application.

    Args:
        actions: what each worker does with a frame; several workers need several actions, or one that several threads
            may call at once.
        settings: what the actions are; `streams` is expected to be their number.
        camera: the schedule and the queue.
        warmed: what ran before, from `steady.warm_up`; nothing is warmed up here.
        aside: called from the waiting main thread, beside the work: it must cost next to nothing.
        timeline: the clock and the moment that `arrived` counts from.

    Raises:
        UsageError: there are no actions.
        KeyboardInterrupt: as asked for, after the frames that were being answered.
    """
    if not actions:
        raise UsageError("the open loop has no actions", hint="give one for each stream")
    seen, clock = camera or Camera(), timeline or Timeline()
    # One period ahead, in which the threads start.
    queue = FrameQueue(seen, first=clock.now() + 1 / seen.rate)
    workers = [
        threading.Thread(target=_work, args=(queue, action, clock), name=f"open-loop-{index}", daemon=True)
        for index, action in enumerate(actions)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(_NAP if aside is None else min(_NAP, aside.every))
                if aside is not None:
                    queue.now_and_then(aside, clock)
    finally:
        queue.stop()
        for worker in workers:
            if worker.ident is not None:
                worker.join()
    if queue.broken is not None:
        raise queue.broken
    return _report(queue, settings, warmed, clock)


def _work(queue: FrameQueue, action: Action, clock: Timeline) -> None:
    try:
        while (frame := queue.take(clock.now())) is not None:
            due = queue.due(frame)
            while (left := due - clock.now()) > 0:
                if queue.stopped:
                    return
                clock.sleep(min(left, _NAP))
            began = clock.now()
            try:
                action()
            except Exception as error:
                queue.lose(frame, f"failed: {type(error).__name__}: {error}")
            else:
                queue.answer(Answer(frame, began, clock.now()))
    except BaseException as error:  # of the clock or of SystemExit in an action: it is raised where it can be seen
        queue.stop(error)


def _report(queue: FrameQueue, settings: Settings, warmed: WarmUp, clock: Timeline) -> OpenLoop:
    camera = queue.camera
    answers = sorted(queue.answers, key=lambda answer: answer.frame)
    losses = sorted(queue.losses)
    accounted = sorted([answer.frame for answer in answers] + [frame for frame, _ in losses])
    if accounted != list(range(camera.frames)):
        raise RuntimeError(f"{camera.frames} frames arrived, {len(answers)} were answered and {len(losses)} lost")
    # A clock may say that work began a rounding error before its frame was due.
    waits = [max(0.0, answer.began - queue.due(answer.frame)) for answer in answers]
    latencies = [max(0.0, answer.ended - queue.due(answer.frame)) for answer in answers]

    def figures(durations: list[float]) -> Latency | None:
        return latency(durations, confidence=camera.confidence) if durations else None

    policy = "the oldest waiting frame" if camera.full == "drop-oldest" else "the arriving frame"
    return OpenLoop(
        settings=noted(settings, f"a full queue drops {policy}"),
        warm_up=warmed,
        rate=camera.rate,
        seconds=camera.frames / camera.rate,
        queue_limit=camera.queue_limit,
        arrivals=camera.frames,
        answered=len(answers),
        losses=tuple(
            Loss(frame=frame, arrived=clock.since_start(queue.due(frame)), reason=reason) for frame, reason in losses
        ),
        longest_queue=queue.longest,
        latency=figures(latencies),
        service=figures([answer.ended - answer.began for answer in answers]),
        queueing=figures(waits),
        over_period=sum(duration > 1 / camera.rate for duration in latencies),
        arrived=tuple(clock.since_start(queue.due(answer.frame)) for answer in answers),
        latencies=tuple(latencies),
    )
