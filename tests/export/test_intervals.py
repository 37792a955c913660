"""Intervals against published figures, an independent inversion of the test, and coverage in repeated samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer_export.intervals import (
    MAX_IMAGES,
    Discordance,
    equivalent_pairs,
    images_to_decide,
    mean_proportion,
    mean_recall_difference,
    paired_difference,
    quantile,
    wilson,
)

Z2 = quantile(0.95) ** 2


# one proportion


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_examples(successes: int, count: int, low: float, high: float) -> None:
    interval = wilson(successes, count)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_wilson_is_symmetric_and_exact_at_the_ends() -> None:
    one, other = wilson(7, 40), wilson(33, 40)
    assert one.low == pytest.approx(1 - other.high)
    assert wilson(0, 200).low == 0.0
    assert wilson(200, 200).high == 1.0
    assert wilson(200, 200).low == pytest.approx(200 / (200 + Z2))


def test_the_mean_of_one_proportion_is_that_of_wilson_and_of_many_is_narrower() -> None:
    one, alone = mean_proportion([(7, 40)]), wilson(7, 40)
    assert (one.low, one.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    four = mean_proportion([(7, 40)] * 4)
    assert four.high - four.low == pytest.approx((alone.high - alone.low) / 2)
    certain = mean_proportion([(10, 10), (0, 20)])
    assert certain.low < 0.5 < certain.high
    with pytest.raises(ValueError, match="no proportion"):
        mean_proportion([])


def test_the_mean_of_proportions_is_covered_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    shares, counts = np.array([0.95, 0.6, 0.85, 0.99, 0.4]), np.array([20, 35, 18, 25, 60])
    drawn = rng.binomial(counts, shares, (2000, len(counts)))
    limits = [mean_proportion([(int(k), int(n)) for k, n in zip(row, counts, strict=True)]) for row in drawn]
    covered = np.mean([each.low <= shares.mean() <= each.high for each in limits])
    # 2000 samples have a standard error of half a point; the method is known to be slightly wide.
    assert 0.93 <= covered <= 0.985


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_proportion(successes: int, count: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, count)


# a paired difference


@pytest.mark.parametrize(
    ("lost", "gained", "count", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875: both worked examples.
        (1, 7, 21, -0.517, -0.026),
        (6, 16, 161, -0.124, -0.005),
        # No discordant pair: the score interval is ±z²/(n + z²).
        (0, 0, 765, -Z2 / (765 + Z2), Z2 / (765 + Z2)),
        (0, 0, 10, -Z2 / (10 + Z2), Z2 / (10 + Z2)),
    ],
)
def test_paired_difference_against_published_examples(
    lost: int, gained: int, count: int, low: float, high: float
) -> None:
    interval = paired_difference(Discordance(lost, gained, count))
    assert interval.low == pytest.approx(low, abs=5e-4)
    assert interval.high == pytest.approx(high, abs=5e-4)


def test_all_pairs_discordant_in_one_direction() -> None:
    interval = paired_difference(Discordance(30, 0, 30))
    assert interval.high == pytest.approx(1.0)
    assert 0.7 < interval.low < 1.0
    mirrored = paired_difference(Discordance(0, 30, 30))
    assert mirrored.low == pytest.approx(-1.0)
    assert mirrored.high == pytest.approx(-interval.low)


def independent_interval(lost: int, gained: int, count: int) -> tuple[float, float]:
    """The same interval from first principles: for each difference d, maximise the multinomial likelihood over the
    probability q of a gain on a fine grid, then compare (lost - gained - n d)² with z² times the variance there."""
    kept = count - lost - gained
    inside = []
    for d in np.linspace(-0.999, 0.999, 3997):
        q = np.linspace(max(0.0, -d) + 1e-9, (1 - d) / 2 - 1e-9, 4001)
        with np.errstate(divide="ignore"):
            likelihood = lost * np.log(q + d) + gained * np.log(q) + kept * np.log(1 - 2 * q - d)
        best = q[np.argmax(likelihood)]
        variance = count * (2 * best + d - d * d)
        if (lost - gained - count * d) ** 2 <= Z2 * variance:
            inside.append(d)
    return inside[0], inside[-1]


@pytest.mark.parametrize(("lost", "gained", "count"), [(3, 1, 40), (5, 5, 60), (12, 2, 50), (1, 9, 200), (2, 7, 25)])
def test_paired_difference_against_an_independent_inversion(lost: int, gained: int, count: int) -> None:
    interval = paired_difference(Discordance(lost, gained, count))
    low, high = independent_interval(lost, gained, count)
    assert interval.low == pytest.approx(low, abs=1.1e-3)
    assert interval.high == pytest.approx(high, abs=1.1e-3)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5000), st.data())
def test_paired_difference_holds_its_estimate_and_mirrors(count: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, count))
    gained = data.draw(st.integers(0, count - lost))
    pairs = Discordance(lost, gained, count)
    interval = paired_difference(pairs)
    assert -1 <= interval.low <= pairs.loss + 1e-12
    assert pairs.loss - 1e-12 <= interval.high <= 1
    mirrored = paired_difference(Discordance(gained, lost, count))
    assert mirrored.low == pytest.approx(-interval.high, abs=1e-9)
    wider = paired_difference(pairs, 0.99)
    assert wider.low <= interval.low + 1e-9
    assert wider.high >= interval.high - 1e-9


@pytest.mark.parametrize("pairs", [Discordance(0, 0, 0), Discordance(-1, 0, 5), Discordance(3, 3, 5)])
def test_paired_difference_refuses_what_is_no_count(pairs: Discordance) -> None:
    with pytest.raises(ValueError, match="no count of pairs"):
        paired_difference(pairs)


def poisson(rate: float, upto: int) -> np.ndarray:
    return np.array([math.exp(-rate + k * math.log(rate) - math.lgamma(k + 1)) for k in range(upto)])


@pytest.mark.parametrize("gained", [0.0005, 0.003, 0.01])
@pytest.mark.parametrize("count", [770, 1300, 2000])
def test_one_sided_error_at_the_edge_of_the_budget(count: int, gained: float) -> None:
    """The exact chance (all outcomes summed) that an interval lies wholly on the wrong side of the true loss, which is
    0.5 points: both sides are close to the 2.5 % that a 95 % interval promises."""
    edge = 0.005
    rates = count * (gained + edge), count * gained
    upto = [int(rate + 7 * math.sqrt(rate) + 8) for rate in rates]
    losses, gains = (poisson(rate, size) for rate, size in zip(rates, upto, strict=True))
    below = above = 0.0
    for lost, chance in enumerate(losses):
        for got, other in enumerate(gains):
            if chance * other < 1e-9:
                continue
            interval = paired_difference(Discordance(lost, got, count))
            below += chance * other * (interval.high <= edge)
            above += chance * other * (interval.low > edge)
    assert below <= 0.026
    assert above <= 0.05


# mean recall


def test_with_equal_classes_mean_recall_is_accuracy() -> None:
    classes = [Discordance(3, 1, 400), Discordance(0, 2, 400), Discordance(5, 0, 400)]
    same = paired_difference(Discordance(8, 3, 1200))
    assert mean_recall_difference(classes).low == pytest.approx(same.low, abs=1e-12)
    assert mean_recall_difference(classes).high == pytest.approx(same.high, abs=1e-12)
    quiet = [Discordance(0, 0, 300)] * 4
    assert mean_recall_difference(quiet).high == pytest.approx(Z2 / (1200 + Z2))


def test_the_equivalent_count_has_the_loss_of_mean_recall() -> None:
    classes = [Discordance(3, 1, 50), Discordance(2, 4, 400), Discordance(5, 0, 1000), Discordance(0, 0, 0)]
    expected = (2 / 50 - 2 / 400 + 5 / 1000) / 3
    assert equivalent_pairs(classes).loss == pytest.approx(expected)
    interval = mean_recall_difference(classes)
    assert interval.low < expected < interval.high


def test_a_small_class_without_discordant_images_widens_the_interval() -> None:
    # All that is known of the small class is that 50 of 50 held; it may lose 3/50 of a third of the mean.
    classes = [Discordance(0, 0, 50), Discordance(0, 0, 2000), Discordance(0, 0, 2000)]
    assert mean_recall_difference(classes).high == pytest.approx(Z2 / (150 + Z2))


def test_mean_recall_needs_images() -> None:
    with pytest.raises(ValueError, match="no class has images"):
        mean_recall_difference([Discordance(0, 0, 0)])


@pytest.mark.parametrize(
    "sizes", [(400, 400, 400, 400, 400), (100, 400, 400, 400), (74, 160, 162, 329, 478, 680, 1185)]
)
@pytest.mark.parametrize("where", ["everywhere", "smallest", "largest"])
def test_error_of_mean_recall_at_the_edge_of_the_budget(sizes: tuple[int, ...], where: str) -> None:
    """Wherever a true loss of 0.5 points of mean recall sits, an interval lies wholly on one wrong side of it in about
    2.5 % of samples or less."""
    edge, gain, repeats = 0.005, 0.006, 1500
    classes = len(sizes)
    loss = {
        "everywhere": np.full(classes, edge),
        "smallest": np.array([classes * edge] + [0.0] * (classes - 1)),
        "largest": np.array([0.0] * (classes - 1) + [classes * edge]),
    }[where]
    rng = np.random.default_rng(20)
    lost = rng.binomial(sizes, gain + loss, (repeats, classes))
    gained = rng.binomial(np.array(sizes) - lost, gain / (1 - gain - loss))
    below = above = 0
    for losses, gains in zip(lost.tolist(), gained.tolist(), strict=True):
        interval = mean_recall_difference([Discordance(*each) for each in zip(losses, gains, sizes, strict=True)])
        below += interval.high <= edge
        above += interval.low > edge
    assert below / repeats <= 0.04
    assert above / repeats <= 0.045


# how many images


def test_the_number_of_images_is_the_first_that_decides() -> None:
    def decided(factor: float) -> bool:
        return paired_difference(Discordance(0, 0, 200 * factor)).high <= 0.005

    images = images_to_decide(decided, 200)
    assert images == math.ceil(Z2 * (1 / 0.005 - 1))
    assert not decided((images - 1) / 200)


def test_no_number_of_images_decides_at_the_edge_itself() -> None:
    assert images_to_decide(lambda factor: factor * 10 > 10 * MAX_IMAGES, 10) is None


def test_what_is_decided_needs_no_more_images() -> None:
    assert images_to_decide(lambda factor: True, 40) == 40
