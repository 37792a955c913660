"""Every check of a session on this GPU. Answers are compared to the bit wherever the same kernels get the same numbers.

A check is a function that says what it found, and raises `Wrong`, `Absent` or an error of edgefer's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.gpu_check import session_arrays, session_ways
from benchmarks.gpu_check.known import Absent, Known, Wrong, known
from benchmarks.gpu_check.result import Check
from benchmarks.gpu_check.subject import Subject
from edgefer.errors import EdgeferError, EnvironmentMismatch

PLAIN = "plain enqueues"
"""The name of the first check, which comes alone where it finds nothing to hold the others' answers to."""

CHECKS: dict[str, Callable[[Known], str]] = {
    "golden inputs": session_ways.golden,
    "graphs against plain enqueues": session_ways.graphs,
    "batches": session_ways.batches,
    "two streams and eight threads": session_ways.streams,
    "priorities": session_ways.priorities,
    "pinned and mapped memory": session_ways.memory,
    "out=": session_arrays.out,
    "infer_async": session_arrays.later,
    "bound arrays": session_arrays.bound,
    "other arrays on the GPU": session_arrays.unbound,
    "beside PyTorch": session_arrays.torch,
    "frames of cameras": session_arrays.frames,
    "wrong arrays": session_arrays.wrong,
    "a memory limit": session_ways.limit,
    "memory is given back": session_ways.given_back,
}


Keep = Callable[[list[Check]], None]


def session_checks(
    subject: Subject, names: Sequence[str] = tuple(CHECKS), keep: Keep = lambda checks: None
) -> list[Check]:
    """All of them, or those of these `names`, in order. Where the first finds nothing to hold answers to, it alone.

    Args:
        keep: hears after each what was found so far; the next one may end the process.
    """
    found: list[Known] = []

    def first() -> str:
        found.append(known(subject))
        return "different inputs have different answers, each twice the same to the bit"

    checks = [made(f"{subject.engine}: {PLAIN}", first)]
    keep(checks)
    for name in names if found else ():
        checks.append(made(f"{subject.engine}: {name}", partial(CHECKS[name], found[0])))
        keep(checks)
    return checks


def made(name: str, check: Callable[[], str]) -> Check:
    """What a check found. A package that is missing makes it absent."""
    try:
        return Check(name=name, state="passed", found=check())
    except Absent as reason:
        return Check(name=name, state="absent", found=str(reason))
    except Wrong as fault:
        return Check(name=name, state="failed", found=str(fault))
    except EdgeferError as error:
        if type(error) is EnvironmentMismatch:  # the errors of the GPU are its subclasses
            return Check(name=name, state="absent", found=str(error))
        return Check(name=name, state="failed", found=f"{type(error).__name__}: {error}")
    except Exception as error:  # of a binding or of this check itself; what the others find must not go with it
        return Check(name=name, state="failed", found=f"{type(error).__name__}: {error}")
