"""One pass over the data for all runners, and the figures that come of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import DataError, InputError
from edgefer.progress import Silent
from edgefer_export import metrics
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Sample
from edgefer_export.data.feeds import Feeds
from edgefer_export.data.overlap import check_disjoint
from edgefer_export.data.splits import Subset, holdout
from edgefer_export.evaluate import CHUNK, Batched, evaluate

pytest.importorskip("cv2")

INPUT = InputSpec(name="x", role="visible", shape=(1, 1, 8, 8), image=ImageSpec(colour="grey"))
WEIGHTS = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)

Tensors = Mapping[str, np.ndarray]


class Faces:
    roles = ("visible",)
    source = "faces"

    def __init__(self, count: int = 37, labels: tuple[str, ...] = ("a", "b", "c")) -> None:
        self.count, self.labels, self.reads = count, labels, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        return Sample({"visible": pixels}, index % len(self.labels), f"face{index}")


def linear(tensors: Tensors) -> np.ndarray:
    """A network: (N, 3) for N samples."""
    return tensors["x"].reshape(len(tensors["x"]), -1) @ WEIGHTS


def test_all_runners_see_the_same_images_once() -> None:
    data = Faces()
    sizes: list[int] = []

    def watched(tensors: Tensors) -> np.ndarray:
        sizes.append(len(tensors["x"]))
        return linear(tensors)

    result = evaluate(
        Feeds(data, (INPUT,)),
        {"torch": Batched(watched, 8), "onnx": linear, "flat": lambda tensors: linear(tensors)[0]},
    )
    assert data.reads == 37
    assert max(sizes) == 8
    assert sum(sizes) == 37
    for name in ("torch", "onnx", "flat"):
        assert result.logits[name].shape == (37, 3)
        assert result.logits[name].dtype == np.float32
        np.testing.assert_allclose(result.logits[name], result.logits["onnx"], rtol=1e-5, atol=1e-5)
        assert result.seconds[name] > 0
    assert result.labels is not None
    assert result.labels.tolist() == [index % 3 for index in range(37)]
    assert (result.count, result.class_names, result.source) == (37, ("a", "b", "c"), "faces")
    assert result.digest == Feeds(data, (INPUT,)).digest


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_rows_stand_in_the_order_of_the_data(count: int) -> None:
    data = Faces(count)
    result = evaluate(Feeds(data, (INPUT,)), {"one": linear, "batch": Batched(linear, 5)}, concurrency=2)
    expected = np.concatenate([linear(tensors) for tensors in Feeds(data, (INPUT,))])
    np.testing.assert_array_equal(result.logits["one"], expected)
    np.testing.assert_allclose(result.logits["batch"], expected, rtol=1e-5, atol=1e-5)


def test_concurrency_gives_several_samples_at_a_time() -> None:
    inside, most, lock = [0], [0], threading.Lock()

    def slow(tensors: Tensors) -> np.ndarray:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.005)
        with lock:
            inside[0] -= 1
        return linear(tensors)

    evaluate(Feeds(Faces(), (INPUT,)), {"slow": slow}, concurrency=2)
    assert most[0] == 2
    most[0] = 0
    evaluate(Feeds(Faces(6), (INPUT,)), {"slow": slow})
    assert most[0] == 1


def test_progress_reaches_the_end() -> None:
    class Counting(Silent):
        done = 0
        total: int | None = None

        def task(self, name: str, total: int | None = None):  # type: ignore[no-untyped-def]
            from contextlib import contextmanager

            self.total = total

            @contextmanager
            def opened():  # type: ignore[no-untyped-def]
                def advance(units: int) -> None:
                    self.done += units

                yield advance

            return opened()

    reporter = Counting()
    evaluate(Feeds(Faces(), (INPUT,)), {"x": linear}, reporter=reporter)
    assert (reporter.done, reporter.total) == (37, 37)


def test_one_class_means_no_labels() -> None:
    assert evaluate(Feeds(Faces(labels=("any",)), (INPUT,)), {"x": linear}).labels is None


def test_logits_that_are_not_numbers_are_kept_for_the_gate() -> None:
    result = evaluate(Feeds(Faces(3), (INPUT,)), {"x": lambda tensors: linear(tensors) * np.nan})
    assert np.isnan(result.logits["x"]).all()


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(DataError, match="faces has no sample"):
        evaluate(Feeds(Faces(0), (INPUT,)), {"x": linear})


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((1, 3, 1)), "logits"),
        (np.zeros((2, 3)), "rows of logits for 37 samples|rows of logits for 16"),
        (np.float32(1), "logits"),
    ],
)
def test_a_runner_of_another_shape_is_named(output: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=f"`odd` returned.*({message})"):
        evaluate(Feeds(Faces(), (INPUT,)), {"odd": lambda tensors: output})


@pytest.mark.skipif("EDGEFER_TEST_DATA" not in os.environ, reason="EDGEFER_TEST_DATA names no folder of real images")
def test_real_faces_are_split_by_person_and_evaluated() -> None:
    data = open_dataset(str(Path(os.environ["EDGEFER_TEST_DATA"]) / "london_faces"), "folder:subjects=name")
    split = holdout(data, share=0.25, seed=0)
    assert split.by_subject
    assert len(split.test) == 20
    train, test = (Feeds(Subset(data, side), (INPUT,)) for side in (split.train, split.test))
    result = evaluate(test, {"x": linear})
    assert result.labels is not None
    assert result.labels.sum() == 10
    check_disjoint(train.records, result.records)
    with pytest.raises(DataError, match=r"20 samples .*"):
        check_disjoint(Feeds(data, (INPUT,)).records, result.records)


# figures


LOGITS = np.array([[3, 1, 0], [2, 1, 0], [0, 1, 0], [1, 0, 2], [0, 5, 1], [0, 1, 9]], np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 2])


def test_the_confusion_matrix_counts_truth_in_rows() -> None:
    matrix = metrics.confusion_matrix(LOGITS, LABELS, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_recalls_leave_out_classes_without_images() -> None:
    figures = metrics.class_figures(LOGITS, LABELS, ("a", "b", "c", "none"))
    assert [figure.recall for figure in figures] == [pytest.approx(2 / 3), 0.5, 1.0, None]
    assert metrics.mean_recall(figures) == pytest.approx((2 / 3 + 0.5 + 1) / 3)
    worst = metrics.worst_class(figures)
    assert worst is not None
    assert (worst.name, worst.correct, worst.count) == ("b", 1, 2)
    assert figures[3].interval is None
    interval = figures[0].interval
    assert interval is not None
    assert interval.low < 2 / 3 < interval.high


def test_no_images_give_no_figures() -> None:
    assert metrics.mean_recall(()) is None
    assert metrics.worst_class(()) is None


def test_agreement_and_error_are_against_the_reference() -> None:
    other = LOGITS.copy()
    other[5] = [0, 9, 1]
    assert metrics.agreement(other, LOGITS) == pytest.approx(5 / 6)
    assert metrics.max_error(other, LOGITS) == pytest.approx(8 / 9)
    assert metrics.max_error(LOGITS * 0.01, LOGITS * 0) == pytest.approx(0.09)


def test_an_image_whose_logits_are_not_finite_is_wrong_and_agrees_with_nothing() -> None:
    broken = LOGITS.copy()
    broken[0, 1] = np.nan
    assert metrics.correct_mask(broken, LABELS).sum() == metrics.correct_mask(LOGITS, LABELS).sum() - 1
    assert metrics.agreement(broken, broken) == pytest.approx(5 / 6)
    assert metrics.confusion_matrix(broken, LABELS, 3).sum() == 5
    assert metrics.max_error(broken, LOGITS) == metrics.UNBOUNDED


def test_a_step_has_the_figures_of_the_manifest() -> None:
    figure = metrics.step_figure("int8", LOGITS, LOGITS, LABELS, ("a", "b", "c"))
    assert (figure.step, figure.count, figure.correct) == ("int8", 6, 4)
    assert (figure.worst_class, figure.worst_recall) == ("b", 0.5)
    assert (figure.agreement, figure.max_error) == (1.0, 0.0)
    unlabelled = metrics.step_figure("int8", LOGITS, LOGITS, None, ("a", "b", "c"))
    assert (unlabelled.correct, unlabelled.mean_recall, unlabelled.worst_class) == (None, None, None)


def test_a_comparison_counts_what_was_lost_and_gained_by_class() -> None:
    after = LOGITS.copy()
    after[0] = [0, 1, 0]  # a: lost
    after[3] = [0, 1, 0]  # b: gained
    comparison = metrics.compare(LOGITS, after, LABELS, 3)
    assert [(pairs.lost, pairs.gained, pairs.count) for pairs in comparison.classes] == [
        (1, 0, 3),
        (0, 1, 2),
        (0, 0, 1),
    ]
    assert (comparison.total.lost, comparison.total.gained, comparison.agreeing) == (1, 1, 4)
    assert comparison.mean_recall_loss == pytest.approx((1 / 3 - 1 / 2) / 3)
    assert not comparison.same


def test_rounding_is_told_from_damage_by_the_margin() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, LOGITS.shape)
    assert metrics.compare(LOGITS, LOGITS.copy(), LABELS, 3).same
    assert metrics.compare(LOGITS, LOGITS + 1e-5 * noise, LABELS, 3).same
    assert not metrics.compare(LOGITS, LOGITS + 1e-2 * noise, LABELS, 3).same
    # The same noise is damage where logits are small, whatever their common offset.
    small = 100 + 0.001 * LOGITS.astype(np.float64)
    assert not metrics.compare(small, small + 1e-5 * noise, LABELS, 3).same
