"""Files with the names of the classes, in the forms of the servers."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.errors import ExportError


def one_a_line(labels: Sequence[str]) -> bytes:
    """The labels in the order of the logits, one a line, as Triton reads `label_filename`.

    Raises:
        ExportError: a label holds a line break.
    """
    return _joined(labels, "\n", "Triton reads one label a line")


def in_one_line(labels: Sequence[str]) -> bytes:
    """The labels in the order of the logits with `;` between them, as nvinfer reads those of a classifier's output.

    Raises:
        ExportError: a label holds a semicolon or a line break.
    """
    return _joined(labels, ";", "nvinfer reads a classifier's labels from one line, with semicolons between them")


def _joined(labels: Sequence[str], separator: str, reason: str) -> bytes:
    for label in labels:
        if separator in label or label.splitlines() != [label]:
            raise ExportError(
                f"the label {label!r} cannot be written to a label file: {reason}",
                hint="build the bundle with labels without line breaks and semicolons",
            )
    return (separator.join(labels) + "\n").encode()
