"""Saliency and the classifier behind it.

ML-Net (Cornia et al. 2016, arXiv 1609.01064) states all of its settings but the augmentation, of which its code has
none: SGD 1e-3 with Nesterov momentum 0.9 and what Keras calls a decay of 5e-4 (of the rate, at every update), batches
of 10, 20 epochs, and a stop after 5 without a better loss on the validation.

The classifier (Mavani et al. 2017, arXiv 1708.08016) was fine-tuned from ILSVRC-2012; how, is not stated: optimiser,
rates, decay, epochs, batch, augmentation and split are all our choice.
"""

from __future__ import annotations

from edgefer_export.train.recipes.recipe import Recipe

RECIPES = (
    Recipe(
        name="ml-net",
        summary="as published: SGD with Nesterov momentum, a rate that decays with every update, stop after 5 epochs",
        source="Cornia et al. 2016, ICPR, arXiv 1609.01064, and their code",
        networks=("ml-net",),
        left_out=(
            "its VGG-16 begins with ImageNet's weights: give torchvision's as --trunk FILE, they are not shipped",
        ),
        optimiser="sgd:0.9:nesterov",
        learning_rate=1e-3,
        schedule="inverse:0.0005",
        epochs=20,
        batch=10,
        patience=5,
    ),
    Recipe(
        name="mavani2017",
        summary="fine-tuning with ten times the rate for the new layer",
        source="Mavani et al. 2017, ICCV Workshops, arXiv 1708.08016, which does not state its settings",
        networks=("saliency-alexnet",),
        ours=(
            *("optimiser", "learning_rate", "head_rate", "weight_decay", "schedule", "epochs", "batch", "flip"),
            *("crop", "validation_share", "option weight"),
        ),
        left_out=(
            "it begins with a network of ILSVRC-2012: give torchvision's AlexNet as --trunk FILE, it is not shipped",
        ),
        optimiser="sgd:0.9",
        learning_rate=1e-3,
        head_rate=10.0,
        weight_decay=5e-4,
        schedule="constant",
        epochs=40,
        batch=64,
        flip=True,
        crop=0.05,
        validation_share=0.1 / 0.9,
    ),
)
