"""The entry point of the command line: run a verb, print its answer, turn every error into an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence

from edgefer.cli.extras import explain
from edgefer.cli.output import Outcome, aside, emit
from edgefer.cli.parser import parse
from edgefer.errors import EdgeferError

INTERRUPTED = 130
TERMINATED = 143
PIPE_CLOSED = 141


class Terminated(KeyboardInterrupt):
    """SIGTERM, which otherwise would end the process without a chance to end its children and remove its files."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: what follows `edgefer`; None takes it from the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    try:
        outcome = _run(words)
        try:
            emit(outcome, as_json=as_json)
        except BrokenPipeError:
            raise
        except OSError as error:  # a full disk behind `> FILE`: the answer is lost, and whoever reads it must be told
            _discard_stdout()
            return _system_error(error, as_json=False).exit_code
    except BrokenPipeError:
        _discard_stdout()
        return PIPE_CLOSED
    except SystemExit as finished:  # --help and --version have printed what was asked for
        return finished.code if isinstance(finished.code, int) else 0
    return outcome.exit_code


def _run(words: Sequence[str]) -> Outcome:
    """The outcome of a command line; an error is one too."""
    verb = next((word for word in words if not word.startswith("-")), "")
    as_json = "--json" in words
    debug = "--debug" in words
    try:
        arguments = parse(words)
        with _terminable(), aside():
            answer: Outcome = arguments.run(arguments)
            return answer
    except KeyboardInterrupt as stop:
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        return _failed("Interrupted", "Interrupted; nothing half-written is left behind.", code, as_json)
    except EdgeferError as error:
        _trace(debug)
        return _refused(error, as_json)
    except ImportError as error:
        _trace(debug)
        explained = explain(error, verb)
        return _unexpected(error, as_json) if explained is None else _refused(explained, as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        _trace(debug)
        return _system_error(error, as_json)
    except MemoryError:
        _trace(debug)
        hint = "Use less data, a smaller batch, or a machine with more memory."
        return _failed("MemoryError", "This machine ran out of memory.", 1, as_json, hint=hint)
    except Exception as error:
        _trace(debug)
        return _unexpected(error, as_json)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refused(error: EdgeferError, as_json: bool) -> Outcome:
    return _failed(
        type(error).__name__, error.message, error.exit_code, as_json, hint=error.hint, details=error.details
    )


def _system_error(error: OSError, as_json: bool) -> Outcome:
    where = f": {error.filename}" if error.filename else ""
    message = f"The system refused: {error.strerror or error}{where}."
    hints = {
        errno.ENOSPC: "Free some space; what was there before is untouched.",
        errno.EDQUOT: "Free some space; what was there before is untouched.",
        errno.EACCES: "Check who owns the file and its folder.",
        errno.EPERM: "Check who owns the file and its folder.",
        errno.EROFS: "Write to another folder.",
        errno.ENOENT: "Check the path.",
    }
    hint = hints.get(error.errno, "") if error.errno is not None else ""
    return _failed(type(error).__name__, message, 1, as_json, hint=hint)


def _unexpected(error: Exception, as_json: bool) -> Outcome:
    return _failed(
        type(error).__name__,
        f"Unexpected {type(error).__name__}: {error}",
        1,
        as_json,
        hint="This is a defect of edgefer. Run the command again with --debug and report the traceback.",
    )


def _failed(kind: str, message: str, code: int, as_json: bool, *, hint: str = "", details: str = "") -> Outcome:
    if not as_json and sys.stderr is not None:
        parts = [f"error: {message}", details, f"hint: {hint}" if hint else ""]
        print("\n".join(part for part in parts if part), file=sys.stderr)
    error = {"type": kind, "message": message, "hint": hint, "details": details}
    return Outcome(payload={"error": error}, text="", exit_code=code)


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc(file=sys.stderr)


def _discard_stdout() -> None:
    # The interpreter flushes standard output once more at exit, which would fail again with a message.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    raise SystemExit(main())
