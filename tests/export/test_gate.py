"""The gate: which verdict, from which interval, and which step gets the blame."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgefer.bundle.manifest import BudgetSpec, GateSpec
from edgefer.errors import DataError, InputError
from edgefer_export.gate import GateResult, judge
from edgefer_export.metrics import UNBOUNDED

NAMES = ("angry", "happy", "neutral", "sad", "surprise")


def network(count: int, seed: int = 0, skill: float = 4.0, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and the logits (n, C) of a network that is right on most images; higher `skill`, more often."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    logits = rng.standard_normal((count, classes)).astype(np.float32)
    logits[np.arange(count), labels] += np.float32(skill)
    return labels, logits


def rounding(logits: np.ndarray, seed: int = 9) -> np.ndarray:
    """What another runtime computes: the same up to the last bits."""
    noise = np.random.default_rng(seed).uniform(-1e-6, 1e-6, logits.shape)
    return (logits + noise).astype(np.float32)


def coarse(logits: np.ndarray, step: float) -> np.ndarray:
    """Logits as a coarse quantisation leaves them."""
    return (np.round(logits / step) * step).astype(np.float32)


def with_losses(
    logits: np.ndarray, labels: np.ndarray, lost: int, gained: int = 0, only: int | None = None
) -> np.ndarray:
    """Logits that get `lost` recognised images wrong and `gained` others right; of one class, where told."""
    out = logits.copy()
    right = logits.argmax(axis=1) == labels
    eligible = np.ones(len(labels), bool) if only is None else labels == only
    for index in np.flatnonzero(right & eligible)[:lost]:
        out[index, (labels[index] + 1) % logits.shape[1]] = logits[index].max() + 1
    for index in np.flatnonzero(~right & eligible)[:gained]:
        out[index, labels[index]] = logits[index].max() + 1
    return out


def line(result: GateResult, measure: str):  # type: ignore[no-untyped-def]
    return next(criterion for criterion in result.criteria if criterion.measure == measure)


# verdicts


def test_a_faithful_chain_passes() -> None:
    labels, logits = network(4000)
    exported = rounding(logits)
    int8 = with_losses(exported, labels, lost=3, gained=2)
    result = judge(logits, {"exported": exported, "simplified": exported, "int8": int8}, labels, NAMES)
    assert result.verdict == "pass"
    assert result.blamed_step is None
    assert result.images_to_decide is None
    assert [figure.step for figure in result.steps] == ["reference", "exported", "simplified", "int8"]
    assert [criterion.measure for criterion in result.criteria] == [
        "accuracy",
        "mean recall",
        "class recall",
        "agreement",
    ]
    assert {criterion.verdict for criterion in result.criteria} == {"pass"}
    assert line(result, "accuracy").value == pytest.approx(100 * 1 / 4000)
    assert "Within the budget: accuracy loses 0.03 points" in result.reason


def test_a_large_loss_fails_and_says_so() -> None:
    labels, logits = network(4000)
    int8 = with_losses(logits, labels, lost=100)
    result = judge(logits, {"exported": logits, "int8": int8}, labels, NAMES)
    assert result.verdict == "fail"
    assert result.blamed_step == "int8"
    assert line(result, "accuracy").verdict == "fail"
    assert line(result, "accuracy").low > 0.5
    assert "Beyond the budget: accuracy loses 2.50 points" in result.reason
    assert "at `int8`: against `exported` it loses 100 of 4,000 images and gains 0" in result.reason


def test_few_images_leave_it_undecided_and_say_how_many_would_do() -> None:
    labels, logits = network(600)
    int8 = with_losses(logits, labels, lost=1, gained=1)
    result = judge(logits, {"int8": int8}, labels, NAMES)
    assert result.verdict == "undecided"
    assert result.images_to_decide is not None
    assert result.images_to_decide > 600
    assert f"About {result.images_to_decide:,} images would decide" in result.reason
    factor = -(-result.images_to_decide // 600)
    larger = judge(np.tile(logits, (factor, 1)), {"int8": np.tile(int8, (factor, 1))}, np.tile(labels, factor), NAMES)
    assert larger.verdict == "pass"


def test_a_loss_at_the_budget_itself_is_never_decided() -> None:
    labels, logits = network(2000)
    result = judge(logits, {"int8": with_losses(logits, labels, lost=10)}, labels, NAMES)
    assert line(result, "accuracy").value == pytest.approx(0.5)
    assert result.verdict == "undecided"
    assert result.images_to_decide is None
    assert "no number of images would decide" in result.reason


def test_a_loss_that_leans_to_failing_is_decided_when_it_fails() -> None:
    labels, logits = network(1000)
    result = judge(logits, {"int8": with_losses(logits, labels, lost=8)}, labels, NAMES)
    assert result.verdict == "undecided"
    assert result.images_to_decide is not None
    factor = -(-result.images_to_decide // 1000)
    int8 = with_losses(logits, labels, lost=8)
    larger = judge(np.tile(logits, (factor, 1)), {"int8": np.tile(int8, (factor, 1))}, np.tile(labels, factor), NAMES)
    assert larger.verdict == "fail"


@pytest.mark.parametrize("count", [40, 200])
def test_the_same_function_passes_on_few_images(count: int) -> None:
    labels, logits = network(count)
    for step in (logits.copy(), rounding(logits)):
        result = judge(logits, {"exported": step}, labels, NAMES)
        assert result.verdict == "pass", result.reason
        assert line(result, "accuracy").high == 0.0
        assert line(result, "agreement").low == 1.0
        assert "rounding only" in result.reason


def test_no_flip_is_not_enough_on_few_images_when_logits_move() -> None:
    labels, logits = network(200, skill=8.0)
    result = judge(logits, {"int8": logits + np.float32(0.05) * np.sign(logits)}, labels, NAMES)
    assert result.steps[-1].agreement == 1.0
    assert result.verdict == "undecided"
    assert result.blamed_step is None
    # 765 images would do for 0.5 points, but then each class has 100 and is judged: that takes 253 of each.
    assert result.images_to_decide is not None
    assert 5 * 252 < result.images_to_decide <= 5 * 253


def test_one_failing_class_fails_the_build() -> None:
    labels, logits = network(10000, skill=2.0)
    sad = 3
    int8 = with_losses(with_losses(logits, labels, lost=90, only=sad), labels, lost=0, gained=90, only=0)
    result = judge(logits, {"int8": int8}, labels, NAMES)
    assert line(result, "accuracy").verdict == "pass"
    assert result.verdict == "fail"
    worst = line(result, "class recall")
    assert (worst.subject, worst.verdict) == ("sad", "fail")
    assert "class recall of sad loses" in result.reason
    assert result.blamed_step == "int8"


def test_a_class_with_fewer_than_100_images_is_not_judged_alone() -> None:
    labels, logits = network(400)
    result = judge(logits, {"int8": with_losses(logits, labels, lost=4, only=2)}, labels, NAMES)
    assert all(criterion.measure != "class recall" for criterion in result.criteria)
    assert "No class has 100 images" in result.reason


def test_a_class_too_small_to_be_judged_is_taken_to_lose_like_all() -> None:
    labels, logits = network(300)
    # One image of 60 is 1.7 points of its class, more than a class may lose; but of all images it is 0.3.
    one = judge(logits, {"int8": with_losses(logits, labels, lost=1)}, labels, NAMES)
    assert one.verdict == "undecided"
    assert one.images_to_decide is not None
    assert one.images_to_decide < 10_000


def test_agreement_has_its_own_verdict() -> None:
    labels, logits = network(4000, skill=1.5)
    int8 = with_losses(logits, labels, lost=120, gained=120)
    result = judge(logits, {"int8": int8}, labels, NAMES)
    agreement = line(result, "agreement")
    assert (agreement.unit, agreement.limit) == ("share", 0.97)
    assert agreement.value == pytest.approx(0.94)
    assert agreement.low < 0.94 < agreement.high < 0.97
    assert agreement.verdict == "fail"
    assert result.verdict == "fail"


def test_the_budget_decides() -> None:
    labels, logits = network(4000)
    int8 = {"int8": with_losses(logits, labels, lost=100)}
    loose = BudgetSpec(accuracy=5, recall=5, class_recall=10, agreement=0.9)
    assert judge(logits, int8, labels, NAMES).verdict == "fail"
    assert judge(logits, int8, labels, NAMES, loose).verdict == "pass"


def test_a_better_network_passes() -> None:
    labels, logits = network(4000, skill=2.0)
    result = judge(logits, {"int8": with_losses(logits, labels, lost=0, gained=60)}, labels, NAMES)
    assert result.verdict == "pass"
    assert line(result, "accuracy").value == pytest.approx(-1.5)


# what cannot pass


def test_a_network_no_better_than_the_majority_class_fails_even_unchanged() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), [600, 100, 100, 100, 100])
    guessing = rng.standard_normal((1000, 5)).astype(np.float32)
    always = np.zeros((1000, 5), np.float32)
    always[:, 0] = 1
    for logits in (guessing, always):
        result = judge(logits, {"exported": logits.copy()}, labels, NAMES)
        assert result.verdict == "fail"
        assert result.blamed_step is None
        assert "always answering angry (600 of 1,000" in result.reason


def test_too_few_images_to_beat_the_majority_fail() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    logits = np.eye(5, dtype=np.float32)[[0, 0, 0, 1, 0]]
    assert judge(logits, {"exported": logits}, labels, NAMES).verdict == "fail"


def test_a_step_that_falls_to_the_majority_is_blamed() -> None:
    labels, logits = network(1000)
    dead = np.zeros_like(logits)
    result = judge(logits, {"exported": logits, "int8": dead}, labels, NAMES)
    assert result.verdict == "fail"
    assert result.blamed_step == "int8"
    assert "`int8` recognises 200 of 1,000" in result.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_fail_and_name_the_step(value: float) -> None:
    labels, logits = network(4000)
    fp16 = logits.copy()
    fp16[17, 2] = value
    result = judge(logits, {"exported": logits, "int8": logits, "fp16": fp16}, labels, NAMES)
    assert result.verdict == "fail"
    assert result.blamed_step == "fp16"
    assert "`fp16` are not finite (NaN or infinity) on 1 of 4,000 images" in result.reason
    assert result.steps[-1].max_error == UNBOUNDED


def test_a_reference_that_is_not_finite_is_named() -> None:
    labels, logits = network(100)
    logits[3] = np.nan
    result = judge(logits, {"exported": logits}, labels, NAMES, reference_name="pytorch")
    assert (result.verdict, result.blamed_step) == ("fail", "pytorch")


# blame: one step damaged at a time


STEPS = ("exported", "simplified", "int8", "fp16")


def chain(logits: np.ndarray) -> dict[str, np.ndarray]:
    """A build whose steps do what they should."""
    exported = rounding(logits, 1)
    int8 = exported + np.random.default_rng(2).normal(0, 0.01, logits.shape).astype(np.float32)
    return {"exported": exported, "simplified": rounding(exported, 3), "int8": int8, "fp16": coarse(int8, 2**-9)}


def from_here(steps: dict[str, np.ndarray], damaged: str, logits: np.ndarray) -> dict[str, np.ndarray]:
    """The chain with one step's result put in its place, and in that of all later steps, which start from it."""
    first = STEPS.index(damaged)
    return {name: logits if index >= first else steps[name] for index, name in enumerate(STEPS)}


