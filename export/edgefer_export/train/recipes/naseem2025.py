"""How the networks of Naseem et al. 2025 were trained, odd settings included, as their code ran.

PeerJ Computer Science 11:e2676, DOI 10.7717/peerj-cs.2676, and the authors' public code. Not stated, and therefore our
choice: a seed (there is none), and that nobody is on both sides of the split. Theirs is 70, 15 and 15 % of the images,
fixed; of what is left without the test, the share below is held out to choose the epoch by, the latest of equally good
ones, as theirs.

What is odd: cross-entropy takes the softmax for logits; the cosine with T = 3 is stepped, for one camera, before each
epoch and again after it with the validation accuracy for the epoch's number; the images of the two cameras were changed
independently of each other, so that the copies of a pair do not fit pixel by pixel.
"""

from __future__ import annotations

from dataclasses import replace

from edgefer_export.train.recipes.recipe import Recipe

_SOURCE = "Naseem et al. 2025, PeerJ Computer Science 11:e2676, DOI 10.7717/peerj-cs.2676, and their code"
# 15 % of all, of the 85 % that are not the test.
_VALIDATION = 0.15 / 0.85
_OURS = ("seed", "split by people")
_IMAGENET = "the towers begin with ImageNet's weights: give them as --trunk FILE, they are not shipped"
_TOWERS = (
    "the visible tower begins with ImageNet's weights and the infrared one with those of its own training; --towers "
    "starts both from their own, --trunk both from ImageNet's"
)

_FUSION = Recipe(
    name="naseem2025",
    summary="both cameras as it was run: cross-entropy on softmax, a cosine of six epochs, cameras changed apart",
    source=_SOURCE,
    networks=("viri-fusion",),
    ours=_OURS,
    left_out=(_TOWERS,),
    options={"loss": "ce_on_softmax"},
    optimiser="adam",
    learning_rate=1e-3,
    schedule="cosine:3",
    epochs=150,
    batch=64,
    offline="naseem2025",
    validation_share=_VALIDATION,
    apart=True,
)

RECIPES = (
    Recipe(
        name="naseem2025",
        summary="one camera as it was run: cross-entropy on softmax, a cosine that follows the validation accuracy",
        source=_SOURCE,
        networks=("viri-visible", "viri-infrared"),
        ours=_OURS,
        left_out=(_IMAGENET,),
        options={"loss": "ce_on_softmax"},
        optimiser="adam",
        learning_rate=1e-3,
        schedule="cosine-as-run:3",
        epochs=50,
        batch=64,
        offline="naseem2025",
        validation_share=_VALIDATION,
    ),
    _FUSION,
    replace(
        _FUSION,
        name="naseem2025-shared",
        summary="both cameras as it was run, but changed alike, so that their pixels still fit",
        ours=("apart", *_OURS),
        apart=False,
    ),
    Recipe(
        name="naseem2025-shared",
        summary="the same for pixels stacked before the first layer, on the logits",
        source=_SOURCE + "; its authors have no such network",
        networks=("cbam-early-fusion",),
        ours=("apart", "loss", "network", *_OURS),
        left_out=(_IMAGENET,),
        optimiser="adam",
        learning_rate=1e-3,
        schedule="cosine:3",
        epochs=150,
        batch=64,
        offline="naseem2025",
        validation_share=_VALIDATION,
    ),
)
