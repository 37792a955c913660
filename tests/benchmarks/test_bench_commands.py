"""`make bench`, `bench-store` and `bench-check` after the measuring: what they print and how they end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from suite_output import info, write

from benchmarks import check, store, table
from benchmarks.fingerprint import Fingerprint
from benchmarks.rows import read_run
from edgefer.errors import InputError

HERE = Fingerprint(cpu="A CPU", cpus=2)
BEFORE = {
    "session::test_infer[full]": info(1.01, 1.0, 1.02, goal="at most 1.03 x", met=True),
    "import::test_import[import]": info(1.2, 1.1, 1.3),
    "bundle::test_read": info(1.4, 1.35, 1.45),
}


def checked(tmp_path: Path, now: dict[str, dict[str, object]]) -> int:
    store.main([str(write(tmp_path / "before.json", BEFORE))], machine=HERE, folder=tmp_path)
    return check.main([str(write(tmp_path / "now.json", now))], machine=HERE, folder=tmp_path)


def line(text: str, *words: str) -> str:
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_names_figures_and_rows_without_a_ratio(tmp_path: Path) -> None:
    notes = {"build::test_full_width_int8_build[entropy]": {"goal": "at most 60 s", "met": True}, **BEFORE}
    found = read_run(write(tmp_path / "run.json", notes))
    names = ["build: full width int8 build[entropy]", "bundle: read", "import: import[import]", "session: infer[full]"]
    assert [row.name for row in found.rows] == names
    assert found.rows[0].measured is None
    assert found.rows[0].seconds == 0.5
    assert found.rows[3].measured is not None
    assert found.rows[3].measured.high == 1.02
    assert found.commit == "abc"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"datetime": "x", "commit_info": null, "benchmarks": []}'])
def test_what_is_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match="not what pytest-benchmark writes"):
        read_run(tmp_path / "run.json")
    with pytest.raises(InputError, match="there is no") as caught:
        read_run(tmp_path / "none.json")
    assert "make bench" in caught.value.hint


def test_the_table_shows_ratios_with_intervals_and_fails_on_a_missed_goal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main([str(write(tmp_path / "run.json", BEFORE))]) == 0
    shown = line(capsys.readouterr().out, "session: infer[full]")
    assert all(word in shown for word in ("12 ms", "1.01", "1.00 to 1.02", "at most 1.03 x", "yes"))
    missed = {**BEFORE, "bundle::test_read": info(2.0, 1.9, 2.1, goal="at most 1.5 x", met=False)}
    assert table.main([str(write(tmp_path / "run.json", missed))]) == 1
    assert "goals missed: bundle: read" in capsys.readouterr().out


def test_the_same_again_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, BEFORE) == 0
    assert "no ratio has fallen behind" in capsys.readouterr().out


def test_a_ratio_that_fell_behind_fails_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, {**BEFORE, "session::test_infer[full]": info(1.1, 1.08, 1.12)}) == 1
    out = capsys.readouterr().out
    assert "WORSE" in line(out, "session: infer[full]", "1.100")
    assert "fallen behind by more than the measured noise: session: infer[full]" in out
    assert "ok" in line(out, "bundle: read")


def test_better_new_and_missing_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = {
        "session::test_infer[full]": info(0.9, 0.89, 0.91),
        "import::test_import[import]": info(1.25, 1.2, 1.3),
        "gate::test_gate": info(0.7, 0.6, 0.8),
    }
    assert checked(tmp_path, now) == 0
    out = capsys.readouterr().out
    states = {"session: infer[full]": "better", "bundle: read": "missing", "gate: gate": "new", "import: ": "ok"}
    for name, state in states.items():
        assert state in line(out, name)


def test_a_machine_without_stored_ratios_is_told_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(write(tmp_path / "run.json", BEFORE))
    for arguments in ([run], ["--is-stored"]):
        with pytest.raises(InputError, match="nothing is stored for this machine") as caught:
            check.main(arguments, machine=HERE, folder=tmp_path)
        assert "make bench-store" in caught.value.hint
    monkeypatch.setattr(sys, "argv", ["check", run])
    assert table.ending(lambda arguments: check.main(arguments, machine=HERE, folder=tmp_path)) == 2
    assert "make bench-store" in capsys.readouterr().err
    store.main([run], machine=HERE, folder=tmp_path)
    assert check.main(["--is-stored"], machine=HERE, folder=tmp_path) == 0
