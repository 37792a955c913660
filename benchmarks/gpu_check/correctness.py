"""Whether the kernels compute what they must: every case against the CPU's reference, and again from a CUDA graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_check.catalogue import OPERATIONS, all_cases, module_of, one_for_each_entry
from benchmarks.gpu_check.gpu import Bound, Gpu
from benchmarks.gpu_check.result import Check, Part, State
from edgefer.errors import DeviceError
from kernels.cases.case import Case, Machine

_SHOWN = 5


def cases_part(gpu: Gpu, operations: Sequence[str] = OPERATIONS) -> Part:
    """One check for each operation: all of its cases."""
    checks = []
    for operation in operations:
        module, missing = module_of(operation)
        if module is None:
            checks.append(Check(name=operation, state="absent", found=missing))
            continue
        count, wrong = 0, []
        for count, case in enumerate(all_cases(module, gpu.kernels.gpu), start=1):  # noqa: B007
            fault, lost = fault_of(gpu, case)
            if fault:
                wrong.append(f"{case.name}: {fault}")
            if lost:
                break
        checks.append(_check(operation, count, wrong))
    return part_of(checks)


def graphs_part(gpu: Gpu, operations: Sequence[str] = OPERATIONS) -> Part:
    """One check for each operation: for each of its entries a case that is captured, and replayed twice."""
    checks = []
    for operation in operations:
        module, missing = module_of(operation)
        if module is None:
            checks.append(Check(name=operation, state="absent", found=missing))
            continue
        chosen = one_for_each_entry(module.base_cases(gpu.kernels.gpu))
        wrong = []
        for entry, case in chosen.items():
            try:
                fault = replay_fault(gpu, case)
            except DeviceError as error:  # a capture that is refused is a finding, and the other entries have theirs
                fault = str(error)
            if fault:
                wrong.append(f"{entry}, {case.name}: {fault}")
        checks.append(_check(operation, len(chosen), wrong))
    return part_of(checks)


def fault_of(machine: Machine, case: Case) -> tuple[str, bool]:
    """What is wrong with a case, and whether the device is lost: after a kernel's fault every call fails."""
    try:
        return case.judge(machine.run(case.plan, case.structure, case.inputs, case.outputs)), False
    except DeviceError as error:
        return str(error), True


def replay_fault(gpu: Gpu, case: Case) -> str:
    """What is wrong with a case's answers from a graph, which must be those of a plain launch to the bit."""
    with Bound(gpu, case.plan, case.structure, case.inputs, case.outputs) as bound:
        bound.launch()
        plain = bound.read()
        with gpu.captured(bound.launch) as replay:
            for number in range(2):
                bound.forget()
                replay.once()
                if not _same(bound.read(), plain):
                    return f"replay {number + 1} differs from a plain launch"
        return case.judge(plain)


def part_of(checks: Sequence[Check]) -> Part:
    """Failed where a check failed, absent where all are."""
    states = {check.state for check in checks}
    state: State = "failed" if "failed" in states else "passed" if "passed" in states else "absent"
    reason = "" if state != "absent" else "; ".join(dict.fromkeys(check.found for check in checks))
    return Part(state=state, reason=reason, checks=tuple(checks))


def _check(operation: str, count: int, wrong: Sequence[str]) -> Check:
    if not wrong:
        return Check(name=operation, state="passed", found=f"{count} cases")
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return Check(
        name=operation,
        state="failed",
        found=f"{len(wrong)} of {count} cases are wrong: {'; '.join(wrong[:_SHOWN])}{more}",
    )


def _same(found: Mapping[str, NDArray[np.generic]], expected: Mapping[str, NDArray[np.generic]]) -> bool:
    return all(found[name].tobytes() == array.tobytes() for name, array in expected.items())
