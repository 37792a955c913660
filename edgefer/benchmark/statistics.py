"""Samples of durations in figures: percentiles, spread, the interval of the median, and the ratio of two samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgefer.benchmark.resampling import Floats, Indices, block_length, ends, ranks, replicates
from edgefer.benchmark.result import Interval, Latency, Ratio, Verdict
from edgefer.errors import InputError, UsageError

Durations = Sequence[float] | npt.NDArray[np.float64]

SMALLEST = 0.005
"""The smallest difference that a verdict is given for: half a per cent. Less than that is what the same code gains or
loses by lying elsewhere in memory (Mytkowicz et al., Producing wrong data without doing anything obviously wrong,
ASPLOS 2009), which no interval taken within one process can know of."""

_DRIFT_ROUNDS = 12
"""On each side. The level of fewer rounds follows the noise of the two themselves, and intervals come out too narrow:
by a fifth with 5 on recorded runs, not at all from 10 on. That of more rounds is too slow for phases of the machine."""

_REPLICATES_OF_ONE = 1000


def latency(durations: Durations, *, confidence: float = 0.95, seed: int = 0) -> Latency:
    """A sample of durations, in the order they were measured, in figures.

    Percentiles are observed durations (the smallest that the share of the sample does not exceed), None where that
    would be the maximum. The standard deviation is that of the sample (n - 1), zero for a single run.

    Args:
        durations: seconds, (n,), at least one.
        confidence: of the interval of the median, which is a bootstrap in blocks (see `resampling`).
        seed: of the bootstrap.

    Raises:
        InputError: there are no durations, or one is negative or not finite.
        UsageError: `confidence` is not between 0.5 and 1.
    """
    values = _checked(durations)
    _check_confidence(confidence)
    ordered = np.sort(values)
    mean = float(values.mean())
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Latency(
        count=len(values),
        minimum=float(ordered[0]),
        mean=mean,
        p50=float(np.median(ordered)),
        p90=_percentile(ordered, 900),
        p95=_percentile(ordered, 950),
        p99=_percentile(ordered, 990),
        p999=_percentile(ordered, 999),
        maximum=float(ordered[-1]),
        standard_deviation=deviation,
        jitter=float(np.abs(np.diff(values)).mean()) if len(values) > 1 else 0.0,
        variation=deviation / mean if mean > 0 else 0.0,
        median=_interval_of_median(values, confidence, seed),
    )


def ratio(
    ours: Durations,
    theirs: Durations,
    *,
    paired: bool,
    confidence: float = 0.99,
    quantile: float = 0.5,
    smallest: float = SMALLEST,
) -> Ratio:
    """Ours over theirs, of medians, with a bootstrap interval and a verdict.

    Paired: the two were measured in turn, one duration of each a round. What the machine did to both (clocks, heat,
    other load) is taken out first: every round is divided by the running median of both over the 25 rounds about it. As
    that divisor is the same for both, it cancels from the ratio; without it, a machine with two speeds can give medians
    of one speed for ours and of the other for theirs. Rounds are then resampled in blocks, both alike.

    Unpaired: the two come from different runs, and are resampled each for itself. What differs between runs but not
    within one is not in that interval.

    The verdict is "faster" where the whole interval is below 1 - `smallest`, "slower" where it is above
    1 + `smallest`, else "within-noise"; always the last where the samples are too small for the confidence.

    Args:
        ours: seconds, (n,).
        theirs: seconds, (n,) where paired, otherwise (m,).
        paired: whether `ours[i]` and `theirs[i]` are of one round.
        confidence: of the interval.
        quantile: 0.5 is the median; 0.99 compares the 99th percentiles.
        smallest: differences up to this share are called noise however sure they are.

    Raises:
        InputError: a sample is empty or not finite, pairs do not match, or a quantile is zero.
        UsageError: `confidence`, `quantile` or `smallest` cannot be what it is.
    """
    a, b = _checked(ours), _checked(theirs)
    _check_confidence(confidence)
    if not 0 < quantile < 1 or not 0 <= smallest < 1:
        raise UsageError(f"the quantile is {quantile!r} and the smallest difference {smallest!r}, expected shares")
    if paired:
        if len(a) != len(b):
            raise InputError(f"{len(a)} and {len(b)} durations are not pairs", hint="give one of each a round")
        a, b = _without_common_drift(a, b)
    value = _of_rows(a[None], quantile)[0] / _positive(_of_rows(b[None], quantile)[0])
    few = min(len(a), len(b))
    if 1 - 2 * max(quantile, 1 - quantile) ** few < confidence:
        least, most = float(a.min() / _positive(b.max())), float(a.max() / _positive(b.min()))
        interval = Interval(low=least, high=most, confidence=confidence)
        return Ratio(value=float(value), interval=interval, verdict="within-noise")
    if paired:
        length = block_length(ranks(a) - ranks(b))

        def both(drawn: Indices) -> Floats:
            return np.log(_positive(_of_rows(a[drawn], quantile)) / _positive(_of_rows(b[drawn], quantile)))

        found, blocks = replicates(len(a), length, both), len(a) / length
    else:
        log_a, blocks_a = _replicates_of_log(a, quantile, seed=0)
        log_b, blocks_b = _replicates_of_log(b, quantile, seed=1)
        found, blocks = log_a - log_b, min(blocks_a, blocks_b)
    low, high = np.exp(ends(float(np.log(_positive(value))), found, confidence, blocks))
    interval = Interval(low=float(low), high=float(high), confidence=confidence)
    return Ratio(value=float(value), interval=interval, verdict=verdict(interval, smallest))


def verdict(interval: Interval, smallest: float = SMALLEST) -> Verdict:
    """What an interval of a ratio says, differences up to `smallest` being noise."""
    if interval.high < 1 - smallest:
        return "faster"
    return "slower" if interval.low > 1 + smallest else "within-noise"


def interval_of_mean(values: Durations, *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The bootstrap interval of the mean of a series, such as the rates of successive windows.

    Raises:
        InputError: there are no values, or one is negative or not finite.
        UsageError: `confidence` is not between 0.5 and 1.
    """
    series = _checked(values)
    _check_confidence(confidence)
    length = block_length(series)
    found = replicates(len(series), length, lambda drawn: np.asarray(series[drawn].mean(axis=1)), seed=seed)
    low, high = ends(float(series.mean()), found, confidence, len(series) / length)
    return Interval(low=low, high=high, confidence=confidence)


