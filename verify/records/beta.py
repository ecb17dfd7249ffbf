"""Quantiles of the beta distribution and of Student's t, on which exact intervals rest.

Nothing that is installed anyway has them quickly: scipy is no dependency, and mpmath, which the tests compare with,
takes a hundred times as long.
"""

from functools import cache
from math import exp, inf, lgamma, log, log1p, sqrt

_TINY = 1e-300
_PRECISION = 1e-15


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the probability of at most x under the beta distribution: the regularised incomplete beta function.

    By its continued fraction (DLMF 8.17.22) with the algorithm of Lentz, on the side where that converges fast.
    """
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    return front / (a * _fraction(x, a, b))


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction that divides."""
    value, upper, lower, m = 1.0, 1.0, 0.0, 0
    while True:
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) if m else 0.0
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd) if m else (odd,):
            lower = 1 / ((1 + term * lower) or _TINY)
            upper = (1 + term / upper) or _TINY
            change = upper * lower
            value *= change
        if abs(change - 1) < _PRECISION:
            return value
        m += 1


@cache
def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x that is not exceeded with this probability; a and b are greater than 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < probability else (low, middle)
    return (low + high) / 2


@cache
def student_quantile(probability: float, degrees: float) -> float:
    """Return the t that is not exceeded with this probability, which is at least a half."""
    x = beta_quantile(2 * (1 - probability), degrees / 2, 0.5)
    return sqrt(degrees * (1 - x) / x) if x else inf
