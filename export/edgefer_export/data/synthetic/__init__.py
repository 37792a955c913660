"""Synthetic visible and infrared faces with known expressions: see docs/synthetic-pairs.md for what they are not."""

from edgefer_export.data.synthetic.expression import BASIC_LABELS, VIRI_LABELS
from edgefer_export.data.synthetic.pairs import NATIVE_SIZE, Conditions, SyntheticPairs

__all__ = ["BASIC_LABELS", "NATIVE_SIZE", "VIRI_LABELS", "Conditions", "SyntheticPairs"]
