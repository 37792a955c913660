"""How the page writes numbers. Its footer states these roundings; report.json holds the values unrounded."""

from __future__ import annotations

_THIN = "\u202f"  # narrow no-break space, the SI's separator of thousands
_MINUS = "\u2212"


def percent(share: float) -> str:
    """A share in percent, two decimals."""
    return f"{100 * share:.2f}{_THIN}%"


def points(value: float) -> str:
    """Percentage points with their sign, two decimals."""
    rounded = round(value, 2)
    return "0.00" if rounded == 0 else f"{rounded:+.2f}".replace("-", _MINUS)


def plain_points(value: float) -> str:
    """Percentage points that have no sign, such as a budget; two decimals."""
    return f"{value:.2f}"


def count(value: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{value:,}".replace(",", _THIN)


def megabytes(size: float) -> str:
    """Bytes in megabytes (10^6), two decimals; below ten kilobytes in bytes."""
    return f"{count(int(size))} B" if size < 10_000 else f"{size / 1e6:.2f} MB"


def seconds(value: float) -> str:
    """Seconds, two decimals."""
    return f"{value:.2f} s"


def scientific(value: float) -> str:
    """Three significant digits, with an exponent where that is shorter."""
    return f"{value:.3g}".replace("e-0", "e-").replace("-", _MINUS)


def whole_percent(share: float) -> str:
    """A share in percent without decimals, for round figures such as a level of confidence."""
    return f"{100 * share:.0f}{_THIN}%"


def plain(value: float) -> str:
    """A number as it was given."""
    return f"{value:g}"
