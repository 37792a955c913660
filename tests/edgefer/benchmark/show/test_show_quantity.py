"""How results write quantities."""

from __future__ import annotations

import pytest

from edgefer.benchmark.show import quantity


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (quantity.significant(0.0), "0"),
        (quantity.significant(19.444), "19.4"),
        (quantity.significant(0.004321), "0.00432"),
        (quantity.significant(3.1e-6, 2), "3.1e−6"),
        (quantity.significant(-0.5), "−0.500"),
        (quantity.significant(1234.5), "1\u202f234"),
        (quantity.significant(4.1e11), "4.10e11"),
        (quantity.significant(float("nan")), "nan"),
        (quantity.significant(float("-inf")), "−inf"),
        (quantity.significant(None), "–"),
        (quantity.number(-0.0001, 2), "0.00"),
        (quantity.number(-1234567.0, 0), "−1\u202f234\u202f567"),
        (quantity.percent(0.785), "78.5\u202f%"),
        (quantity.percent(None), "–"),
    ],
)
def test_numbers(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("values", "unit", "written"),
    [
        ([0.0193, 0.0386], "ms", ["19.3", "38.6"]),
        ([0.00412, 0.0386], "ms", ["4.12", "38.60"]),
        ([0.0000421, 0.002], "µs", ["42.1", "2\u202f000.0"]),
        ([2.5, None], "s", ["2.50", "–"]),
        ([0.0, 0.0193], "ms", ["0.0", "19.3"]),
        ([], "s", []),
    ],
)
def test_a_column_of_times_has_one_unit(values: list[float | None], unit: str, written: list[str]) -> None:
    scale = quantity.times(values)
    assert scale.unit == unit
    assert [scale(value) for value in values] == written


def test_a_finer_scale_keeps_the_unit() -> None:
    fine = quantity.times([0.0193]).finer([0.00004])
    assert (fine.unit, fine(0.00004)) == ("ms", "0.040")
    assert quantity.times([0.0193]).with_unit(0.0193) == "19.3 ms"
    assert quantity.times([0.0193]).with_unit(None) == "–"


def test_sizes_energies_and_rates() -> None:
    assert quantity.sizes([]).with_unit(6_240_000) == "6.24 MB"
    assert quantity.sizes([4_200, 1]).with_unit(4_200) == "4.20 kB"
    done = [quantity.work([each]).with_unit(each) for each in (3.2e9, 3.2e6, 3.2e3)]
    assert done == ["3.20 GOP", "3.20 MOP", "3.20 kOP"]
    assert quantity.share(0.995) == "99.5\u202f%"
    assert quantity.energies([0.122]).with_unit(0.122) == "122 mJ"
    assert quantity.energies([3.2]).with_unit(3.2) == "3.20 J"
    assert quantity.giga([4.1e11], "GOP/s").with_unit(4.1e11) == "410 GOP/s"
    assert quantity.rates([51.74])(51.74) == "51.7"
