"""Checkpoints of FERAtt's public code in the names of this project.

The public network keeps torchvision's whole ResNet-34, of which it never calls the classifier, and lists most of the
encoder's weights a second time, under the names of the stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

State = dict[str, torch.Tensor]

_UNUSED = re.compile(r"attention\.encoder\.fc\.(weight|bias)")
# The stages of the encoder again; the code of 2018 has no module around the attention.
_AGAIN = re.compile(r"(attention_map\.)?conv[1-5]\.")
_MARK = "netclass."
_NAMES = tuple(
    (re.compile(found), ours)
    for found, ours in (
        (r"^(attention_map\.)?encoder\.", "attention.encoder."),
        (r"^attention_map\.center\.cr1\.conv\.", "attention.centre.up.first.0."),
        (r"^attention_map\.center\.cr2\.conv\.", "attention.centre.up.second.0."),
        (r"^attention_map\.dec([1-5])\.cr1\.conv\.", r"attention.up\1.first.0."),
        (r"^attention_map\.dec([1-5])\.cr2\.conv\.", r"attention.up\1.second.0."),
        (r"^center\.conv_d1\.", "attention.centre.convolutions.0."),
        (r"^center\.conv_d2\.", "attention.centre.convolutions.1."),
        (r"^center\.conv_d3\.", "attention.centre.convolutions.2."),
        (r"^center\.conv_d4\.", "attention.centre.convolutions.3."),
        (r"^dec([1-5])\.block\.0\.conv\.", r"attention.up\1.first.0."),
        (r"^dec([1-5])\.block\.1\.", r"attention.up\1.second.0."),
        (r"^(attention_map\.)?attention_map\.0\.conv\.", "attention.head.0.0."),
        (r"^(attention_map\.)?attention_map\.1\.", "attention.head.1."),
        (r"^conv_input\.", "features.first."),
        (r"^feature\.(\d+)\.conv1\.", r"features.blocks.\1.first."),
        (r"^feature\.(\d+)\.conv2\.", r"features.blocks.\1.second."),
        (r"^conv_mid\.", "features.last."),
        (r"^reconstruction\.0\.conv\.", "reconstruction.0.0."),
        (r"^conv2_bn\.", "reconstruction.2."),
        (r"^netclass\.(layer\d\.\d)\.shortcut\.0\.", r"representation.\1.shortcut."),
        (r"^netclass\.(conv1|layer\d)\.", r"representation.\1."),
        (r"^netclass\.classification\.", "classify."),
    )
)


def adapted(state: Mapping[str, torch.Tensor], *, embeds: bool) -> tuple[State, tuple[str, ...]]:
    """The weights under this project's names without those that nothing uses, and sentences about what was done.

    Args:
        state: weights by name, of the public code or of this project.
        embeds: whether the network has an embedding; the public code calls its layer, and without one the classifier,
            by the same name.
    """
    notes = []
    ours: State = dict(state)
    if any(name.startswith(_MARK) for name in state):
        ours = {_renamed(name, embeds): tensor for name, tensor in state.items() if not _AGAIN.match(name)}
        notes.append("The checkpoint has the names of FERAtt's public code; they were changed to this project's.")
    unused = [name for name in ours if _UNUSED.fullmatch(name)]
    if unused:
        count = sum(ours[name].numel() for name in unused)
        notes.append(f"The encoder's classifier in the checkpoint ({count:,} parameters) is used nowhere and left out.")
    return {name: tensor for name, tensor in ours.items() if name not in unused}, tuple(notes)


def _renamed(name: str, embeds: bool) -> str:
    for found, ours in _NAMES:
        renamed, changes = found.subn(ours, name)
        if changes:
            return renamed
    if name.startswith("netclass.linear."):
        return name.replace("netclass.linear.", "embed." if embeds else "classify.")
    return name
