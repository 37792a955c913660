"""Confidence intervals for counts of images: one proportion, a paired difference, a paired difference of mean recall.

In this file a loss is the share of images that the reference gets right and the other network wrong (`lost`) minus the
share where it is the other way round (`gained`). Positive is worse. Images on which both are right or both are wrong
say nothing about the difference beyond their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

CONFIDENCE = 0.95

MAX_IMAGES = 100_000_000
"""Beyond this, no number of images is said to decide: the observed rate is at the limit itself."""


@dataclass(frozen=True)
class Interval:
    """A closed interval of shares."""

    low: float
    high: float


@dataclass(frozen=True)
class Discordance:
    """How often two networks disagree about being right: `lost` and `gained` of `count` images.

    The numbers are counts, but may be fractions where they are scaled to another size of the set.
    """

    lost: float
    gained: float
    count: float

    @property
    def loss(self) -> float:
        """The difference of the two accuracies, as a share."""
        return (self.lost - self.gained) / self.count

    def scaled(self, factor: float) -> Discordance:
        """The same rates in a set `factor` times as large."""
        return Discordance(self.lost * factor, self.gained * factor, self.count * factor)


def quantile(confidence: float) -> float:
    """The two-sided normal quantile of a confidence level: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: float, count: float, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of one proportion (Wilson 1927, JASA 22:209-212).

    Raises:
        ValueError: `count` is not positive or `successes` is not within it.
    """
    if count <= 0 or not 0 <= successes <= count:
        raise ValueError(f"{successes} of {count} is no proportion")
    z2 = quantile(confidence) ** 2
    share = successes / count
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * count)) / count) / (1 + z2 / count)
    # At 0 and at 1 the formula is exact, but not in floating point.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == count else centre + half
    return Interval(low, high)


def mean_proportion(counts: Sequence[tuple[int, int]], confidence: float = CONFIDENCE) -> Interval:
    """The interval of the mean of independent proportions, (successes, count) each: mean recall, for one.

    Wilson's limits of each are combined by their squared distances from it (Zou and Donner 2008, Statistics in Medicine
    27:1693-1702), so that it keeps a width where every proportion is 0 or 1.

    Raises:
        ValueError: there is none, or one is no proportion.
    """
    if not counts:
        raise ValueError("no proportion to take the mean of")
    shares = [successes / count for successes, count in counts]
    limits = [wilson(successes, count, confidence) for successes, count in counts]
    mean = sum(shares) / len(shares)
    below = math.sqrt(sum((share - limit.low) ** 2 for share, limit in zip(shares, limits, strict=True))) / len(shares)
    above = math.sqrt(sum((limit.high - share) ** 2 for share, limit in zip(shares, limits, strict=True))) / len(shares)
    return Interval(max(0.0, mean - below), min(1.0, mean + above))


@lru_cache(maxsize=4096)
def paired_difference(pairs: Discordance, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a paired difference of proportions (Tango 1998, Statistics in Medicine 17:891-908, eq. 8).

    It holds all differences d that the score test does not reject, with the nuisance parameter at its maximum of the
    likelihood under d. Unlike the interval of Wald it has a width when no image is discordant, z²/(n + z²), and keeps
    its level at the few discordant images that a good step leaves.

    Raises:
        ValueError: the counts are not those of a set.
    """
    if pairs.count <= 0 or min(pairs.lost, pairs.gained) < 0 or pairs.lost + pairs.gained > pairs.count * (1 + 1e-9):
        raise ValueError(f"{pairs} is no count of pairs")
    z = quantile(confidence)
    return Interval(
        _bisect(lambda d: _score(pairs, d) <= z, -1.0, pairs.loss),
        _bisect(lambda d: _score(pairs, d) < -z, pairs.loss, 1.0),
    )


def _score(pairs: Discordance, difference: float) -> float:
    """Tango's score statistic of the hypothesis that the true difference is `difference`; falls as that grows."""
    n, lost, gained = pairs.count, pairs.lost, pairs.gained
    distance = lost - gained - n * difference
    a = 2 * n
    b = -lost - gained + (2 * n - lost + gained) * difference
    c = -gained * difference * (1 - difference)
    # The probability of `gained` that is likeliest under the hypothesis.
    likeliest = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * likeliest + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that is false at `low` and true towards `high` begins to hold; an end if it never changes."""
    for _ in range(60):
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return (low + high) / 2


def mean_recall_difference(classes: Sequence[Discordance], confidence: float = CONFIDENCE) -> Interval:
    """The interval of the loss of mean recall: the mean over classes of each one's paired difference.

    Each discordant image of class k weighs 1/(C n_k), so the loss is a weighted count. It is turned into a plain one of
    images of equal weight, to which Tango's interval applies. That weight is the one of Fay and Feuer (1997, Statistics
    in Medicine 16:791-801, sec. 3) for weighted counts: sum of squared weights over sum of weights, after adding one
    image of the greatest weight there is. The added image keeps a class without discordant images from counting for
    nothing, which is where a bootstrap or a sum of estimated variances gives an interval that is too short.
    With equally many images in each class this is exactly the interval of the accuracy.

    Raises:
        ValueError: no class has images.
    """
    return paired_difference(equivalent_pairs(classes), confidence)


def equivalent_pairs(classes: Sequence[Discordance]) -> Discordance:
    """The plain count that stands for weighted ones; its `loss` is the loss of mean recall."""
    present = [pairs for pairs in classes if pairs.count > 0]
    if not present:
        raise ValueError("no class has images")
    weights = [1.0 / (len(present) * pairs.count) for pairs in present]
    largest = max(weights)
    lost = sum(weight * pairs.lost for weight, pairs in zip(weights, present, strict=True))
    gained = sum(weight * pairs.gained for weight, pairs in zip(weights, present, strict=True))
    squares = sum(w * w * (pairs.lost + pairs.gained) for w, pairs in zip(weights, present, strict=True))
    unit = (squares + largest * largest) / (lost + gained + largest)
    return Discordance(lost / unit, gained / unit, 1.0 / unit)


def images_to_decide(decided: Callable[[float], bool], count: int) -> int | None:
    """How many images it takes, at the rates seen on `count`, until `decided(images / count)` holds.

    None where not even `MAX_IMAGES` would do, because the rate is at the limit itself.
    """
    if decided(1.0):
        return count
    low, high = count, 2 * count
    while not decided(high / count):
        low, high = high, 2 * high
        if high > MAX_IMAGES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if decided(middle / count):
            high = middle
        else:
            low = middle
    return high
