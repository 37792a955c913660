"""Tries every planted defect on the cases: each must give a wrong answer or a fault, or be allowed with a reason.

    python -m kernels.tools.mutate [--all] [OPERATION ...]

prints a table, and ends with 1 where a defect survived that kernels/mutations.toml does not allow. Without `--all` only
barriers, waits and halos are tried.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import msgspec
from filelock import FileLock

from kernels.cases.case import Case
from kernels.tools.emulator import SCHEDULES, Emulator
from kernels.tools.host_build import BUILD, Variant
from kernels.tools.includes import included
from kernels.tools.judge import failure
from kernels.tools.mutants import Kind, Mutant, by_kind, plant
from kernels.tools.operations import OPERATIONS, base_cases_of, entries_of, named, random_cases_of
from kernels.tools.sources import include_path
from kernels.tools.survivors import ALLOWED, Survivor, allowed
from kernels.tools.toolchain import INCLUDE, ROOT

MEETINGS: frozenset[Kind] = frozenset({"barrier", "wait", "halo"})
EVERYTHING: frozenset[Kind] = MEETINGS | {"bound", "zero"}
_LIMIT_S = 10.0
_RANDOM_CASES = 24
_CHECKED_CASES = 12
_PATIENCE_S = 15.0
"""For a defect that nothing shows: some change nothing, and each case costs as much as one that shows something."""


@dataclass(frozen=True)
class Caught:
    """What showed a defect."""

    number: int
    operation: str
    by: str


@dataclass(frozen=True)
class Tried:
    """What one operation says of the defects: those that its cases came by, and those that they showed."""

    reached: frozenset[int]
    caught: tuple[Caught, ...]


def planted(kinds: frozenset[Kind]) -> Path:
    """A copy of kernels/include with all defects of `kinds`, made once for each state of the sources; see `read`."""
    whole = hashlib.sha256(" ".join(sorted(kinds)).encode())
    for path in sorted([*INCLUDE.rglob("*.*h"), ROOT / "kernels/tools/mutants.py"]):
        whole.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = BUILD / f"mutants-{whole.hexdigest()[:20]}"
    BUILD.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "mutants.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            found = plant(INCLUDE, folder / "include", kinds)
            (folder / "mutants.json").write_bytes(msgspec.json.encode(found))
    return folder


def read(folder: Path) -> list[Mutant]:
    """The defects of a copy."""
    return msgspec.json.decode((folder / "mutants.json").read_bytes(), type=list[Mutant])


def try_operation(operation: str, folder: Path) -> Tried:
    """Every defect that the operation's device code contains, on its cases until one shows it.

    `folder` is the copy with the defects. Those that no order of threads shows are tried with sanitisers: whether an
    order could is a question of happens-before, and a local array has no page that faults behind it.

    Raises:
        RuntimeError: a case fails with no defect switched on.
    """
    include = folder / "include"
    entries = entries_of(operation)
    concerned = _concerned(read(folder), [operation], include)
    if not concerned:
        return Tried(frozenset(), ())
    cases = [*base_cases_of(operation), *random_cases_of(operation, 1, _RANDOM_CASES)]
    emulator = Emulator.build(entries, variant=Variant(include=include), limit_s=_LIMIT_S)
    reaching = _reaching(emulator, cases)
    reached = frozenset().union(*(numbers for _, numbers in reaching))
    caught: list[Caught] = []
    for mutant in concerned:
        by = _shown(emulator, mutant, [case for case, numbers in reaching if mutant.number in numbers])
        if by:
            caught.append(Caught(mutant.number, operation, by))
    shown = {each.number for each in caught}
    missed = [each for each in concerned if each.number in reached - shown and each.kind != "zero"]
    if missed:
        checked = Emulator.build(entries, variant=Variant(sanitise=True, include=include), limit_s=6 * _LIMIT_S)
        for mutant in missed:
            chosen = [case for case, numbers in reaching if mutant.number in numbers]
            by = _shown(checked, mutant, chosen[:_CHECKED_CASES], ("forward",))
            if by:
                caught.append(Caught(mutant.number, operation, f"sanitised {by}"))
    return Tried(reached, tuple(caught))


def _reaching(emulator: Emulator, cases: Iterable[Case]) -> list[tuple[Case, frozenset[int]]]:
    """The cases, quick ones first, with the defects that each comes by."""
    found = []
    for case in cases:
        emulator.reached()
        begun = time.perf_counter()
        wrong = failure(emulator, case, "forward")
        if wrong:
            raise RuntimeError(f"{case.name} fails without any defect: {wrong}")
        found.append((time.perf_counter() - begun, case, emulator.reached()))
    found.sort(key=lambda each: each[0])
    return [(case, numbers) for _, case, numbers in found]


def _shown(emulator: Emulator, mutant: Mutant, cases: Sequence[Case], schedules: Sequence[str] = SCHEDULES) -> str:
    """What shows the defect, or ""."""
    emulator.mutant = mutant.number
    until = time.perf_counter() + _PATIENCE_S
    try:
        for case in cases:
            if time.perf_counter() > until:
                break
            for schedule in SCHEDULES:
                if schedule in schedules:
                    wrong = failure(emulator, case, schedule, seed=mutant.number)
                    if wrong:
                        return f"{schedule}, {case.name}: {wrong.splitlines()[0]}"
    finally:
        emulator.mutant = 0
    return ""


def run(
    operations: Sequence[str], kinds: frozenset[Kind], workers: int = 2
) -> tuple[list[Mutant], dict[int, Caught], frozenset[int]]:
    """All defects in the device code of `operations`, those caught by number, and the numbers of those reached."""
    folder = planted(kinds)
    mutants = _concerned(read(folder), operations, folder / "include")
    caught: dict[int, Caught] = {}
    reached: frozenset[int] = frozenset()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for tried in pool.map(try_operation, operations, [folder] * len(operations)):
            reached |= tried.reached
            for each in tried.caught:
                caught.setdefault(each.number, each)
    return mutants, caught, reached


def _concerned(mutants: Sequence[Mutant], operations: Sequence[str], include: Path) -> list[Mutant]:
    """Those in files that the operations' headers are made of."""
    files: set[str] = set()
    for header in {entry.header for operation in operations for entry in entries_of(operation)}:
        files |= included(include_path(header), [include]).keys()
    return [mutant for mutant in mutants if mutant.file in files]


