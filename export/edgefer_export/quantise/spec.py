"""What a caller asks of the quantiser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from edgefer.errors import UsageError

Method = Literal["max", "entropy", "percentile"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class QuantiseSpec:
    """How to quantise.

    Attributes:
        method: how a tensor's range follows from its values: `max` takes the largest magnitude, `percentile` the
            magnitude that `percentile` percent of the values do not exceed, `entropy` the one that loses the least
            information (`edgefer_export.quantise.entropy`).
        percentile: in percent, above 50 and at most 100; read by method `percentile` only.
        exclude: regular expressions, searched for anywhere in a node's name; what matches stays in floating point.
        threads: how many threads the calibration runs on; None leaves it to onnxruntime.

    Raises:
        UsageError: an unknown method, a percentile out of range, an invalid regular expression, or threads below 1.
    """

    method: Method = "max"
    percentile: float = 99.99
    exclude: tuple[str, ...] = ()
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"unknown calibration method '{self.method}'", hint=f"choose one of: {', '.join(METHODS)}")
        if not 50 < self.percentile <= 100:
            raise UsageError(
                f"a percentile of {self.percentile} cannot be a range",
                hint="give percent above 50 and at most 100, such as 99.99",
            )
        for pattern in self.exclude:
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(
                    f"'{pattern}' is no regular expression: {error}",
                    hint="escape characters such as '[', '(' and '*' with a backslash to match them literally",
                ) from error
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads cannot calibrate", hint="give at least 1, or leave it out")
