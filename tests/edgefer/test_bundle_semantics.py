"""Manifests whose fields contradict one another are refused, when a bundle is made and when it is read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec, ImageSpec, InputSpec, Manifest, OutputSpec
from edgefer.bundle.semantics import faults
from edgefer.errors import BundleError

replace = msgspec.structs.replace


def graph_with(manifest: Manifest, **change: Any) -> Manifest:
    return replace(manifest, graphs=(replace(manifest.graphs[0], **change),))


def input_with(manifest: Manifest, index: int, **change: Any) -> Manifest:
    inputs = list(manifest.graphs[0].inputs)
    inputs[index] = replace(inputs[index], **change)
    return graph_with(manifest, inputs=tuple(inputs))


def image_with(manifest: Manifest, **change: Any) -> Manifest:
    image = manifest.graphs[0].inputs[0].image
    assert image is not None
    return input_with(manifest, 0, image=replace(image, **change))


def golden_with(manifest: Manifest, **change: Any) -> Manifest:
    assert manifest.golden is not None
    return replace(manifest, golden=replace(manifest.golden, **change))


CONTRADICTIONS: dict[str, tuple[Any, str]] = {
    "four labels for five logits": (lambda m: replace(m, labels=m.labels[:4]), "there are 4 labels"),
    "a label twice": (lambda m: replace(m, labels=(*m.labels[:4], m.labels[0])), "occurs 2 times"),
    "an empty label": (lambda m: replace(m, labels=(*m.labels[:4], "")), "a label is empty"),
    "no graph": (lambda m: replace(m, graphs=()), "no graph"),
    "two graphs of a role": (lambda m: replace(m, graphs=m.graphs * 2), "2 graphs have the role 'fused'"),
    "a graph without a member": (lambda m: graph_with(m, member="graphs/none.onnx"), "which is missing"),
    "a rate of nothing": (lambda m: graph_with(m, rate=0.0), "the rate 0.0"),
    "no batch": (lambda m: graph_with(m, batches=()), "batches ()"),
    "a batch of nothing": (lambda m: graph_with(m, batches=(0, 1)), "batches (0, 1)"),
    "another batch": (lambda m: graph_with(m, batches=(2,)), "first axis must be 2"),
    "no output": (lambda m: graph_with(m, outputs=()), "no output"),
    "two tensors of a name": (lambda m: input_with(m, 0, name="infrared"), "2 tensors are named 'infrared'"),
    "two inputs of a role": (lambda m: input_with(m, 0, role="infrared"), "2 inputs have the role 'infrared'"),
    "two logits": (
        lambda m: graph_with(m, outputs=tuple(replace(o, role="logits", shape=(1, 5)) for o in m.graphs[0].outputs)),
        "more than one output has the role 'logits'",
    ),
    "an empty name": (lambda m: input_with(m, 0, name=""), "empty name"),
    "an axis of nothing": (lambda m: input_with(m, 0, shape=(1, 3, 0, 8)), "at least 1"),
    "a camera of two axes": (lambda m: input_with(m, 0, shape=(1, 3)), "expected (N, C, H, W)"),
    "a mask of three": (lambda m: input_with(m, 1, role="present", shape=(1, 3), image=None), "(N, 2)"),
    "four channels": (lambda m: input_with(m, 0, shape=(1, 4, 8, 8)), "an image of 4 channels"),
    "grey in colour order": (lambda m: input_with(m, 0, shape=(1, 1, 8, 8)), "colour order 'rgb'"),
    "two means": (lambda m: image_with(m, mean=(0.5, 0.5)), "2 values of mean"),
    "one deviation": (lambda m: image_with(m, std=(0.5,)), "1 values of std"),
    "a deviation of nothing": (lambda m: image_with(m, std=(0.5, 0.0, 0.5)), "standard deviations"),
    "a range backwards": (lambda m: image_with(m, range=(1.0, 0.0)), "the range (1.0, 0.0)"),
    "a window backwards": (lambda m: image_with(m, window16=(9, 9)), "16-bit window (9, 9)"),
    "a window too wide": (lambda m: image_with(m, window16=(0, 65536)), "16-bit window"),
    "a crop backwards": (lambda m: image_with(m, crop=(0.5, 0.0, 0.5, 1.0)), "the crop (0.5, 0.0, 0.5, 1.0)"),
    "a crop beyond the image": (lambda m: image_with(m, crop=(0.0, -0.1, 1.0, 1.0)), "the crop"),
    "a crop of no numbers": (lambda m: image_with(m, crop=(0.0, 0.0, 1.0, 1.5)), "the crop"),
    "a crop that keeps nothing": (lambda m: image_with(m, keep=0.0), "keeps 0.0"),
    "two pads": (lambda m: image_with(m, pad=(0, 0)), "2 values of pad"),
    "no pad": (lambda m: image_with(m, pad=()), "0 values of pad"),
    "a pad beyond white": (lambda m: image_with(m, pad=(0, 0, 256)), "levels from 0 to 255"),
    "a clip limit of nothing": (lambda m: image_with(m, clip_limit=0.0), "the clip limit 0.0"),
    "a clip limit that clips nothing": (lambda m: image_with(m, clip_limit=256.5), "the clip limit 256.5"),
    "no tiles": (lambda m: image_with(m, tiles=(8, 0)), "the tiles (8, 0)"),
    "golden without inputs": (lambda m: golden_with(m, count=0), "0 golden inputs"),
    "a negative tolerance": (lambda m: golden_with(m, tolerance=-1.0), "tolerance is -1.0"),
    "golden for no input": (
        lambda m: golden_with(m, inputs={"heat": "golden/visible.npy"}),
        "input 'heat' names no tensor",
    ),
    "golden without a member": (
        lambda m: golden_with(m, expected={"logits": "golden/none.npy"}),
        "golden expected 'logits' is said to be in member 'golden/none.npy'",
    ),
    "a temperature of nothing": (lambda m: replace(m, temperature=0.0), "the temperature is 0.0"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused(plain_bundle: Bundle, case: str) -> None:
    change, says = CONTRADICTIONS[case]
    members = {name: plain_bundle.member(name) for name in plain_bundle.members}
    with pytest.raises(BundleError, match="contradicts itself") as caught:
        Bundle.from_members(change(plain_bundle.manifest), members)
    assert says in caught.value.details


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_contradictions(plain_bundle: Bundle, value: float) -> None:
    manifest = plain_bundle.manifest
    for changed in (
        replace(manifest, temperature=value),
        graph_with(manifest, rate=value),
        golden_with(manifest, tolerance=value),
        image_with(manifest, mean=(0.0, 0.0, value)),
        image_with(manifest, crop=(0.0, 0.0, value, 1.0)),
        image_with(manifest, keep=value),
        image_with(manifest, clip_limit=value),
    ):
        assert faults(changed, plain_bundle.members)


def test_a_graph_may_lack_logits_and_a_grey_network_may_take_three_channels() -> None:
    image = ImageSpec(colour="grey")
    graph = GraphSpec(
        role="saliency",
        member="graphs/saliency.onnx",
        inputs=(InputSpec(name="x", role="visible", shape=(1, 3, 8, 8), image=image),),
        outputs=(OutputSpec(name="map", role="map", shape=(1, 1, 8, 8)),),
    )
    from edgefer.bundle.manifest import BudgetSpec, GateSpec, NetworkSpec, Provenance

    manifest = Manifest(
        network=NetworkSpec(name="saliency"),
        graphs=(graph,),
        labels=(),
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="", budget=BudgetSpec()),
        provenance=Provenance(created=""),
    )
    assert faults(manifest, ["graphs/saliency.onnx"]) == []
