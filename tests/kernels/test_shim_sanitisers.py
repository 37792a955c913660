"""The host's imitation of a GPU, compiled with sanitisers: what gives right answers on a processor and is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from planted_kernels import THREADS, plan, run, x

from kernels.tools.emulator import SCHEDULES, Emulator, Schedule
from kernels.tools.faults import EmulationFault


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kernel", ["rotate", "reuse", "copies", "within_warp", "loads_askew"])
def test_right_kernels_pass(sanitised: Emulator, planted: Emulator, kernel: str, schedule: Schedule) -> None:
    assert np.array_equal(run(sanitised, plan(kernel), schedule)["y"], run(planted, plan(kernel), schedule)["y"])


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_16_bytes_at_once_from_an_odd_address(sanitised: Emulator, n: int) -> None:
    with pytest.raises(EmulationFault, match=r"misaligned.*numeric\.cuh:"):
        run(sanitised, plan("loads_askew", n))


def test_an_index_beyond_a_local_array(sanitised: Emulator) -> None:
    assert run(sanitised, plan("array_past", 3))["y"][0] == 1.0 + x()[0]
    with pytest.raises(EmulationFault, match=r"out of bounds.*an index beyond an array.*planted\.cuh:"):
        run(sanitised, plan("array_past", 4))


def test_an_integer_beyond_its_type(sanitised: Emulator) -> None:
    assert run(sanitised, plan("integer_past", 5))["y"][0] == 25
    with pytest.raises(EmulationFault, match=r"undefined.*a product beyond its type.*planted\.cuh:"):
        run(sanitised, plan("integer_past", 70_000))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    "kernel", ["rotate_without", "reuse_without", "copies_without_barrier", "within_warp_without", "lost_update"]
)
def test_accesses_without_a_barrier_between_are_a_race(sanitised: Emulator, kernel: str, schedule: Schedule) -> None:
    with pytest.raises(EmulationFault, match=r"race.*of shared memory.*planted\.cuh:\d+; the other at .*planted\.cuh:"):
        run(sanitised, plan(kernel), schedule)


def test_a_race_is_found_even_where_every_order_gives_the_right_answer(planted: Emulator, sanitised: Emulator) -> None:
    for schedule in SCHEDULES:
        assert run(planted, plan("lost_update"), schedule)["y"][0] == x()[:THREADS].sum()
        assert not run(planted, plan("between_blocks", workspace=True), schedule)["y"].any()
    with pytest.raises(EmulationFault, match="that another block of this launch writes"):
        run(sanitised, plan("between_blocks", workspace=True))


def test_one_block_does_not_race_with_itself_and_launches_are_in_order(sanitised: Emulator) -> None:
    one = plan("between_blocks", workspace=True, blocks=1)
    twice = type(one)(one.launches * 2, one.parameters, one.workspace_bytes)
    assert not run(sanitised, twice)["y"][:THREADS].any()
