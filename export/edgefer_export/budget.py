"""The budget as it is written on the command line."""

from __future__ import annotations

import difflib

from edgefer.bundle.manifest import BudgetSpec
from edgefer.errors import UsageError

_FIELDS = {"accuracy": "accuracy", "recall": "recall", "class": "class_recall", "agreement": "agreement"}


def parse_budget(text: str) -> BudgetSpec:
    """Read `accuracy=0.5,recall=0.5,class=1.5,agreement=0.97`; what is left out keeps its default.

    The first three are percentage points from 0 to 100, agreement is a share from 0 to 1.

    Raises:
        UsageError: a key is unknown or given twice, or a value is no number or out of range.
    """
    values: dict[str, float] = {}
    for item in text.split(","):
        key, separator, value = (part.strip() for part in item.partition("="))
        if key not in _FIELDS or not separator:
            close = difflib.get_close_matches(key, _FIELDS, 1)
            raise UsageError(
                f"{item.strip()!r} is no part of a budget; KEY=VALUE with {', '.join(_FIELDS)} is expected.",
                hint=f"Did you mean {close[0]}=…?" if close else "For example accuracy=0.5,agreement=0.97.",
            )
        if _FIELDS[key] in values:
            raise UsageError(f"The budget names {key} twice.")
        values[_FIELDS[key]] = _number(key, value)
    budget = BudgetSpec(**values)
    check_budget(budget)
    return budget


def check_budget(budget: BudgetSpec) -> None:
    """Refuse a budget of which a value is out of range.

    Raises:
        UsageError: points are not from 0 to 100, or the agreement is not from 0 to 1.
    """
    for key, field in _FIELDS.items():
        value = getattr(budget, field)
        upper = 1.0 if key == "agreement" else 100.0
        if not 0.0 <= value <= upper:
            raise _wrong(key, f"{value:g}", upper, f"{key}={value / 100:g}?" if 1 < value <= 100 else "")


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _wrong(key, text, 1.0 if key == "agreement" else 100.0) from error


def _wrong(key: str, found: str, upper: float, hint: str = "") -> UsageError:
    unit = "a share" if key == "agreement" else "percentage points"
    return UsageError(f"The budget's {key} is {found}; {unit} from 0 to {upper:g} is expected.", hint=hint)
