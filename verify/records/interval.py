"""Intervals for shares that were counted."""

from math import exp, fsum, lgamma, log, log1p


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for a probability (Clopper and Pearson, Biometrika 26, 1934)."""
    tail = (1 - confidence) / 2
    return _lower(successes, trials, tail), 1 - _lower(trials - successes, trials, tail)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound for a probability; 1 without trials."""
    return 1 - _lower(trials - successes, trials, 1 - confidence)


def _lower(successes: int, trials: int, tail: float) -> float:
    """Return the probability under which at least that many successes have the probability `tail`."""
    if not 0 <= successes <= trials:
        raise ValueError(f"expected from 0 to {trials} successes, got {successes}")
    if successes == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _at_least(successes, trials, middle) > tail else (middle, high)
    return (low + high) / 2


def _at_least(successes: int, trials: int, probability: float) -> float:
    """Return the probability of at least that many successes; logarithms keep large numbers of trials in range."""
    if not 0 < probability < 1:
        return float(probability >= 1)
    win, lose = log(probability), log1p(-probability)
    arrangements = (lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) for k in range(successes, trials + 1))
    terms = (ways + k * win + (trials - k) * lose for k, ways in enumerate(arrangements, start=successes))
    return fsum(map(exp, terms))
