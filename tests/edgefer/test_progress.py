"""Progress goes to standard error and is drawn on terminals alone; notes are kept and shown everywhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from edgefer.progress import Silent, Terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_silent_keeps_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    told = Silent()
    with told.task("a step", 3) as advance:
        advance(3)
    told.note("a fall-back was taken")
    assert told.notes == ["a fall-back was taken"]
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_notes_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    told = Terminal()
    with told.task("a step", 3) as advance:
        advance(1)
    told.note("[bold] stays as it is, and so does synthetic:100:1, however long the sentence may get: " + "word " * 40)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == told.notes[0] + "\n"


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Tty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    told = Terminal()
    told._console = Console(file=screen, force_terminal=True, width=80)
    with told.task("calibrate", 4) as advance:
        advance(2)
    shown = screen.getvalue()
    assert "calibrate" in shown
    assert " 50%" in shown
    assert shown.rstrip("\r\n").endswith("\x1b[2K")


def test_an_error_inside_a_task_comes_out_and_the_next_task_works() -> None:
    told = Terminal()
    with pytest.raises(ValueError, match="inside"), told.task("a step"):
        raise ValueError("inside")
    with told.task("another") as advance:
        advance(1)
