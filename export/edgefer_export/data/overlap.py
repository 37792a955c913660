"""Whether two data sets share an image, by decoded pixels and not by file name."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.errors import DataError
from edgefer_export.data.feeds import Record
from edgefer_export.data.label_tree import count, listing


def check_disjoint(calibration: Sequence[Record], evaluation: Sequence[Record]) -> None:
    """Refuse evaluation data that shares an image with the calibration: a verdict rests on unseen images.

    An image counts as shared when its decoded pixels are equal, whatever the files are called, and a pair already when
    one of its two images is. Images of a single value do not count.

    Raises:
        DataError: some are shared; the first ten are named.
    """
    origin = {digest: record.name for record in calibration for digest in record.image_digests}
    shared = [
        (record.name, next(origin[digest] for digest in sorted(record.image_digests) if digest in origin))
        for record in evaluation
        if any(digest in origin for digest in record.image_digests)
    ]
    if shared:
        raise DataError(
            f"{count(shared, 'sample')} of the evaluation data {'is' if len(shared) == 1 else 'are'} also in the "
            f"calibration data ({len(calibration)} samples); the verdict needs images that calibration did not see.",
            details=listing(f"{name} (calibration: {other})" for name, other in shared),
            hint="Split the data first; with synthetic data take another seed.",
        )
