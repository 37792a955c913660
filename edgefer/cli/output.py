"""Standard output: only what was asked for goes there, whatever the libraries in between print."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefer.readable import encode_json, readable


@dataclass(frozen=True)
class Outcome:
    """What a verb answers: `payload` under `--json`, `text` otherwise, and the exit code."""

    payload: Any
    text: str
    exit_code: int = 0


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Send whatever is written to standard output to standard error meanwhile, from C and child processes too."""
    _flush()
    try:
        kept = os.dup(1)
    except OSError:  # closed by the caller (`>&-`): there is nothing to keep clean
        yield
        return
    try:
        _point_at_stderr()
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _point_at_stderr() -> None:
    try:
        os.dup2(2, 1)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # What a C library has printed may still sit in its buffer, and would come out after the redirection ends.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def to_json(payload: Any) -> bytes:
    """One line of JSON in UTF-8. Paths become text, NumPy numbers and arrays numbers and lists, NaN becomes null."""
    return encode_json(payload, _plain) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def emit(outcome: Outcome, *, as_json: bool) -> None:
    """Write an outcome to standard output.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """
    data = to_json(outcome.payload) if as_json else _encoded(outcome.text)
    stream = sys.stdout
    if stream is None:
        return
    if hasattr(stream, "buffer"):
        stream.flush()
        # Under PYTHONUNBUFFERED this is a bare file, which may take only the beginning of what it is given.
        rest = memoryview(data)
        while rest:
            rest = rest[stream.buffer.write(rest) :]
    else:
        stream.write(data.decode("utf-8", "replace"))
    stream.flush()


def _encoded(text: str) -> bytes:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if text and not text.endswith("\n"):
        text += "\n"
    return readable(text).encode(encoding, "replace")


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), header: bool = True) -> str:
    """Columns of text, two spaces apart, the columns in `right` set to the right; the first row is the header."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for index, row in enumerate(rows):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if header and index == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values below each other, values aligned; a pair without a value is left out."""
    kept = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in kept), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in kept)


def percent(share: float | None) -> str:
    """A share as a table writes it; a dash where it is not known."""
    return "-" if share is None else f"{100 * share:.2f} %"
