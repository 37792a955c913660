"""How often a comparison errs on noise as machines make it: correlated, heavy-tailed, drifting, of two speeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from edgefer.benchmark.statistics import ratio

ROUNDS = 160
Series = np.ndarray
Noise = Callable[[np.random.Generator], tuple[Series, Series]]


def walk(generator: np.random.Generator, rho: float, share: float) -> Series:
    """A first-order autoregression about zero with the standard deviation `share`."""
    shocks = generator.standard_normal(ROUNDS) * share * np.sqrt(1 - rho**2)
    values = np.empty(ROUNDS)
    values[0] = share * generator.standard_normal()
    for index in range(1, ROUNDS):
        values[index] = rho * values[index - 1] + shocks[index]
    return values


def own(generator: np.random.Generator) -> Series:
    """What meets one run alone, as a logarithm: a per cent of jitter; now and then the processor is taken from it."""
    interrupted = (generator.random(ROUNDS) < 0.08) * 0.1 * generator.pareto(1.2, ROUNDS)
    return 0.01 * generator.standard_normal(ROUNDS) + np.log1p(interrupted)


def heavy_tailed(generator: np.random.Generator) -> tuple[Series, Series]:
    return np.exp(own(generator)), np.exp(own(generator))


def drifting(generator: np.random.Generator) -> tuple[Series, Series]:
    common = walk(generator, 0.97, 0.03) + np.linspace(0, 0.1 * generator.standard_normal(), ROUNDS)
    return np.exp(common + own(generator)), np.exp(common + own(generator))


def two_speeds(generator: np.random.Generator) -> tuple[Series, Series]:
    fast = np.cumsum(generator.random(ROUNDS) < 1 / 40) % 2
    return np.exp(0.25 * fast + own(generator)), np.exp(0.25 * fast + own(generator))


def correlated(generator: np.random.Generator) -> tuple[Series, Series]:
    """Each with slow phases that the other has not."""
    first, second = (walk(generator, 0.7, 0.01) + own(generator) for _ in range(2))
    return np.exp(first), np.exp(second)


def alternating(generator: np.random.Generator) -> tuple[Series, Series]:
    """Whoever is first in a round is two per cent slower."""
    order = 0.01 * np.tile([1, -1, -1, 1], ROUNDS // 4)
    return np.exp(order + own(generator)), np.exp(-order + own(generator))


KINDS: tuple[Noise, ...] = (heavy_tailed, drifting, two_speeds, correlated, alternating)


def errs(kinds: tuple[Noise, ...], comparisons: int, seed: int) -> tuple[int, int]:
    """False alarms without a difference, and delays of 5 % that were found; the kinds of noise take turns."""
    generator = np.random.default_rng(seed)
    false, found = 0, 0
    for noise, _ in zip(itertools.cycle(kinds), range(comparisons), strict=False):
        ours, theirs = noise(generator)
        false += ratio(ours, theirs, paired=True, confidence=0.99).verdict != "within-noise"
        ours, theirs = noise(generator)
        found += ratio(1.05 * ours, theirs, paired=True, confidence=0.99).verdict == "slower"
    return false, found


def test_few_false_alarms_and_few_missed_delays_in_a_hundred() -> None:
    false, found = errs(KINDS, 100, seed=0)
    assert false <= 2
    assert found >= 95


@pytest.mark.slow
@pytest.mark.parametrize("noise", KINDS, ids=lambda noise: noise.__name__)
def test_few_false_alarms_in_a_thousand(noise: Noise) -> None:
    false, found = errs((noise,), 1000, seed=1)
    assert false <= 10
    assert found >= 980


@pytest.mark.parametrize("noise", [drifting, two_speeds], ids=lambda noise: noise.__name__)
def test_pairing_is_what_finds_a_delay_on_a_drifting_machine(noise: Noise) -> None:
    generator = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        ours, theirs = noise(generator)
        found += ratio(1.05 * ours, theirs, paired=False, confidence=0.99).verdict == "slower"
    assert found <= 10
