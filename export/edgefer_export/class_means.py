"""Where the classes lie in a network's embedding: computed from data by the deployed graph, and put into the bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import EmbeddingSpec, OutputSpec
from edgefer.errors import DataError, EdgeferError, UsageError
from edgefer.progress import Reporter
from edgefer.runtime.class_means import ClassMeans
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.evaluate import evaluate
from edgefer_export.networks.network import Network, Outputs, Tensors
from edgefer_export.runners import logits_of
from edgefer_export.spec import BuildSpec

EMBEDDING = "embedding"
"""The output in which the classes are located, by its name."""

NO_MEANS = "none"
"""What `--embedding` is to leave the means out."""

KEPT = 0.99
"""The share of the samples behind the means that are not to be rejected."""

LEAST = 2
"""Samples of a class; one alone has no spread."""

MEMBER = "embedding/means.npy"
_CONCURRENCY = 2


@dataclass(frozen=True)
class Located:
    """The manifest's part about the classes in the embedding, the means (C, D) float32, and the digest of the data."""

    spec: EmbeddingSpec
    means: npt.NDArray[np.float32]
    digest: str

    def into(self, bundle: Bundle) -> Bundle:
        """The bundle with the means added."""
        held = {name: bundle.member(name) for name in bundle.members}
        provenance = bundle.manifest.provenance
        sources = {**provenance.sources, EMBEDDING: self.digest}
        manifest = msgspec.structs.replace(
            bundle.manifest,
            members={},
            embedding=self.spec,
            provenance=msgspec.structs.replace(provenance, sources=sources),
        )
        return Bundle.from_members(manifest, {**held, MEMBER: encode_array(self.means)})


def data_of_means(
    spec: BuildSpec,
    network: Network,
    outputs: Sequence[OutputSpec],
    calibration: Feeds | None,
    reporter: Reporter,
    *,
    with_maps: Callable[[Dataset], Dataset] | None = None,
) -> Feeds | None:
    """The data that the means come from: `--embedding`, else the calibration data where it has the network's classes,
    every camera there: a class lies where whole samples of it do. None where the network has no embedding, where the
    means are not wanted, and, with a note, where there is no data.

    Args:
        with_maps: gives the data of `--embedding` the saliency maps that the network takes; the calibration has them.

    Raises:
        UsageError: `--embedding` is given and the network has no embedding, or no classes.
        DataError: the data named cannot be read, or its classes are not those of the network.
    """
    has = network.logits is not None and any(each.name == EMBEDDING and len(each.shape) == 2 for each in outputs)
    if spec.embedding == NO_MEANS:
        return None
    if spec.embedding is not None:
        if not has:
            raise UsageError(
                f"`--embedding {spec.embedding}` is given, and {network.name} has no output `{EMBEDDING}` (N, D) "
                f"beside logits; it gives {', '.join(each.name for each in outputs)}.",
                hint="Leave it out, or choose a head that gives one, such as --option head=gaussian of feratt.",
            )
        data = open_dataset(spec.embedding, spec.layout, network.labels, reporter=reporter)
        return Feeds(data if with_maps is None else with_maps(data), network.inputs)
    if not has:
        return None
    if calibration is None:
        reporter.note("The bundle gets no means of its classes, and answers no distances: give --embedding DATA.")
        return None
    if set(calibration.dataset.labels) != set(network.labels):
        reporter.note(
            f"The bundle gets no means of its classes: {calibration.dataset.source} is not labelled with them. "
            "Give --embedding DATA."
        )
        return None
    return Feeds(calibration.dataset, network.inputs)


def locate(
    function: Callable[[Tensors], Outputs], feeds: Feeds, labels: tuple[str, ...], reporter: Reporter
) -> Located:
    """Mean and spread of every class over the data, and the distance beyond which a sample is of none.

    Args:
        function: the deployed graph, from tensors (1, C, H, W) by input name to outputs by name.
        feeds: labelled data with the classes `labels` in any order.
        labels: of the network, in the order of the logits.
        reporter: told how far it is.

    Raises:
        DataError: a class has fewer than two samples, or no spread, or an embedding is not finite.
    """
    seen = evaluate(feeds, {EMBEDDING: logits_of(function, EMBEDDING)}, reporter=reporter, concurrency=_CONCURRENCY)
    order = np.array([labels.index(name) for name in feeds.dataset.labels])
    classes = order[np.array([record.label for record in seen.records], np.int64)]
    try:
        spec, means = fit(seen.logits[EMBEDDING], classes, labels)
    except DataError as error:
        raise DataError(f"{seen.source}: {error.message}", hint=error.hint) from error
    return Located(spec, means, seen.digest)


def fit(
    embeddings: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], labels: tuple[str, ...]
) -> tuple[EmbeddingSpec, npt.NDArray[np.float32]]:
    """The manifest's part and the means (C, D) float32 for embeddings (n, D) of samples of these classes (n,).

    The samples that the means come from lie a little nearer to them than others do, by a factor of about 1 - 1/n for n
    samples a class, so that of unseen ones somewhat fewer than `KEPT` stay.

    Raises:
        DataError: a class has fewer than two samples, or no spread, or an embedding is not finite.
    """
    if not np.isfinite(embeddings).all():
        raise DataError("an embedding of these images is not finite", hint="check the weights of the network")
    counts = np.bincount(classes, minlength=len(labels))
    few = [f"{label} ({count})" for label, count in zip(labels, counts, strict=True) if count < LEAST]
    if few:
        raise DataError(
            f"means of classes need {LEAST} images or more of each; there are fewer of {', '.join(few)}",
            hint="give more with --embedding DATA, or leave the means out with --embedding none",
        )
    rows = [embeddings[classes == index].astype(np.float64) for index in range(len(labels))]
    means = np.stack([each.mean(axis=0) for each in rows]).astype(np.float32)
    spread = [float(np.sqrt(np.square(each - mean).sum(axis=1).mean())) for each, mean in zip(rows, means, strict=True)]
    same = [label for label, width in zip(labels, spread, strict=True) if not width > 0.0]
    if same:
        raise DataError(
            f"all images of {', '.join(same)} have one embedding, so that there is no spread to measure distances by",
            hint="give different images with --embedding DATA, or leave the means out with --embedding none",
        )
    distances = ClassMeans(means, spread).distances(embeddings)
    reject_beyond = float(np.quantile(distances, KEPT, method="higher"))
    return (
        EmbeddingSpec(
            output=EMBEDDING,
            means=MEMBER,
            spread=tuple(spread),
            reject_beyond=reject_beyond,
            kept=float(np.mean(distances <= reject_beyond)),
            count=len(embeddings),
        ),
        means,
    )


def locate_if_possible(
    function: Callable[[Tensors], Outputs], feeds: Feeds, network: Network, spec: BuildSpec, reporter: Reporter
) -> Located | None:
    """`locate`; where the data was not named for it and does not suffice, None and a note of why.

    Raises:
        DataError: the data was named with `--embedding` and does not suffice.
    """
    try:
        located = locate(function, feeds, network.labels, reporter)
    except EdgeferError as error:
        if spec.embedding is not None:
            raise
        reporter.note(f"The bundle gets no means of its classes: {error.message}; {error.hint}.")
        return None
    found = located.spec
    reporter.note(
        f"Means of {len(network.labels)} classes from {found.count} images of {feeds.dataset.source}: beyond "
        f"{found.reject_beyond:.3g} spreads an image is none of these."
    )
    return located
