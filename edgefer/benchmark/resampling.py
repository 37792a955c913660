"""The circular block bootstrap: how far a figure could have been off, for measurements that depend on their neighbours.

Durations measured one after the other are not independent: a slow phase of the machine lasts many runs. Drawing single
runs at random would take them for independent and give intervals that are far too short. Drawing whole blocks keeps
what is inside them (Künsch, The Annals of Statistics 17, 1989), and joining the end of the series to its beginning
gives every run the same chance to be drawn (Politis and Romano, A circular block-resampling procedure, 1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

REPLICATES = 2000
"""Enough for ten of them beyond each end of a 99 % interval."""

_CHUNK = 1 << 18
"""Elements handled at once: they stay in a processor's cache, and memory stays small for any series."""


def replicates(
    count: int, length: int, statistic: Callable[[Indices], Floats], *, number: int = REPLICATES, seed: int = 0
) -> Floats:
    """A statistic over `number` resamples of a series of `count` values, drawn in blocks of `length`; shape (number,).

    Args:
        statistic: takes indices into the series, (rows, count), and gives one value a row; several series that were
            measured together are resampled together by indexing all of them alike.
    """
    return np.concatenate([statistic(drawn) for drawn in _draws(count, length, number, np.random.default_rng(seed))])


def _draws(count: int, length: int, number: int, generator: np.random.Generator) -> Iterator[Indices]:
    blocks = math.ceil(count / length)
    rows = max(1, _CHUNK // count)
    within = np.arange(length)
    for first in range(0, number, rows):
        starts = generator.integers(0, count, size=(min(rows, number - first), blocks, 1))
        drawn = (starts + within).reshape(len(starts), -1)[:, :count]
        drawn[drawn >= count] -= count
        yield drawn


def ends(estimate: float, found: Floats, confidence: float, blocks: float) -> tuple[float, float]:
    """The ends of the percentile interval of `found` about `estimate`, widened as Student's t is for few blocks.

    The spread between replicates is an estimate itself, from as many independent values as there are blocks, and short
    by the usual n / (n - 1); without the widening a series of a hundred runs gives intervals that miss two to three
    times as often as they say.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    freedom = max(blocks - 1, 2.0)
    wider = math.sqrt((freedom + 1) / freedom) * _student(1 - tail, freedom) / NormalDist().inv_cdf(1 - tail)
    return float(estimate - wider * max(estimate - low, 0.0)), float(estimate + wider * max(high - estimate, 0.0))


def _student(probability: float, freedom: float) -> float:
    """The quantile of Student's t by its expansion about the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def ranks(series: Floats) -> Floats:
    """The rank of each value, 0 to n-1: what the order statistics depend on, and no outlier can dominate."""
    placed = np.empty(len(series))
    placed[np.argsort(series, kind="stable")] = np.arange(len(series))
    return placed


def block_length(series: Floats) -> int:
    """The length of block for a series, chosen from its autocorrelation.

    The rule of Politis and White (Econometric Reviews 23, 2004) with the correction of Patton, Politis and White (ibid.
    28, 2009) for the circular bootstrap: with R(k) the autocovariances, weighted by a flat-top window up to twice the
    lag from which on they are negligible, G the sum of |k| R(k) and g that of R(k), it is (2 G² / D)^(1/3) n^(1/3), D =
    4/3 g². It is at most 3 √n and a third of the series, and at least n^0.4: the rule overlooks weak correlations in
    short series, which longer blocks take in at little cost.
    """
    count = len(series)
    most = max(1, min(math.ceil(3 * math.sqrt(count)), count // 3))
    least = min(most, math.ceil(math.pow(count, 0.4)))
    correlations = _autocorrelations(series)
    if most == 1 or correlations is None:
        return least
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    band = 2 * math.sqrt(math.log10(count) / count)
    furthest = min(len(correlations) - 1, math.ceil(math.sqrt(count)) + run)
    lag = _last_lag_that_counts(np.abs(correlations[1 : furthest + 1]) >= band, run)
    window = min(2 * lag, len(correlations) - 1)
    lags = np.arange(1, window + 1)
    weighted = np.clip(2 * (1 - lags / max(window, 1)), 0, 1) * correlations[1 : window + 1]
    total = 1 + 2 * float(weighted.sum())
    slope = 2 * float((lags * weighted).sum())
    if slope == 0 or total <= 0:  # white, or alternating so that neighbours make up for each other
        return least
    return int(np.clip(round((1.5 * (slope / total) ** 2 * count) ** (1 / 3)), least, most))


def _last_lag_that_counts(counts: npt.NDArray[np.bool_], run: int) -> int:
    """The last lag before the first `run` lags in a row that are all negligible; the last that counts without them."""
    quiet = 0
    for index, flag in enumerate(counts):
        quiet = 0 if flag else quiet + 1
        if quiet == run:
            return int(index + 1 - run)
    found = np.flatnonzero(counts)
    return int(found[-1] + 1) if len(found) else 0


def _autocorrelations(series: Floats) -> Floats | None:
    """Lags 0 to n-1 of the series about its mean, through the Fourier transform; None for a constant series."""
    centred = series - series.mean()
    spectrum = np.fft.rfft(centred, 2 * len(series))
    covariances = np.fft.irfft(spectrum * spectrum.conj())[: len(series)]
    if covariances[0] <= len(series) * np.finfo(float).eps * float(np.max(np.abs(series))) ** 2:
        return None
    return np.asarray(covariances / covariances[0])
