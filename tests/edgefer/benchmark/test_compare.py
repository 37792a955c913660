"""Comparing results: verdicts, what is matched with what, and when a comparison is not fair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgefer.benchmark.compare import Compared, Comparison, compare
from edgefer.benchmark.result import Clock, Interval, Moment, Result, Settings, Temperature
from edgefer.errors import UsageError

MakeResult = Callable[..., Result]
replace = msgspec.structs.replace


def figure(comparison: Comparison, what: str) -> Compared:
    found = [each for each in comparison.others[0].figures if each.what == what]
    assert len(found) == 1, [each.what for each in comparison.others[0].figures]
    return found[0]


CLOSED = "infer, one after the other"


def with_settings(result: Result, **changes: Any) -> Result:
    """The result with the settings of every figure changed."""
    return replace(
        result,
        closed=tuple(replace(loop, settings=replace(loop.settings, **changes)) for loop in result.closed),
        opened=tuple(replace(loop, settings=replace(loop.settings, **changes)) for loop in result.opened),
        throughput=tuple(replace(point, settings=replace(point.settings, **changes)) for point in result.throughput),
    )


def with_machine(result: Result, **changes: Any) -> Result:
    return replace(result, conditions=replace(result.conditions, machine=replace(result.conditions.machine, **changes)))


def with_moments(result: Result, *moments: Moment) -> Result:
    return replace(result, conditions=replace(result.conditions, moments=moments))


def test_a_result_beside_itself_is_within_noise_and_differs_in_nothing(make_result: MakeResult) -> None:
    result = make_result()
    found = compare([result, result])
    (other,) = found.others
    assert (other.differences, other.unmatched, found.slower) == ((), (), False)
    assert {each.ratio.verdict for each in other.figures} == {"within-noise"}
    assert all(each.comparable and each.ratio.value == 1 for each in other.figures)
    assert len(other.figures) == 2 + 2 + 10
    assert found.base == "viri-fusion int8, 2026-03-14T09:26:53+00:00"


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "faster"), (1.1, "slower"), (1.002, "within-noise")])
def test_the_other_is_held_against_the_base(make_result: MakeResult, factor: float, verdict: str) -> None:
    found = compare([make_result(0), make_result(0, median=0.0193 * factor)])
    compared = figure(found, CLOSED)
    assert compared.ratio.verdict == verdict
    assert compared.ratio.value == pytest.approx(factor, rel=0.01)
    assert compared.ratio.interval.low <= compared.ratio.value <= compared.ratio.interval.high
    assert compared.ratio.interval.confidence == 0.99
    assert compared.other / compared.base == pytest.approx(compared.ratio.value)
    assert found.slower == (verdict == "slower")
    rate = figure(found, "throughput of infer, batch 4, 2 at once")
    assert rate.unit == "images/s"
    assert rate.ratio.value == pytest.approx(factor, rel=0.01)  # of times: below 1 is faster here too


def test_every_further_result_is_held_against_the_first(make_result: MakeResult) -> None:
    found = compare([make_result(), make_result(median=0.03), make_result(median=0.01)])
    assert [other.figures[0].ratio.verdict for other in found.others] == ["slower", "faster"]


def test_a_slower_result_that_cannot_be_compared_fails_nobody(make_result: MakeResult) -> None:
    other = with_settings(make_result(median=0.03), threads=1)
    found = compare([make_result(), other])
    compared = figure(found, CLOSED)
    assert compared.ratio.verdict == "slower"
    assert not compared.comparable
    assert compared.reasons == ("threads of one inference: 2 against 1",)
    assert not found.slower


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"copies": "off"}, "copies: not-applicable against off"),
        ({"graph": "on"}, "CUDA graph: not-applicable against on"),
        ({"wait": "spin"}, "wait for the device: not-applicable against spin"),
    ],
)
def test_settings_that_make_figures_unlike(make_result: MakeResult, changes: dict[str, str], reason: str) -> None:
    assert figure(compare([make_result(), with_settings(make_result(), **changes)]), CLOSED).reasons == (reason,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cpu": "Another"}, "CPU: Example Processor 9000 @ 2.20GHz against Another"),
        ({"power_mode": "MAXN"}, "power mode: not known against MAXN"),
        ({"cpus": 4}, "number of CPUs: 2 against 4"),
        ({"settings": {"turbo": "off"}}, "turbo: not known against off"),
        ({"cpu_features": ("avx2",)}, "CPU features: avx512_vnni against none"),
    ],
)
def test_machines_that_make_figures_unlike(make_result: MakeResult, changes: dict[str, Any], reason: str) -> None:
    found = compare([make_result(), with_machine(make_result(), **changes)])
    assert [str(each) for each in found.others[0].of_kind("unlike")] == [reason]
    assert all(each.reasons == (reason,) and not each.comparable for each in found.others[0].figures)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"driver": "560.1"}, "driver: not known against 560.1"),
        ({"python": "3.12.1"}, "Python: 3.10.12 against 3.12.1"),
        ({"packages": {"numpy": "2.3.0", "onnxruntime": "1.31.0"}}, "package numpy: 2.2.0 against 2.3.0"),
    ],
)
def test_machines_of_which_the_difference_is_worth_knowing(
    make_result: MakeResult, changes: dict[str, Any], named: str
) -> None:
    (other,) = compare([make_result(), with_machine(make_result(), **changes)]).others
    assert [str(each) for each in other.of_kind("worth-knowing")] == [named]
    assert all(each.comparable for each in other.figures)


def moment(hertz: float = 2e9, load: float = 0.0, celsius: float = 50.0, throttle: tuple[str, ...] = ()) -> Moment:
    return Moment(
        at=0.0,
        clocks=(Clock(name="cpu0", hertz=hertz), Clock(name="cpu1", hertz=hertz)),
        temperatures=(Temperature(name="cpu-thermal", celsius=celsius),),
        throttle=throttle,
        load=load,
    )


@pytest.mark.parametrize(
    ("other", "kind", "named"),
    [
        (moment(hertz=1.5e9), "unlike", "clock of cpu: 2.00 GHz against 1.50 GHz"),
        (moment(load=0.4), "unlike", "load of other processes: 0% against 40%"),
        (moment(throttle=("too hot",)), "unlike", "throttled: no against too hot"),
        (moment(celsius=75), "worth-knowing", "temperature of cpu-thermal: 50 °C against 75 °C"),
    ],
)
def test_states_of_the_machine(make_result: MakeResult, other: Moment, kind: Any, named: str) -> None:
    results = with_moments(make_result(), moment(), moment()), with_moments(make_result(), other, other)
    (found,) = compare(results).others
    assert [str(each) for each in found.differences] == [named]
    assert [each.kind for each in found.differences] == [kind]


def test_small_changes_of_clock_load_and_temperature_are_none(make_result: MakeResult) -> None:
    results = [with_moments(make_result(), each) for each in (moment(), moment(1.95e9, 0.05, 55))]
    assert compare(results).others[0].differences == ()


def test_warnings_of_one_alone_are_worth_knowing(make_result: MakeResult) -> None:
    result = make_result()
    clean = replace(result, conditions=replace(result.conditions, warnings=()))
    (found,) = compare([clean, result]).others
    assert [each.kind for each in found.differences] == ["worth-knowing"] * 2
    assert "warning 'A virtual machine (kvm).': no against yes" in [str(each) for each in found.differences]


def test_another_network_or_shape_is_unlike(make_result: MakeResult) -> None:
    (other,) = compare([make_result(), make_result(network="cbam-early-fusion")]).others
    assert "network: viri-fusion against cbam-early-fusion" in [str(each) for each in other.of_kind("unlike")]
    assert not any(each.comparable for each in other.figures)
    result = make_result()
    larger = replace(result, subject=replace(result.subject, inputs={"visible": (1, 3, 448, 448)}))
    unlike = [str(each) for each in compare([result, larger]).others[0].of_kind("unlike")]
    assert "shape of visible: 1 × 3 × 224 × 224 against 1 × 3 × 448 × 448" in unlike
    assert "shape of infrared: 1 × 1 × 224 × 224 against not known" in unlike


def test_another_precision_is_the_purpose_and_not_flagged(make_result: MakeResult) -> None:
    (other,) = compare([make_result(precision="fp32"), make_result(precision="int8", median=0.012)]).others
    assert [str(each) for each in other.of_kind("purpose")] == ["precision: fp32 against int8"]
    assert other.of_kind("unlike") == ()
    assert all(each.comparable for each in other.figures)


def test_another_runner_is_the_purpose_and_its_versions_are_not_held_against_each_other(
    make_result: MakeResult,
) -> None:
    other = with_settings(make_result(), runner="openvino", versions={"openvino": "2026.4"})
    (found,) = compare([make_result(), other]).others
    assert [str(each) for each in found.differences] == ["runner: onnxruntime against openvino"]
    newer = with_settings(make_result(), versions={"onnxruntime": "1.32.0"})
    (found,) = compare([make_result(), newer]).others
    assert [str(each) for each in found.differences] == ["version of onnxruntime: 1.31.0 against 1.32.0"]
    assert all(each.comparable for each in found.figures)


def test_other_weights_of_the_same_network_are_worth_knowing(make_result: MakeResult) -> None:
    result = make_result()
    retrained = replace(result, subject=replace(result.subject, digest="ab" * 32))
    (found,) = compare([result, retrained]).others
    assert [str(each) for each in found.differences] == ["bundle: 000000000000 against abababababab"]


def test_the_likest_settings_are_matched_and_the_rest_is_named(make_result: MakeResult) -> None:
    result = make_result()
    loop = result.closed[0]

    def threads(count: int) -> Any:
        return replace(loop, settings=replace(loop.settings, threads=count))

    base = replace(result, closed=(threads(1), threads(2), result.closed[1]), opened=())
    other = replace(result, closed=(threads(2), threads(4)), throughput=result.throughput[:1])
    (found,) = compare([base, other]).others
    closed = [each for each in found.figures if each.what == CLOSED]
    assert [each.reasons for each in closed] == [("threads of one inference: 1 against 4",), ()]
    assert "images, one after the other (only in the base)" in found.unmatched
    assert "infer, 30 frames a second (not in the base)" in found.unmatched
    assert "throughput of infer, batch 16, 2 at once (only in the base)" in found.unmatched


def test_open_loops_that_lost_unlike_shares_are_not_compared_as_alike(make_result: MakeResult) -> None:
    result = make_result()
    loop = result.opened[0]
    assert loop.losses
    without = replace(result, opened=(replace(loop, losses=()),))
    (found,) = compare([result, without]).others
    opened = [each for each in found.figures if each.what.startswith("infer, 30 frames")]
    assert [each.what.rsplit(", ")[-1] for each in opened] == ["p50", "p99"]
    assert all(each.reasons == (f"frames lost: {len(loop.losses)} of 300 against 0 of 300",) for each in opened)
    assert figure(compare([result, without]), CLOSED).comparable


def test_an_open_loop_without_answers_has_nothing_to_compare(make_result: MakeResult) -> None:
    result = make_result()
    dead = replace(
        result.opened[0], answered=0, latency=None, service=None, queueing=None, latencies=(), arrived=()
    )  # fmt: skip
    (found,) = compare([result, replace(result, opened=(dead,))]).others
    assert not [each for each in found.figures if "frames a second" in each.what]
    assert "infer, 30 frames a second (no frame was answered in one of them)" in found.unmatched


def test_intervals_of_throughput_combine_as_those_of_a_difference(make_result: MakeResult) -> None:
    result = make_result()
    point = result.throughput[0]
    exact = replace(point, rate=100.0, interval=Interval(low=100.0, high=100.0, confidence=0.95))
    loose = replace(point, rate=50.0, interval=Interval(low=45.0, high=60.0, confidence=0.95))
    found = compare([replace(result, throughput=(exact,)), replace(result, throughput=(loose,))])
    ratio = figure(found, "throughput of infer, batch 1, 1 at once").ratio
    assert ratio.value == 2
    assert (ratio.interval.low, ratio.interval.high) == pytest.approx((100 / 60, 100 / 45))
    assert (ratio.interval.confidence, ratio.verdict) == (0.95, "slower")


def test_a_comparison_is_a_document(make_result: MakeResult) -> None:
    found = compare([make_result(), make_result(1, precision="fp16")])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


def test_what_cannot_be_compared_is_refused(make_result: MakeResult) -> None:
    for results in ([], [make_result()]):
        with pytest.raises(UsageError, match="two or more"):
            compare(results)
    with pytest.raises(UsageError, match="cannot be"):
        compare([make_result(), make_result()], confidence=99)


def test_settings_have_no_field_that_the_comparison_forgets() -> None:
    compared = {"measured", "threads", "batch", "streams", "copies", "graph", "wait", "precision", "runner", "versions"}
    # The device is what was asked for: the runner that it led to is compared. The note is for people.
    assert set(Settings.__struct_fields__) - compared == {"device", "note"}
