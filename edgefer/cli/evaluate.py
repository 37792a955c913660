"""`edgefer evaluate`: how often a bundle is right on labelled data, by class and with its interval."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefer.cli.gpu_options import add_device, add_gpu, session_options, tell, warnings_as_notes
from edgefer.cli.infer import warn
from edgefer.cli.options import DATA_HELP, add_bundle, add_layout, add_threads, reporter
from edgefer.cli.output import Outcome, percent, table
from edgefer.errors import UsageError

if TYPE_CHECKING:
    from edgefer.bundle.container import Bundle
    from edgefer.progress import Reporter
    from edgefer.runtime.session import Session
    from edgefer_export.data.dataset import Dataset
    from edgefer_export.data.feeds import Feeds

DESCRIPTION = "Answer for every labelled image or pair of a data set and count: accuracy, recall by class, confusion."
EXAMPLE = "edgefer evaluate fusion.edgefer --data data/test --layout pairs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--data", metavar="DATA", required=True, help=DATA_HELP)
    add_layout(parser)
    add_device(parser)
    add_threads(parser)
    add_gpu(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.container import Bundle
    from edgefer.runtime.session import Session
    from edgefer_export.data import open_dataset
    from edgefer_export.data.dataset import combined_digest
    from edgefer_export.data.feeds import Feeds

    told = reporter(arguments)
    options = session_options(arguments, told)
    bundle = Bundle.read(arguments.bundle)
    labels = bundle.manifest.labels
    if not labels:
        raise UsageError(
            f"{arguments.bundle} has no classes, so there is no right and wrong to count.",
            hint="Session.run gives its raw outputs; `edgefer verify` compares them with known ones.",
        )
    dataset = open_dataset(arguments.data, getattr(arguments, "layout", None), labels=labels, reporter=told)
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(warnings_as_notes(told))
        if bundle.manifest.saliency is not None:
            dataset = _with_maps(dataset, bundle, options, stack)
        feeds = Feeds(dataset, bundle.graph().inputs)
        session = stack.enter_context(Session(bundle, **options))
        tell(told, session.info)
        logits, truth, digests, unknown = _answers(session, feeds, told)
        info = session.info
    warn(bundle.manifest.gate, told)
    payload = {
        "bundle": arguments.bundle,
        "digest": bundle.digest,
        "data": {"source": dataset.source, "digest": combined_digest(digests), "count": len(truth)},
        **_figures(logits, truth, labels),
        "none_of_these": unknown,
        "info": info,
        "seconds": time.monotonic() - started,
    }
    return Outcome(payload=payload, text=_text(payload))


def _with_maps(dataset: Dataset, bundle: Bundle, options: dict[str, Any], stack: ExitStack) -> Dataset:
    """Every sample with its own map from the bundle's saliency graph: they are no frames that follow each other."""
    from edgefer.runtime.saliency import map_maker, serving
    from edgefer.runtime.session import Session
    from edgefer_export.saliency_maps import WithSaliency

    _, graph = serving(bundle)
    session = stack.enter_context(Session(bundle, graph=graph.role, **options))
    return WithSaliency(dataset, map_maker(graph, session), room=0)


def _answers(
    session: Session, feeds: Feeds, told: Reporter
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[str], int | None]:
    """Logits, true classes and digests of all samples, and how many the session takes for none of the classes; None
    where the bundle does not say where these lie."""
    logits, truth, digests, known = [], [], [], []
    with told.task("answering", total=len(feeds)) as advance:
        for example in feeds.examples():
            estimate = session.infer(**example.tensors)
            logits.append(estimate.logits)
            known.append(estimate.known)
            truth.append(example.record.label)
            digests.append(example.record.digest)
            advance(1)
    unknown = None if None in known else known.count(False)
    return np.stack(logits), np.array(truth), digests, unknown


def _figures(logits: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], labels: tuple[str, ...]) -> dict[str, Any]:
    from edgefer_export import metrics
    from edgefer_export.intervals import CONFIDENCE, mean_proportion, wilson

    classes = metrics.class_figures(logits, truth, labels)
    correct = sum(figure.correct for figure in classes)
    interval = wilson(correct, len(truth))
    recall = mean_proportion([(figure.correct, figure.count) for figure in classes if figure.count])
    return {
        "count": len(truth),
        "correct": correct,
        "accuracy": correct / len(truth),
        "interval": {"low": interval.low, "high": interval.high, "confidence": CONFIDENCE, "method": "Wilson"},
        "mean_recall": metrics.mean_recall(classes),
        "mean_recall_interval": {"low": recall.low, "high": recall.high},
        "labels": labels,
        "classes": [
            {
                "label": figure.name,
                "count": figure.count,
                "correct": figure.correct,
                "recall": figure.recall,
                "low": None if figure.interval is None else figure.interval.low,
                "high": None if figure.interval is None else figure.interval.high,
            }
            for figure in classes
        ],
        "confusion": metrics.confusion_matrix(logits, truth, len(labels)),
    }


def _text(figures: dict[str, Any]) -> str:
    interval, recall = figures["interval"], figures["mean_recall_interval"]
    present = sum(each["count"] > 0 for each in figures["classes"])
    lines = [
        f"{figures['correct']} of {figures['count']} right: {percent(figures['accuracy'])} "
        f"({interval['confidence']:.0%} interval {percent(interval['low'])} to {percent(interval['high'])})",
        f"mean recall {percent(figures['mean_recall'])} of {present} classes ({interval['confidence']:.0%} interval "
        f"{percent(recall['low'])} to {percent(recall['high'])})",
    ]
    if figures["none_of_these"] is not None:
        lines.append(f"{figures['none_of_these']} of {figures['count']} are taken for none of the classes")
    recalls = [["class", "right", "of", "recall", "interval"]]
    for each in figures["classes"]:
        known = each["recall"] is not None
        span = f"{percent(each['low'])} to {percent(each['high'])}" if known else "-"
        recalls.append([each["label"], str(each["correct"]), str(each["count"]), percent(each["recall"]), span])
    confusion = [["true \\ taken for", *figures["labels"]]]
    for label, row in zip(figures["labels"], figures["confusion"], strict=True):
        confusion.append([label, *(str(count) for count in row)])
    return "\n\n".join(
        ["\n".join(lines), table(recalls, right=(1, 2, 3, 4)), table(confusion, right=range(1, len(confusion)))]
    )
