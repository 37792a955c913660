"""A case run on the host under one schedule, and what was wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kernels.cases.case import Case
from kernels.tools.emulator import SCHEDULES, Emulator, Schedule
from kernels.tools.faults import EmulationFault


def failure(emulator: Emulator, case: Case, schedule: Schedule, seed: int = 0) -> str:
    """The fault, or what the case's judge says of the outputs; "" where all is well."""
    try:
        outputs = emulator.run(case.plan, case.structure, case.inputs, case.outputs, schedule=schedule, seed=seed)
    except EmulationFault as fault:
        return str(fault)
    return case.judge(outputs)


def failures(
    emulator: Emulator, cases: Iterable[Case], schedules: Sequence[Schedule] = SCHEDULES, seed: int = 0
) -> list[str]:
    """Every failure of every case, with the names of case and schedule."""
    found = []
    for index, case in enumerate(cases):
        for schedule in schedules:
            wrong = failure(emulator, case, schedule, seed + index)
            if wrong:
                found.append(f"{case.name}, {schedule}: {wrong}")
    return found
