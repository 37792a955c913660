"""The classes of each data set in the order of the logits.

The order is part of a network: two sets of seven expressions rarely agree on it, and a checkpoint trained on one
answers wrongly under the names of the other.
"""

from __future__ import annotations

_BASIC = ("neutral", "happy", "sad", "fear", "angry", "surprise", "disgust")
_FERATT = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
_COMPOUND = (
    *("happily surprised", "happily disgusted", "sadly fearful", "sadly angry", "sadly surprised", "sadly disgusted"),
    *("fearfully angry", "fearfully surprised", "fearfully disgusted", "angrily surprised", "angrily disgusted"),
    *("disgustedly surprised", "appalled", "hatred", "awed"),
)

LABEL_SETS: dict[str, tuple[str, ...]] = {
    "viri": ("angry", "happy", "neutral", "sad", "surprise"),
    "nvie": ("disgust", "fear", "happy"),
    "raf-db": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    "feratt": _FERATT,
    "basic-7": _BASIC,
    "nvie-6": ("anger", "disgust", "fear", "happy", "sad", "surprise"),
    "bu-3dfe": _FERATT[:7],
    "rafd": (*_BASIC, "contempt"),
    "affectnet": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
    "cfee": (*_BASIC, *_COMPOUND),
}
"""By name. `feratt` is the order of FERAtt's code for CK+ and AffectNet, its first seven (`bu-3dfe`) that for BU-3DFE.
`basic-7` is what CFEE and RaFD share, in this project's order; `rafd` adds contempt and `cfee` the fifteen compound
categories to it, because the two sets number no classes themselves. `affectnet` is the order of that set's own numbers,
0 to 7. `nvie` are the three expressions that are evaluated as a rule, `nvie-6` all that were recorded."""