def survivors(
    mutants: Sequence[Mutant], caught: dict[int, Caught], reached: frozenset[int], *, complete: bool = False
) -> list[str]:
    """A line for each defect that nothing showed and that is not allowed, and for each allowance that is not needed.

    `complete`: `mutants` are all that there are, so an allowance for any other is one for code that is gone.
    """
    reasons = {each.key: each for each in allowed(ALLOWED)}
    tried: dict[str, Mutant] = {mutant.key: mutant for mutant in mutants}
    lines = [
        f"{mutant.key} (line {mutant.line}{'' if mutant.number in reached else ', never reached'}): {mutant.text}"
        for mutant in mutants
        if mutant.number not in caught and mutant.key not in reasons
    ]
    for key in reasons:
        if key in tried and tried[key].number in caught:
            lines.append(f"{key} is allowed to survive, and is caught: remove it from {ALLOWED.name}")
        elif complete and key not in tried:
            lines.append(f"{key} is allowed to survive, and there is no such defect: remove it from {ALLOWED.name}")
    return lines


def table(mutants: list[Mutant], caught: dict[int, Caught], reasons: Sequence[Survivor]) -> str:
    """What became of every defect, one line each, and the sums of each kind."""
    keys = {each.key: each.reason for each in reasons}
    lines = []
    for kind, group in by_kind(mutants):
        for mutant in group:
            found = caught.get(mutant.number)
            outcome = found.by if found else f"allowed: {keys[mutant.key]}" if mutant.key in keys else "SURVIVED"
            lines.append(f"{mutant.key:55} {outcome[:150]}")
        dead = sum(mutant.number in caught for mutant in group)
        lines.append(f"{kind}: {dead} of {len(group)} caught\n")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kernels.tools.mutate")
    parser.add_argument("operations", type=named, nargs="*", default=OPERATIONS, help="by default all")
    parser.add_argument("--all", action="store_true", help="also bounds and zeros")
    options = parser.parse_args(arguments)
    mutants, caught, reached = run(options.operations, EVERYTHING if options.all else MEETINGS)
    print(table(mutants, caught, allowed(ALLOWED)))
    complete = options.all and set(options.operations) == set(OPERATIONS)
    alive = survivors(mutants, caught, reached, complete=complete)
    print("\n".join(alive))
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
