"""What a manifest may not say about where its classes lie."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import EmbeddingSpec, Manifest
from edgefer.errors import BundleError

replace = msgspec.structs.replace

GOOD = EmbeddingSpec(
    output="embedding", means="embedding/means.npy", spread=(1.0,) * 5, reject_beyond=2.0, kept=0.99, count=50
)


def assembled(bundle: Bundle, manifest: Manifest) -> Bundle:
    members = {name: bundle.member(name) for name in bundle.members}
    members["embedding/means.npy"] = encode_array(np.zeros((5, 8), np.float32))
    return Bundle.from_members(replace(manifest, members={}), members)


def outputs(manifest: Manifest, **change: Any) -> Manifest:
    graph = manifest.graphs[0]
    logits, embedding = graph.outputs
    return replace(manifest, graphs=(replace(graph, outputs=(logits, replace(embedding, **change))),))


def test_what_holds_is_taken_and_comes_back(plain_bundle: Bundle) -> None:
    bundle = assembled(plain_bundle, replace(plain_bundle.manifest, embedding=GOOD))
    assert Bundle.from_bytes(bundle.to_bytes()).manifest.embedding == GOOD


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "another output": ({"output": "features"}, "the embedding 'features' is no output of a graph"),
    "no member": ({"means": "embedding/none.npy"}, "said to be in member 'embedding/none.npy', which is missing"),
    "four spreads": ({"spread": (1.0,) * 4}, "4 spreads of classes for 5 labels"),
    "no spread": ({"spread": (1.0, 1.0, 0.0, 1.0, 1.0)}, "each must be above 0"),
    "a spread that has no inverse": ({"spread": (1.0, 1.0, 1e-310, 1.0, 1.0)}, "not by less than 1e-308"),
    "nothing near": ({"reject_beyond": 0.0}, "is of no class is 0.0"),
    "nobody kept": ({"kept": 0.0}, "samples kept is 0.0"),
    "more than all kept": ({"kept": 1.5}, "samples kept is 1.5"),
    "too few": ({"count": 4}, "4 samples of 5 classes"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_about_the_classes_are_refused(plain_bundle: Bundle, case: str) -> None:
    change, says = CONTRADICTIONS[case]
    with pytest.raises(BundleError, match="contradicts itself") as caught:
        assembled(plain_bundle, replace(plain_bundle.manifest, embedding=replace(GOOD, **change)))
    assert says in caught.value.details


def test_an_embedding_is_of_two_axes_and_beside_logits(plain_bundle: Bundle) -> None:
    manifest = replace(plain_bundle.manifest, embedding=GOOD)
    with pytest.raises(BundleError) as caught:
        assembled(plain_bundle, outputs(manifest, shape=(1, 8, 2)))
    assert "has the shape (1, 8, 2), expected (N, D)" in caught.value.details
    graph = manifest.graphs[0]
    without = replace(manifest, graphs=(replace(graph, outputs=graph.outputs[1:]),), golden=None)
    with pytest.raises(BundleError) as caught:
        assembled(plain_bundle, without)
    assert "no logits to name them" in caught.value.details
