"""The host's imitation of a GPU: threads that should meet and do not."""

from __future__ import annotations

import numpy as np
import pytest
from planted_kernels import BLOCKS, THREADS, plan, run, x

from kernels.cases.case import Buffer
from kernels.tools.emulator import SCHEDULES, Emulator, Schedule
from kernels.tools.faults import EmulationFault


def _rotated(step: int) -> np.ndarray:
    return np.roll(x().reshape(BLOCKS, THREADS), -step, axis=1).ravel()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_right_kernels_are_right_in_every_order(planted: Emulator, schedule: Schedule) -> None:
    for seed in range(5):
        assert np.array_equal(run(planted, plan("rotate"), schedule, seed=seed)["y"], _rotated(33))
        assert np.array_equal(run(planted, plan("reuse"), schedule, seed=seed)["y"], _rotated(40) + 2 * _rotated(1))
        assert np.array_equal(run(planted, plan("copies"), schedule, seed=seed)["y"], _rotated(50))
        swapped = x().reshape(-1, 2)[:, ::-1].ravel()
        assert np.array_equal(run(planted, plan("within_warp"), schedule, seed=seed)["y"], swapped)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("rotate_without", _rotated(33)),
        ("reuse_without", _rotated(40) + 2 * _rotated(1)),
        ("copies_without_barrier", _rotated(50)),
        ("within_warp_without", x().reshape(-1, 2)[:, ::-1].ravel()),
    ],
)
def test_a_missing_barrier_gives_a_wrong_answer(planted: Emulator, kernel: str, expected: np.ndarray) -> None:
    answers = [run(planted, plan(kernel), schedule)["y"] for schedule in ("forward", "backward")]
    assert not all(np.array_equal(answer, expected) for answer in answers)


@pytest.mark.parametrize(
    ("kernel", "n", "kind", "words"),
    [
        ("returns_before_a_barrier", 40, "divergent barrier", "40 of 64 threads wait here; thread 40 has returned"),
        ("two_barriers", 10, "different barriers", "64 of 64 threads wait at a barrier; thread 10 at that of line"),
        ("ragged_shuffle", 40, "lane left", "which has returned"),
        ("shuffle_against_barrier", 0, "lane left", "which waits at the barrier of line"),
        ("not_in_its_mask", 0, "lane left", "lane 16 is not in the mask 0x0000ffff"),
    ],
)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_threads_that_do_not_meet_are_named(
    planted: Emulator, schedule: Schedule, kernel: str, n: int, kind: str, words: str
) -> None:
    with pytest.raises(EmulationFault) as caught:
        run(planted, plan(kernel, n), schedule)
    assert caught.value.kind == kind
    assert caught.value.entry == f"planted_{kernel}"
    if kernel != "not_in_its_mask" or schedule == "forward":
        assert words in str(caught.value)
    assert "planted.cuh:" in str(caught.value)


def test_where_all_threads_take_the_same_way_two_barriers_are_none_too_many(planted: Emulator) -> None:
    assert not run(planted, plan("two_barriers", THREADS))["y"].any()
    assert not run(planted, plan("returns_before_a_barrier", THREADS))["y"].any()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_copies_that_nobody_waits_for(planted: Emulator, schedule: Schedule) -> None:
    with pytest.raises(EmulationFault, match=r"copy not waited for.*1 copies started"):
        run(planted, plan("copies_without_wait"), schedule)


def test_a_copy_lands_at_its_wait_and_no_sooner(planted: Emulator) -> None:
    # With the barrier before it, too late for the others.
    assert np.isnan(run(planted, plan("waits_late"), "forward")["y"]).any()
    assert np.isnan(run(planted, plan("waits_late"), "backward")["y"]).any()


def test_the_orders_are_what_they_are_called(planted: Emulator) -> None:
    assert np.array_equal(run(planted, plan("order"), "forward")["y"][:THREADS], np.arange(THREADS))
    assert np.array_equal(run(planted, plan("order"), "backward")["y"][:THREADS], np.arange(THREADS)[::-1])
    once, again, other = (run(planted, plan("order"), "random", seed=seed)["y"] for seed in (1, 1, 2))
    assert np.array_equal(np.sort(once[:THREADS]), np.arange(THREADS))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shuffles_take_from_the_lane_that_cuda_says(planted: Emulator, schedule: Schedule) -> None:
    found = run(planted, plan("shuffles"), schedule, {"y": Buffer((BLOCKS * THREADS, 8), np.float32)})["y"]
    lane = np.arange(BLOCKS * THREADS) % 32
    warp = np.arange(BLOCKS * THREADS) - lane
    sources = {
        0: np.full_like(lane, 5),
        1: lane // 8 * 8 + 3,
        2: lane ^ 16,
        3: lane ^ 1,
        4: np.where(lane % 16 >= 2, lane - 2, lane),
        5: np.where(lane < 29, lane + 3, lane),
    }
    for column, source in sources.items():
        assert np.array_equal(found[:, column], x()[warp + source]), column
    assert np.array_equal(found[:, 6], (x() > 4).reshape(-1, 32).sum(axis=1).repeat(32))
    assert not found[:, 7].any()