def test_an_undamaged_chain_passes() -> None:
    labels, logits = network(4000)
    result = judge(logits, chain(logits), labels, NAMES)
    assert result.verdict == "pass", result.reason


def test_a_ruined_scale_is_blamed_on_int8() -> None:
    labels, logits = network(4000)
    steps = chain(logits)
    # A scale ten times too small: everything beyond the range saturates.
    ruined = np.clip(steps["int8"], -1, 1)
    result = judge(logits, from_here(steps, "int8", ruined), labels, NAMES)
    assert (result.verdict, result.blamed_step) == ("fail", "int8")
    assert "at `int8`: against `simplified`" in result.reason


def test_a_wrong_cast_is_blamed_on_fp16() -> None:
    labels, logits = network(4000)
    steps = chain(logits)
    # A sum carried in half precision with too large an offset loses its low bits.
    offset = np.float16(4096)
    cast = (steps["int8"].astype(np.float16) + offset).astype(np.float32) - np.float32(offset)
    result = judge(logits, from_here(steps, "fp16", cast), labels, NAMES)
    assert (result.verdict, result.blamed_step) == ("fail", "fp16")
    assert "at `fp16`: against `int8`" in result.reason


@pytest.mark.parametrize("step", ["exported", "simplified"])
def test_a_wrong_rewrite_is_blamed_though_no_image_is_lost(step: str) -> None:
    labels, logits = network(4000)
    steps = chain(logits)
    wrong = {name: steps[name] * np.float32(1.001) for name in STEPS[STEPS.index(step) :]}
    result = judge(logits, {**steps, **wrong}, labels, NAMES)
    assert (result.verdict, result.blamed_step) == ("fail", step)
    assert f"`{step}` does not compute what" in result.reason
    assert "0.0001 is allowed" in result.reason
    assert result.own[step].agreeing == 4000


