"""How the page writes numbers."""

from __future__ import annotations

import pytest

from edgefer.page import text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (text.percent(0.88529), "88.53\u202f%"),
        (text.percent(1.0), "100.00\u202f%"),
        (text.whole_percent(0.95), "95\u202f%"),
        (text.points(0.0998), "+0.10"),
        (text.points(-0.176), "−0.18"),
        (text.points(-0.001), "0.00"),
        (text.plain_points(1.5), "1.50"),
        (text.count(23_142_533), "23\u202f142\u202f533"),
        (text.megabytes(23_611_007), "23.61 MB"),
        (text.megabytes(4321), "4\u202f321 B"),
        (text.seconds(11.8342), "11.83 s"),
        (text.scientific(3.4122e-06), "3.41e−6"),
        (text.scientific(0.0), "0"),
        (text.scientific(-12.3456), "−12.3"),
        (text.plain(99.99), "99.99"),
    ],
)
def test_numbers_are_written_as_stated(written: str, expected: str) -> None:
    assert written == expected
