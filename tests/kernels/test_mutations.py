"""Defects planted into the device code: every barrier, every wait, every halo must be missed by some case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kernels.tools.mutants import Mutant, plant
from kernels.tools.mutate import EVERYTHING, MEETINGS, Caught, survivors
from kernels.tools.survivors import ALLOWED, allowed
from kernels.tools.toolchain import INCLUDE, ROOT, Toolchain

pytest.importorskip("torch", reason="the references are in float64 PyTorch")


def _run(*arguments: str) -> None:
    # In a process of its own: a defect may break what no signal handler mends.
    command = [sys.executable, "-m", "kernels.tools.mutate", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-8000:]


def test_no_barrier_wait_or_halo_can_be_left_out(host: Toolchain) -> None:
    _run()


@pytest.mark.slow
def test_no_bound_or_zero_can_be_changed(host: Toolchain) -> None:
    _run("--all")


SOURCE = """\
EDGEFER_DEVICE void first(int n) {
    // n < 3 and __syncthreads(); in a comment
    for (int k = 0; k < n && k <= f(2 << 1); ++k) {  // k < n
        __syncthreads();
    }
    copy_async_wait();
    const int row = halo_first(g(n, 1), (radius + 1)) + halo_end(n, radius, size);
}
template <class T>
EDGEFER_DEVICE T second(T x) {
    if constexpr (sizeof(T) < 4) {
        __syncthreads();
    }
    const int rows = row + tall < height ? row + tall : height;
    return x < 0.0f ? 0.0f : x;
}
"""


def test_where_defects_are_planted(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a.cuh").write_text(SOURCE)
    (tmp_path / "from/halo.cuh").write_text("int halo_first(int first, int radius) { return first < radius; }\n")
    mutants = plant(tmp_path / "from", tmp_path / "to", EVERYTHING)
    planted = (tmp_path / "to/a.cuh").read_text().splitlines()
    switch = "::edgefer::host::mutant"
    assert planted[1] == SOURCE.splitlines()[1]
    assert planted[2] == f"    for (int k = 0; k < {switch}(2) + n && k <= {switch}(1) + f(2 << 1); ++k) {{  // k < n"
    assert planted[3] == f"        if ({switch}(3) == 0) {{ __syncthreads(); }}"
    assert planted[5] == f"    if ({switch}(4) == 0) {{ copy_async_wait(); }}"
    assert f"halo_first(g(n, 1), (radius + 1) - {switch}(6)) + halo_end(n, radius - {switch}(5), size)" in planted[6]
    assert planted[10] == SOURCE.splitlines()[10]
    assert planted[13] == SOURCE.splitlines()[13]
    assert planted[14].count(switch) == 2  # the larger of two is the same, too
    assert [mutant.key for mutant in mutants[:6]] == [
        "a.cuh first bound 1",
        "a.cuh first bound 2",
        "a.cuh first barrier 1",
        "a.cuh first wait 1",
        "a.cuh first halo 1",
        "a.cuh first halo 2",
    ]
    assert mutants[6].key == "a.cuh second barrier 1"
    assert (tmp_path / "to/halo.cuh").read_text() == (tmp_path / "from/halo.cuh").read_text()
    assert len(plant(tmp_path / "from", tmp_path / "fewer", MEETINGS)) == 5


def test_every_barrier_and_wait_of_the_device_code_is_a_statement_of_its_own_line(tmp_path: Path) -> None:
    mutants = plant(INCLUDE, tmp_path / "to", MEETINGS)
    planted = {(mutant.file, mutant.line) for mutant in mutants}
    for path in INCLUDE.rglob("*.cuh"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.split("//")[0]
            meets = any(name in code for name in ("__syncthreads(", "__syncwarp(", "copy_async_wait(", "halo_first("))
            if meets and path.name not in ("platform.cuh", "halo.cuh"):
                assert (path.relative_to(INCLUDE).as_posix(), number) in planted, f"{path}:{number}: {line}"


def test_what_survives_and_what_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mutants = [Mutant(n, "barrier", "edgefer/a.cuh", n, "__syncthreads();", f"a.cuh f barrier {n}") for n in (1, 2, 3)]
    file = tmp_path / "mutations.toml"
    file.write_text('[[survivor]]\nkey = "a.cuh f barrier 3"\nreason = "one thread does both"\n')
    monkeypatch.setattr("kernels.tools.mutate.ALLOWED", file)
    caught = {1: Caught(1, "cbam", "forward")}
    assert survivors(mutants, caught, frozenset({1, 2, 3})) == ["a.cuh f barrier 2 (line 2): __syncthreads();"]
    assert "never reached" in survivors(mutants, caught, frozenset({1}))[0]
    caught |= {n: Caught(n, "cbam", "forward") for n in (2, 3)}
    assert "is caught: remove it from mutations.toml" in survivors(mutants, caught, frozenset({1, 2, 3}))[0]
    assert survivors(mutants[:2], caught, frozenset({1, 2})) == []
    assert "no such defect" in survivors(mutants[:2], caught, frozenset({1, 2}), complete=True)[0]


def test_every_allowance_has_a_reason(tmp_path: Path) -> None:
    for each in allowed(ALLOWED):
        assert len(each.reason) > 40, each.key
    file = tmp_path / "mutations.toml"
    file.write_text('[[survivor]]\nkey = "x"\n')
    with pytest.raises(msgspec.ValidationError, match="reason"):
        allowed(file)