def test_a_wrong_export_is_blamed_before_a_worse_quantisation() -> None:
    labels, logits = network(4000)
    swapped = logits[:, [1, 0, 2, 3, 4]]
    worse = np.clip(swapped, -1, 1)
    result = judge(logits, {"exported": swapped, "simplified": swapped, "int8": worse}, labels, NAMES)
    assert (result.verdict, result.blamed_step) == ("fail", "exported")


def test_the_larger_of_two_losses_is_blamed() -> None:
    labels, logits = network(4000)
    int8 = with_losses(logits, labels, lost=30)
    fp16 = with_losses(int8, labels, lost=90)
    result = judge(logits, {"exported": logits, "int8": int8, "fp16": fp16}, labels, NAMES)
    assert (result.verdict, result.blamed_step) == ("fail", "fp16")
    result = judge(logits, {"exported": logits, "int8": fp16, "fp16": with_losses(fp16, labels, lost=5)}, labels, NAMES)
    assert result.blamed_step == "int8"


def test_an_undecided_loss_is_blamed_with_the_doubt_that_it_has() -> None:
    labels, logits = network(600)
    result = judge(logits, {"exported": logits, "int8": with_losses(logits, labels, lost=2)}, labels, NAMES)
    assert (result.verdict, result.blamed_step) == ("undecided", "int8")
    assert "by itself that may be chance" in result.reason


