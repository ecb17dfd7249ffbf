"""Which model each request asks for: Punica's popularities and S-LoRA's power law."""

import numpy as np
from numpy.typing import NDArray

from ..choices import Popularity

SKEW = 1.5


def choose_models(
    popularity: Popularity, alpha: float, num_requests: int, num_models: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the index of the model of each request; only the power law has an alpha."""
    match popularity:
        case Popularity.IDENTICAL:
            return np.zeros(num_requests, dtype=np.int64)
        case Popularity.UNIFORM:
            return generator.integers(num_models, size=num_requests)
        case Popularity.SKEWED:
            weights = SKEW ** -np.arange(num_models, dtype=np.float64)
            return generator.choice(num_models, size=num_requests, p=weights / weights.sum())
        case Popularity.DISTINCT:
            return np.arange(num_requests, dtype=np.int64) % num_models
        case Popularity.POWER_LAW:
            drawn = (generator.power(alpha, num_requests) * num_models).astype(np.int64)
            # The largest number below 1, times many models, can round up to their number.
            return np.minimum(drawn, num_models - 1)
