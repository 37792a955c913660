"""NVIDIA's compute-sanitizer over one case for each entry and over a small session, in a child process that this file
also is.

compute-sanitizer --tool racecheck python -m benchmarks.gpu_check.sanitiser
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu_check.catalogue import OPERATIONS, module_of, one_for_each_entry
from benchmarks.gpu_check.correctness import fault_of, part_of
from benchmarks.gpu_check.gpu import opened
from benchmarks.gpu_check.hand_built import HandBuilt
from benchmarks.gpu_check.hand_session import hand_subject
from benchmarks.gpu_check.result import Check, Part
from benchmarks.gpu_check.session_checks import session_checks
from benchmarks.gpu_check.subject import Subject
from edgefer.engine import child
from edgefer.errors import EdgeferError
from edgefer.kernels.plan import Gpu
from edgefer.progress import Silent
from kernels.cases.case import Machine

TOOLS: dict[str, tuple[str, ...]] = {"memcheck": ("--report-api-errors", "no"), "racecheck": ()}
"""With the options of each. cuda.bindings asks the driver for every function that it knows, and memcheck would count
each that an older driver lacks as an error; edgefer looks at what every call returns by itself."""
CHILD = (sys.executable, "-m", "benchmarks.gpu_check.sanitiser")
TIMEOUT_SECONDS = 1800.0
_FOUND_SOMETHING = 86
_PLACES = ("/usr/local/cuda/bin/compute-sanitizer", "/usr/local/cuda/compute-sanitizer/compute-sanitizer")

SMALL = HandBuilt(side=32, gates=2, batches=(1, 2))
SESSION = ("graphs against plain enqueues", "two streams and eight threads", "bound arrays", "frames of cameras")

Find = Callable[[], str | None]


def find() -> str | None:
    """The path of compute-sanitizer."""
    return shutil.which("compute-sanitizer") or next((place for place in _PLACES if Path(place).exists()), None)


def sanitiser_part(tool_path: Find = find, command: Sequence[str] = CHILD) -> Part:
    """One check for each tool."""
    program = tool_path()
    if program is None:
        return Part(state="absent", reason="compute-sanitizer is not installed; it comes with the CUDA toolkit")
    checks = []
    for tool, options in TOOLS.items():
        asked = [program, "--tool", tool, "--error-exitcode", str(_FOUND_SOMETHING), *options, *command]
        with child.private_folder("edgefer-sanitiser-") as name:
            folder = Path(name)
            try:
                code = child.run(asked, folder, task=tool, timeout=TIMEOUT_SECONDS, reporter=Silent())
            except subprocess.TimeoutExpired:
                checks.append(Check(name=tool, state="failed", found=f"no end within {TIMEOUT_SECONDS:g} s"))
                continue
            checks.append(_check(tool, code, child.tail(folder).strip()))
    return part_of(checks)


def _check(tool: str, code: int, said: str) -> Check:
    last = said.splitlines()[-1] if said else ""
    if code == 0:
        return Check(name=tool, state="passed", found=last)
    what = "it found errors" if code == _FOUND_SOMETHING else f"it ended with status {code}"
    return Check(name=tool, state="failed", found=f"{what}: {said[-4000:]}")


def run_cases(machine: Machine, gpu: Gpu) -> int:
    """Run one case for each entry; the number of wrong ones, which are printed."""
    count, wrong = 0, 0
    for operation in OPERATIONS:
        module, missing = module_of(operation)
        if module is None:
            print(f"{operation}: {missing}")
            continue
        for entry, case in one_for_each_entry(module.base_cases(gpu)).items():
            count += 1
            fault, lost = fault_of(machine, case)
            if fault:
                wrong += 1
                print(f"{entry}: {case.name}: {fault}")
            if lost:
                return wrong
    print(f"{count} cases, {wrong} of them wrong")
    return wrong


def run_session(subject: Subject) -> int:
    """Check a session in the ways that put most on the GPU; the number of wrong ones, which are printed."""
    checks = session_checks(subject, SESSION)
    for check in checks:
        if check.state != "passed":
            print(f"{check.name}: {check.state}: {check.found}")
    wrong = sum(check.state == "failed" for check in checks)
    print(f"{len(checks)} checks of a session, {wrong} of them wrong")
    return wrong


def main() -> int:
    try:
        with opened() as gpu:
            wrong = run_cases(gpu, gpu.kernels.gpu)
        wrong += run_session(hand_subject(SMALL))
        return 1 if wrong else 0
    except EdgeferError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