def _interval_of_median(values: Floats, confidence: float, seed: int) -> Interval:
    smallest, largest = float(values.min()), float(values.max())
    # The median lies outside the range of n values with a chance of 2^(1-n); fewer values cannot say anything surer.
    if 1 - 2.0 ** (1 - len(values)) < confidence:
        return Interval(low=smallest, high=largest, confidence=confidence)
    length = block_length(ranks(values))
    found = replicates(
        len(values), length, lambda drawn: _of_rows(values[drawn], 0.5), number=_REPLICATES_OF_ONE, seed=seed
    )
    low, high = ends(float(np.median(values)), found, confidence, len(values) / length)
    return Interval(low=max(low, smallest), high=min(high, largest), confidence=confidence)


def _replicates_of_log(values: Floats, quantile: float, seed: int) -> tuple[Floats, float]:
    length = block_length(ranks(values))
    found = replicates(len(values), length, lambda drawn: _of_rows(values[drawn], quantile), seed=seed)
    return np.log(_positive(found)), len(values) / length


def _without_common_drift(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Both divided by their common running level: the median of both, each over its own median, in nearby rounds."""
    reach = min(_DRIFT_ROUNDS, (len(a) - 1) // 2)
    both = np.stack([a / _positive(np.median(a)), b / _positive(np.median(b))])
    padded = np.pad(both, ((0, 0), (reach, reach)), mode="reflect")
    nearby = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    level = _positive(np.median(np.concatenate(list(nearby), axis=1), axis=1))
    return a / level, b / level


def _of_rows(rows: Floats, quantile: float) -> Floats:
    """The quantile of each row: of an even number of values the mean of the two in the middle for the median, else the
    smallest value that the share does not exceed."""
    count = rows.shape[1]
    if quantile == 0.5 and count % 2 == 0:
        middle = np.partition(rows, (count // 2 - 1, count // 2), axis=1)
        return np.asarray((middle[:, count // 2 - 1] + middle[:, count // 2]) / 2)
    rank = min(count - 1, int(np.ceil(quantile * count - 1e-9)) - 1)
    return np.asarray(np.partition(rows, rank, axis=1)[:, rank])


def _percentile(ordered: Floats, per_mille: int) -> float | None:
    rank = -(-per_mille * len(ordered) // 1000)
    return float(ordered[rank - 1]) if rank < len(ordered) else None


def _positive(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if np.any(array <= 0):
        raise InputError("a duration to divide by is zero", hint="the clock is too coarse; time several runs as one")
    return array


def _checked(durations: Durations) -> Floats:
    values = np.asarray(durations, np.float64)
    if values.ndim != 1 or not len(values):
        raise InputError(f"the durations have the shape {values.shape}, expected (n,) with n of 1 or more")
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        worst = values[~(np.isfinite(values) & (values >= 0))][0]
        raise InputError(f"a duration is {worst}, expected finite seconds of 0 or more", hint="use a monotonic clock")
    return values


def _check_confidence(confidence: float) -> None:
    if not 0.5 <= confidence < 1:
        raise UsageError(f"the confidence is {confidence!r}, expected 0.5 or more and below 1", hint="0.99 is 99 %")
