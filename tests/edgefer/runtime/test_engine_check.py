"""The judgement of an engine, on functions that stand for its lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
import simulated_session as tiny

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.errors import BundleError, EngineIncompatible
from edgefer.runtime.gpu.engine_check import judge, made_up

Run = Callable[[Mapping[str, Any]], dict[str, Any]]
BUNDLE = tiny.bundle(golden=5)
GRAPH = BUNDLE.manifest.graphs[0]


def right(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"logits": tiny.logits(given)}


def counted(run: Run, sizes: list[int]) -> Run:
    def counting(given: Mapping[str, Any]) -> dict[str, Any]:
        sizes.append(len(given["visible"]))
        return run(given)

    return counting


def test_all_golden_inputs_are_answered_in_every_batch_and_some_by_every_lane() -> None:
    first: list[int] = []
    second: list[int] = []
    said = judge(BUNDLE, GRAPH, [counted(right, first), counted(right, second)], (1, 4))
    assert said.startswith("5 golden inputs answered in the batches 1, 4 within 0 of what is expected")
    assert sorted(first) == [1] * (5 + 4) + [4] * (2 + 4)
    assert sorted(second) == [1] * (1 + 4) + [4] * (1 + 4)


def test_the_second_lane_is_judged_too() -> None:
    def wrong(given: Mapping[str, Any]) -> dict[str, Any]:
        return {"logits": tiny.logits(given) * 1.01}

    with pytest.raises(EngineIncompatible, match="tolerance"):
        judge(BUNDLE, GRAPH, [right, wrong], (1,))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_wrong(value: float) -> None:
    with pytest.raises(EngineIncompatible, match="differs from the expected by inf"):
        judge(BUNDLE, GRAPH, [lambda given: {"logits": np.full((len(given["visible"]), 5), value)}], (1,))


def test_a_missing_output_is_named() -> None:
    with pytest.raises(EngineIncompatible, match="no output 'logits'"):
        judge(BUNDLE, GRAPH, [lambda given: {"classes": tiny.logits(given)}], (1,))


@pytest.mark.parametrize("period", [2, 3])
def test_an_answer_that_changes_is_found_whatever_its_rhythm(period: int) -> None:
    calls = iter(range(1000))

    def restless(given: Mapping[str, Any]) -> dict[str, Any]:
        found = tiny.logits(given)
        found[0, 0] = np.nextafter(found[0, 0], np.float32(np.inf)) if next(calls) % period == 0 else found[0, 0]
        return {"logits": found}

    with pytest.raises(EngineIncompatible, match="two answers for one input"):
        judge(BUNDLE, GRAPH, [restless], (1,))


def test_an_answer_that_the_input_before_it_changes_is_found() -> None:
    before: list[bytes] = [b""]

    def smeared(given: Mapping[str, Any]) -> dict[str, Any]:
        found = tiny.logits(given)
        seen = given["visible"].tobytes()
        if before[0] not in (b"", seen):
            found[0, 0] = np.nextafter(found[0, 0], np.float32(np.inf))
        before[0] = seen
        return {"logits": found}

    with pytest.raises(EngineIncompatible, match="two answers for one input"):
        judge(BUNDLE, GRAPH, [smeared], (1,))


def test_without_golden_inputs_it_must_repeat_itself_and_read_its_inputs() -> None:
    bare = tiny.bundle(golden=0)
    graph = bare.manifest.graphs[0]
    assert "only that it repeats itself" in judge(bare, graph, [right], (1, 4))
    with pytest.raises(EngineIncompatible, match="does not read its inputs"):
        judge(bare, graph, [lambda given: {"logits": np.ones((len(given["visible"]), 5), np.float32)}], (1,))


def test_classes_may_be_the_same_for_two_inputs() -> None:
    bare = tiny.bundle(golden=0)
    judge(bare, bare.manifest.graphs[0], [lambda given: {"class": np.ones((len(given["visible"]), 1), np.int64)}], (1,))


def test_golden_arrays_that_do_not_fit_are_the_bundles_fault() -> None:
    kept = {name: BUNDLE.member(name) for name in BUNDLE.members if name.startswith(("graphs/", "golden/"))}
    members = {**kept, "golden/expected.npy": encode_array(np.zeros((5, 6), np.float32))}
    with pytest.raises(BundleError, match=r"golden array for 'logits' has the shape \(5, 6\), expected \(5, 5\)"):
        judge(Bundle.from_members(BUNDLE.manifest, members), GRAPH, [right], (1,))


def test_made_up_inputs_say_that_all_cameras_are_there() -> None:
    mask = msgspec.structs.replace(GRAPH.inputs[0], name="present", role="present", shape=(1, 2), image=None)
    found = made_up(msgspec.structs.replace(GRAPH, inputs=(*GRAPH.inputs, mask)))
    np.testing.assert_array_equal(found["present"], np.ones((1, 2), np.float32))
    assert found["visible"].shape == (1, 3, 8, 8)
    assert found["visible"].std() > 0.5
