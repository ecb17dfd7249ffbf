"""Intervals for shares that were counted in trials which do not depend on each other."""

from math import exp, fsum, lgamma, log, log1p

from .beta import beta_quantile


def clopper_pearson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for a probability (Clopper and Pearson, Biometrika 26, 1934).

    Both numbers may be fractions, as effective numbers of trials are.
    """
    tail = (1 - confidence) / 2
    return _lower(successes, trials, tail), 1 - _lower(trials - successes, trials, tail)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound for a probability; 1 without trials.

    By bisection: the files of learned worlds hold its bits.
    """
    kept, tail = trials - successes, 1 - confidence
    if kept == 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _at_least(kept, trials, middle) > tail else (middle, high)
    return 1 - (low + high) / 2


def _lower(successes: float, trials: float, tail: float) -> float:
    """Return the probability under which at least that many successes have the probability `tail`."""
    if not 0 <= successes <= trials:
        raise ValueError(f"expected from 0 to {trials} successes, got {successes}")
    return beta_quantile(tail, successes, trials - successes + 1) if successes else 0.0


def _at_least(successes: int, trials: int, probability: float) -> float:
    """Return the probability of at least that many successes; logarithms keep large numbers of trials in range."""
    if not 0 < probability < 1:
        return float(probability >= 1)
    win, lose = log(probability), log1p(-probability)
    arrangements = (lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) for k in range(successes, trials + 1))
    terms = (ways + k * win + (trials - k) * lose for k, ways in enumerate(arrangements, start=successes))
    return fsum(map(exp, terms))
