"""Training on RAF-DB: how DAN's public code trains, and a head on trunks that are trained already.

Nothing of how the fusion attention network (Tran 2023) was trained is stated: not its loss, optimiser, rates, epochs,
augmentation, whether the trunks stay as they are, nor what they were trained on before. All of both recipes is
therefore our choice for it; the first takes the settings of DAN (Wen et al. 2023, "Distract Your Attention"), which its
code states for its own network: SGD 0.1 with momentum 0.9 and weight decay 1e-4, batches of 256, 40 epochs, a tenth of
the rate every 10, mirroring, with probability 0.2 a rotation by up to 20 degrees and a padded crop of 32 pixels, and
erasing of 2 to 25 % of the area. That half of the samples are erased is ours, too: DAN's code leaves it at a default.

DAN's rate is for a ResNet. A VGG has no batch norm and may diverge at it; a tenth of it, with which Simonyan and
Zisserman (ICLR 2015, section 3.1) began, is our choice for networks with such a trunk.
"""

from __future__ import annotations

from dataclasses import replace

from edgefer_export.train.recipes.recipe import Recipe

_NETWORKS = ("backbone", "fusion-attention", "late-fusion", "early-fusion", "joint-fusion")
_ALL = ("optimiser", "learning_rate", "weight_decay", "schedule", "epochs", "batch", "label_smoothing", "augmentation")

_DAN = Recipe(
    name="raf-db",
    summary="end to end as DAN's code trains on RAF-DB: SGD 0.1, a tenth every 10 epochs, erasing; for ResNet trunks",
    source="settings of DAN (Wen et al. 2023) for RAF-DB; those of Tran 2023 are not stated",
    networks=_NETWORKS,
    ours=_ALL,
    left_out=("the trunks begin with weights trained on faces, which are not shipped",),
    options={"norm": "imagenet", "size": "224"},
    optimiser="sgd:0.9",
    learning_rate=0.1,
    weight_decay=1e-4,
    schedule="step:10:0.1",
    epochs=40,
    batch=256,
    flip=True,
    rotation=20.0,
    padding=32,
    moved=0.2,
    erasing=0.25,
)

_HEAD = Recipe(
    name="raf-db-head",
    summary="first stage: the fusion and its head on trunks that are trained and stay as they are (--backbones)",
    source="our choice; how Tran 2023 trained is not stated",
    networks=("fusion-attention", "early-fusion"),
    ours=(*_ALL, "stage"),
    options={"norm": "imagenet", "size": "224"},
    optimiser="adamw",
    learning_rate=3e-4,
    weight_decay=0.05,
    label_smoothing=0.1,
    schedule="one-cycle",
    epochs=30,
    batch=64,
    flip=True,
    rotation=20.0,
    padding=32,
    moved=0.2,
    erasing=0.25,
    stage="head",
)

RECIPES = (
    _DAN,
    replace(
        _DAN,
        name="raf-db-vgg",
        summary="the same at SGD 0.01 for VGG trunks (vgg11, vgg13), which have no batch norm: 0.1 may diverge",
        source="settings of DAN (Wen et al. 2023) for RAF-DB but for the rate; those of Tran 2023 are not stated",
        learning_rate=0.01,
    ),
    _HEAD,
    replace(
        _HEAD,
        name="raf-db-fine-tune",
        summary="second stage: everything, the trunks at a tenth of the rate; give the first's checkpoint as --weights",
        networks=("fusion-attention",),
        learning_rate=1e-4,
        epochs=10,
        stage="fine-tune",
    ),
)
