"""Energy of a window and of an inference, on series whose integral is known."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from edgefer.benchmark.power import Series, SourceRail, Window, power
from edgefer.benchmark.power.energy import energy
from edgefer.benchmark.result import Power

RUN = Window(10.0, 20.0)
IDLE = Window(2.0, 8.0)
TIMES = tuple(float(each) for each in np.arange(0.0, 22.05, 0.1))
RAILS = (SourceRail("VDD_IN", True), SourceRail("VDD_SOC", False))


def step(at: float) -> float:
    """5 W at rest, 15 W in the run."""
    return 15.0 if RUN.start <= at <= RUN.stop else 5.0


def series(**changed: object) -> Series:
    usual = {
        "source": "ina3221",
        "rails": RAILS,
        "cumulative": False,
        "times": TIMES,
        "values": tuple((step(at), step(at) / 5) for at in TIMES),
        "rate": 10.0,
        "cost": 0.002,
        "note": "Power at the module's input.",
    }
    return Series(**{**usual, **changed})  # type: ignore[arg-type]


def of(found: tuple[Power | None, str]) -> Power:
    assert found[0] is not None, found[1]
    assert found[1] == ""
    return found[0]


def test_constant_power() -> None:
    assert energy([0, 1, 2, 3], [7, 7, 7, 7], Window(0.25, 2.5), cumulative=False) == pytest.approx(7 * 2.25)


def test_the_edges_are_interpolated() -> None:
    # 2 t watts: the integral from 0.5 to 1.5 is 1.5² - 0.5².
    assert energy([0, 1, 2], [0, 2, 4], Window(0.5, 1.5), cumulative=False) == pytest.approx(2.0)


def test_a_window_between_two_readings() -> None:
    assert energy([0, 10], [0, 10], Window(4, 6), cumulative=False) == pytest.approx(10.0)
    assert energy([0, 10], [0, 100], Window(4, 6), cumulative=True) == pytest.approx(20.0)


def test_a_counter_needs_its_edges_alone() -> None:
    assert energy([0, 1, 2, 3], [100, 103, 104, 110], Window(0.5, 2.5), cumulative=True) == pytest.approx(5.5)


def test_a_step_is_split_into_idle_and_work() -> None:
    found = of(power(series(), run=RUN, inferences=100, idle=IDLE))
    assert found.gross == pytest.approx(1.5)  # 15 W × 10 s / 100; VDD_SOC is part of VDD_IN and not added
    assert found.per_inference == pytest.approx(1.0)
    total, part = found.rails
    assert (total.name, total.total) == ("VDD_IN", True)
    assert (total.idle, total.mean, total.peak) == pytest.approx((5.0, 15.0, 15.0))
    assert (part.idle, part.mean, part.total) == (pytest.approx(1.0), pytest.approx(3.0), False)
    assert len(found.samples) == len(TIMES)
    assert found.samples[0].watts == (5.0, 1.0)
    assert found.inferences == 100
    assert "10 times a second" in found.note
    assert "2 ms" in found.note
    assert "uncertain" not in found.note


def test_a_counter_gives_the_same_as_its_watts() -> None:
    joules = [0.0]
    for earlier, later in pairwise(TIMES):
        joules.append(joules[-1] + step((earlier + later) / 2) * (later - earlier))
    counted = series(
        source="rapl", rails=(SourceRail("package-0", True),), cumulative=True, values=tuple((each,) for each in joules)
    )
    found = of(power(counted, run=RUN, inferences=100, idle=IDLE))
    assert found.per_inference == pytest.approx(1.0)
    assert found.rails[0].peak == pytest.approx(15.0)
    assert len(found.samples) == len(TIMES) - 1
    assert found.samples[0].at == pytest.approx(0.05)  # the mean between two readings is put at their middle


def test_totals_are_added() -> None:
    both = series(rails=(SourceRail("a", True), SourceRail("b", True)))
    assert of(power(both, run=RUN, inferences=10, idle=IDLE)).gross == pytest.approx(18.0)


def test_without_idle_there_is_no_energy_above_it() -> None:
    found = of(power(series(), run=RUN, inferences=10))
    assert found.per_inference is None
    assert found.rails[0].idle is None
    assert found.gross == pytest.approx(15.0)


def test_single_gaps_are_bridged() -> None:
    values = tuple((None if index % 7 == 0 else step(at), step(at) / 5) for index, at in enumerate(TIMES))
    found = of(power(series(values=values), run=RUN, inferences=100, idle=IDLE))
    assert found.rails[0].mean == pytest.approx(15.0, rel=0.02)
    assert [rail.name for rail in found.rails] == ["VDD_IN", "VDD_SOC"]


def test_a_part_that_falls_silent_midway_is_left_out_and_named() -> None:
    values = tuple((step(at), None if at > 15 else step(at) / 5) for at in TIMES)
    found = of(power(series(values=values), run=RUN, inferences=100, idle=IDLE))
    assert [rail.name for rail in found.rails] == ["VDD_IN"]
    assert found.per_inference == pytest.approx(1.0)
    assert "not readable throughout: VDD_SOC" in found.note


def test_a_total_that_falls_silent_midway_gives_no_figure() -> None:
    values = tuple((None if at > 15 else step(at), 1.0) for at in TIMES)
    found, reason = power(series(values=values), run=RUN, inferences=100, idle=IDLE)
    assert found is None
    assert "VDD_IN" in reason


def test_sampling_that_failed_gives_no_figure_and_says_why() -> None:
    found, reason = power(series(problem="reading failed 12.0 s into the run: I2C"), run=RUN, inferences=10)
    assert found is None
    assert "I2C" in reason


def test_readings_that_do_not_reach_the_run_give_no_figure() -> None:
    early = [index for index, at in enumerate(TIMES) if at < 12]
    short = series(
        times=tuple(TIMES[index] for index in early), values=tuple((step(TIMES[index]), 1.0) for index in early)
    )
    assert power(short, run=RUN, inferences=10)[0] is None
    nothing = series(times=(), values=())
    assert power(nothing, run=RUN, inferences=10)[0] is None


@pytest.mark.parametrize(("run", "inferences"), [(RUN, 0), (Window(5, 5), 3)])
def test_without_a_run_there_is_no_figure(run: Window, inferences: int) -> None:
    found, reason = power(series(), run=run, inferences=inferences)
    assert found is None
    assert "needs a run" in reason


def test_few_readings_are_said_to_be_few() -> None:
    found = of(power(series(), run=Window(11.0, 12.0), inferences=10, idle=IDLE))
    assert "Only 11 readings fell in the run" in found.note
    assert "fell in idle" not in found.note


def test_a_rise_within_the_noise_of_idle_is_called_that() -> None:
    noisy = tuple((5.0 + (index % 2), 1.0) for index, _ in enumerate(TIMES))
    found = of(power(series(values=noisy), run=RUN, inferences=100, idle=IDLE))
    assert "not told apart from nothing" in found.note
    assert "not told apart" not in of(power(series(), run=RUN, inferences=100, idle=IDLE)).note


def test_the_record_survives_json() -> None:
    found = of(power(series(), run=RUN, inferences=100, idle=IDLE))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Power) == found