# without labels


def test_without_labels_the_verdict_is_numeric_and_says_so() -> None:
    _, logits = network(1000)
    result = judge(logits, {"exported": rounding(logits), "int8": coarse(logits, 0.02)}, None, NAMES)
    assert result.verdict == "numeric"
    assert [criterion.measure for criterion in result.criteria] == ["agreement"]
    assert "no labels" in result.reason
    assert result.steps[1].correct is None
    assert result.blamed_step is None


def test_without_labels_damage_still_fails() -> None:
    _, logits = network(1000)
    ruined = judge(logits, {"exported": logits, "int8": np.clip(logits, -1, 1)}, None, NAMES)
    assert (ruined.verdict, ruined.blamed_step) == ("fail", "int8")
    wrong = judge(logits, {"exported": logits * np.float32(1.01)}, None, NAMES)
    assert (wrong.verdict, wrong.blamed_step) == ("fail", "exported")


# figures and the manifest


def test_the_result_becomes_the_part_of_a_manifest() -> None:
    labels, logits = network(400)
    nan = logits.copy()
    nan[0] = np.nan
    for steps in ({"int8": with_losses(logits, labels, lost=2)}, {"int8": nan}):
        spec = judge(logits, steps, labels, NAMES).spec(data_digest="ab", data_source="faces", over_budget_allowed=True)
        assert msgspec.json.decode(msgspec.json.encode(spec), type=GateSpec) == spec
        assert (spec.data_count, spec.data_source, spec.over_budget_allowed) == (400, "faces", True)
        assert spec.steps[0].step == "reference"


def test_each_step_is_compared_with_the_one_before() -> None:
    labels, logits = network(4000)
    int8 = with_losses(logits, labels, lost=30)
    fp16 = with_losses(int8, labels, lost=5)
    own = judge(logits, {"int8": int8, "fp16": fp16}, labels, NAMES).own
    assert [(own[name].total.lost, own[name].total.gained) for name in ("int8", "fp16")] == [(30, 0), (5, 0)]


# input


def test_what_does_not_fit_together_is_refused() -> None:
    labels, logits = network(50)
    with pytest.raises(InputError, match="no step"):
        judge(logits, {}, labels, NAMES)
    with pytest.raises(InputError, match=r"step `int8` have shape \(49, 5\)"):
        judge(logits, {"int8": logits[1:]}, labels, NAMES)
    with pytest.raises(InputError, match="angry, happy"):
        judge(logits, {"int8": logits}, labels, NAMES[:2])
    with pytest.raises(InputError, match="labels have shape"):
        judge(logits, {"int8": logits}, labels[1:], NAMES)
    with pytest.raises(InputError, match="from 0 to 4"):
        judge(logits, {"int8": logits}, labels + 1, NAMES)
    with pytest.raises(InputError, match="from 0 to 4"):
        judge(logits, {"int8": logits}, labels / 2, NAMES)
    with pytest.raises(InputError, match="name of the reference"):
        judge(logits, {"reference": logits}, labels, NAMES)
    with pytest.raises(DataError, match="no image"):
        judge(logits[:0], {"int8": logits[:0]}, labels[:0], NAMES)
