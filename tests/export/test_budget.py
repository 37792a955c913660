"""The budget as it is written on the command line."""

from __future__ import annotations

import pytest

from edgefer.bundle.manifest import BudgetSpec
from edgefer.errors import UsageError
from edgefer_export.gate import parse_budget


def test_a_budget_is_read() -> None:
    assert parse_budget("accuracy=1,recall=2,class=3,agreement=0.9") == BudgetSpec(
        accuracy=1.0, recall=2.0, class_recall=3.0, agreement=0.9
    )
    assert parse_budget(" class = 2 ") == BudgetSpec(class_recall=2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no part of a budget"),
        ("accuracy", "no part of a budget"),
        ("acuracy=1", "no part of a budget"),
        ("accuracy=1,accuracy=2", "twice"),
        ("accuracy=half", "percentage points from 0 to 100"),
        ("recall=-1", "percentage points from 0 to 100"),
        ("class=101", "percentage points from 0 to 100"),
        ("accuracy=nan", "percentage points from 0 to 100"),
        ("agreement=97", "a share from 0 to 1"),
    ],
)
def test_a_budget_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_budget(text)


def test_a_refused_budget_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="hint: Did you mean accuracy="):
        parse_budget("acuracy=1")
    with pytest.raises(UsageError, match=r"hint: agreement=0\.97\?"):
        parse_budget("agreement=97")
