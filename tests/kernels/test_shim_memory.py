"""The host's imitation of a GPU: accesses that go wrong."""

from __future__ import annotations

import numpy as np
import pytest
from planted_kernels import BLOCKS, COUNT, THREADS, plan, run

from kernels.cases.case import Buffer
from kernels.tools.emulator import SCHEDULES, Emulator, Schedule
from kernels.tools.faults import EmulationFault

LAST = (BLOCKS - 1, 0, 0)


@pytest.mark.parametrize(
    ("kernel", "words", "block", "thread"),
    [
        ("reads_past", "0 bytes past the end of `x` (768 bytes); a read", LAST, THREADS - 1),
        ("writes_past", "0 bytes past the end of `y` (768 bytes); a write", LAST, THREADS - 1),
        ("writes_input", "byte 0 of `x`, an input; a write", (0, 0, 0), 0),
        ("reads_absent", "a null pointer", (0, 0, 0), 0),
    ],
)
def test_an_access_out_of_bounds_names_the_buffer_and_the_thread(
    planted: Emulator, kernel: str, words: str, block: tuple[int, int, int], thread: int
) -> None:
    with pytest.raises(EmulationFault) as caught:
        run(planted, plan(kernel))
    fault = caught.value
    assert (fault.kind, fault.entry, fault.block, fault.thread) == ("out of bounds", f"planted_{kernel}", block, thread)
    assert words in str(fault)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_element_past_is_enough_in_every_order(planted: Emulator, schedule: Schedule) -> None:
    for kernel in ("reads_past", "writes_past", "writes_before"):
        with pytest.raises(EmulationFault, match="out of bounds"):
            run(planted, plan(kernel), schedule)
    with pytest.raises(EmulationFault, match="past the end of `workspace`"):
        run(planted, plan("workspace_past", workspace=True), schedule)


@pytest.mark.parametrize("elements", [1, 2, 3])
def test_what_lies_between_the_end_and_the_next_16_bytes_is_watched(planted: Emulator, elements: int) -> None:
    # x has 192 floats; y has fewer, so that its end is not that of a page.
    outputs = {"y": Buffer((COUNT - elements,), np.float32)}
    with pytest.raises(EmulationFault, match="bytes next to `y` were written"):
        run(planted, plan("order"), outputs=outputs)


@pytest.mark.parametrize(("kernel", "n"), [("shared_past", 1), ("shared_past", 64), ("shared_before", 1)])
def test_accesses_beside_shared_memory(planted: Emulator, kernel: str, n: int) -> None:
    for shared_bytes in (4 * THREADS, 4 * THREADS - 4):
        with pytest.raises(EmulationFault, match="out of bounds"):
            run(planted, plan(kernel, n, shared_bytes=shared_bytes))


def test_no_shared_memory_at_all(planted: Emulator) -> None:
    with pytest.raises(EmulationFault, match="out of bounds"):
        run(planted, plan("rotate", shared_bytes=0))


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_begins_as_zero(planted: Emulator, n: int) -> None:
    assert np.isnan(run(planted, plan("uninitialised", n, workspace=True))["y"]).all()


def test_an_output_that_was_left_out_differs_between_orders(planted: Emulator) -> None:
    outputs = {"q": Buffer((COUNT,), np.int8)}
    left = [run(planted, plan("half_of_int8"), schedule, outputs)["q"] for schedule in SCHEDULES]
    assert all((answer[::2] == -1).all() for answer in left)
    assert len({int(answer[1]) for answer in left}) == 3
    with pytest.raises(EmulationFault, match="null pointer"):
        run(planted, plan("half_of_int8"), outputs={"y": Buffer((COUNT,), np.float32)})


@pytest.mark.parametrize("n", [1, 2, 3])
def test_16_byte_copies_must_be_aligned(planted: Emulator, n: int) -> None:
    with pytest.raises(EmulationFault, match=r"misaligned.*copy_async_16 from .*planted\.cuh:"):
        run(planted, plan("copies_askew", n, shared_bytes=16 * THREADS))


def test_copies_beyond_either_memory(planted: Emulator) -> None:
    with pytest.raises(EmulationFault, match="copy_async_16 to shared memory"):
        run(planted, plan("copies_past", 1, shared_bytes=16 * THREADS))
    with pytest.raises(EmulationFault, match=r"past the end of `x`.*planted\.cuh:"):
        run(planted, plan("copies_askew", COUNT, shared_bytes=16 * THREADS))


def test_a_kernel_without_an_end_is_ended(planted: Emulator) -> None:
    with pytest.raises(EmulationFault, match=r"timeout.*0\.25 s of processor time"):
        run(planted, plan("endless"))
    assert not run(planted, plan("endless", 2))["y"].any()


def test_a_large_frame_is_said(planted: Emulator) -> None:
    with pytest.raises(EmulationFault, match="the stack of thread 0, 65536 bytes, is too small"):
        run(planted, plan("large_frame"))


def test_a_kernel_may_give_up(planted: Emulator) -> None:
    with pytest.raises(EmulationFault) as caught:
        run(planted, plan("gives_up", 70))
    assert (caught.value.kind, caught.value.block, caught.value.thread) == ("trap", (1, 0, 0), 6)


def test_the_process_goes_on_after_every_fault(planted: Emulator) -> None:
    for _ in range(20):
        with pytest.raises(EmulationFault):
            run(planted, plan("reads_past"))
        assert run(planted, plan("rotate"))["y"].any()
