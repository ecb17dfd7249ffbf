"""How measured values are spread."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Mean, percentiles (with linear interpolation) and maximum of some values."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float | None], scale: float = 1.0) -> Self | None:
        """Return how values times a scale are spread, leaving out those that are None; None if none is left."""
        known = np.array([value for value in values if value is not None]) * scale
        if not known.size:
            return None
        p50, p90, p99 = np.percentile(known, (50, 90, 99)).tolist()
        return cls(mean=float(known.mean()), p50=p50, p90=p90, p99=p99, max=float(known.max()))


def jains_index(shares: Iterable[float]) -> float | None:
    """Return (Σx)² / (n Σx²): 1 where all shares are alike, 1/n where one has all; None where there is none.

    Jain, Chiu and Hawe, 1984.
    """
    values = np.array([*shares], dtype=np.float64)
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / (values.size * squares) if squares else None
