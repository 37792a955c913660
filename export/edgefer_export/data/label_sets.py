"""The classes of each data set in the order of the logits.

The order is part of a network: two sets of seven expressions rarely agree on it, and a checkpoint trained on one
answers wrongly under the names of the other.
"""

from __future__ import annotations

LABEL_SETS: dict[str, tuple[str, ...]] = {
    "viri": ("angry", "happy", "neutral", "sad", "surprise"),
    "nvie": ("disgust", "fear", "happy"),
    "raf-db": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    "feratt": ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    "basic-7": ("neutral", "happy", "sad", "fear", "angry", "surprise", "disgust"),
}
"""By name. `feratt` is the order of FERAtt's code for CK+ and AffectNet, its first seven that for BU-3DFE; `basic-7` is
what CFEE and RaFD share, in this project's order."""
