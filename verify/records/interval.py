"""Intervals for shares that were counted in trials which do not depend on each other."""

from .beta import beta_quantile


def clopper_pearson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for a probability (Clopper and Pearson, Biometrika 26, 1934).

    Both numbers may be fractions, as effective numbers of trials are.
    """
    tail = (1 - confidence) / 2
    return _lower(successes, trials, tail), 1 - _lower(trials - successes, trials, tail)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound for a probability; 1 without trials."""
    return 1 - _lower(trials - successes, trials, 1 - confidence)


def _lower(successes: float, trials: float, tail: float) -> float:
    """Return the probability under which at least that many successes have the probability `tail`."""
    if not 0 <= successes <= trials:
        raise ValueError(f"expected from 0 to {trials} successes, got {successes}")
    return beta_quantile(tail, successes, trials - successes + 1) if successes else 0.0
