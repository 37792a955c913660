"""How results write quantities: one unit for a column, as many decimals as the smallest value needs, thousands apart.

Three significant digits are kept unless a column says otherwise; the JSON holds everything unrounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

NONE = "–"  # not measured, or not there
_THIN = "\u202f"  # narrow no-break space, the SI's separator of thousands
_MINUS = "\u2212"


@dataclass(frozen=True)
class Scale:
    """Values divided by `unit_size` and written with `decimals`; `unit` belongs in the header of their column."""

    unit: str
    unit_size: float
    decimals: int

    def __call__(self, value: float | None) -> str:
        if value is None:
            return NONE
        return number(value / self.unit_size, self.decimals)

    def finer(self, values: Iterable[float | None], digits: int = 2) -> Scale:
        """The same unit for smaller values, the smallest of which keeps `digits` significant digits."""
        return Scale(self.unit, self.unit_size, _decimals(values, self.unit_size, digits))

    def with_unit(self, value: float | None) -> str:
        """A value outside a table."""
        return NONE if value is None else f"{self(value)} {self.unit}"


def number(value: float, decimals: int) -> str:
    """A number with its thousands set apart and a proper minus; 0 has no sign."""
    if not math.isfinite(value):
        return str(value).replace("-", _MINUS)
    text = f"{value:,.{decimals}f}".replace(",", _THIN)
    return text.replace("-", "" if not float(f"{value:.{decimals}f}") else _MINUS)


def significant(value: float | None, digits: int = 3) -> str:
    """A number by itself, to `digits` significant digits; an exponent outside a thousandth to ten million."""
    if value is None:
        return NONE
    if value and math.isfinite(value) and not 1e-3 <= abs(value) < 1e7:
        return (
            f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", _MINUS)
        )
    return number(value, _decimals([value], 1, digits))


def times(seconds: Iterable[float | None], digits: int = 3) -> Scale:
    """The scale of durations: microseconds, milliseconds or seconds, by the smallest."""
    return _scale(seconds, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)), digits, at_least=(1.0, 5e-5))


def sizes(amounts: Iterable[float | None]) -> Scale:
    """The scale of sizes in bytes: megabytes of 10^6, or kilobytes where none reaches a tenth of that."""
    largest = max((abs(amount) for amount in amounts if amount), default=1e6)
    return Scale("MB", 1e6, 2) if largest >= 1e5 else Scale("kB", 1e3, 2)


def work(operations: Iterable[float | None]) -> Scale:
    """The scale of operations: billions, millions or thousands of them, by the largest."""
    known = [each for each in operations if each]
    largest = max(known, default=1e9)
    unit, size = ("GOP", 1e9) if largest >= 1e8 else ("MOP", 1e6) if largest >= 1e5 else ("kOP", 1e3)
    return Scale(unit, size, min(_decimals(known, size, 3), 3))


def energies(joules: Iterable[float | None]) -> Scale:
    """The scale of energies: joules or millijoules."""
    return _scale(joules, (("J", 1.0), ("mJ", 1e-3)), 3, at_least=(1.0,))


def rates(per_second: Iterable[float | None]) -> Scale:
    """The scale of rates in images a second."""
    return Scale("images/s", 1.0, _decimals(per_second, 1.0, 3))


def giga(values: Iterable[float | None], unit: str) -> Scale:
    """Billions of a unit, such as operations (GOP) or bytes a second (GB/s)."""
    return Scale(unit, 1e9, _decimals(values, 1e9, 3))


def percent(share: float | None, decimals: int = 1) -> str:
    """A share in percent."""
    return NONE if share is None else f"{number(100 * share, decimals)}{_THIN}%"


def share(value: float) -> str:
    """A round share, such as a level of confidence, in percent."""
    return f"{100 * value:g}{_THIN}%"


def span(scale: Scale, low: float, high: float) -> str:
    """An interval, for a column of its own."""
    return f"{scale(low)} to {scale(high)}"


def _scale(
    values: Iterable[float | None], units: tuple[tuple[str, float], ...], digits: int, at_least: tuple[float, ...]
) -> Scale:
    known = [abs(value) for value in values if value]
    smallest = min(known, default=at_least[0])
    index = sum(smallest < bound for bound in at_least)
    unit, size = units[index]
    return Scale(unit, size, _decimals(known, size, digits))


def _decimals(values: Iterable[float | None], unit_size: float, digits: int) -> int:
    known = [abs(value) / unit_size for value in values if value and math.isfinite(value)]
    if not known:
        return 0
    return max(0, min(6, digits - 1 - math.floor(math.log10(min(known)))))
