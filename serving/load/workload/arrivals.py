"""When requests arrive: a Poisson or Gamma process, evenly, or all at once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """An arrival process of `rate` requests a second; without a rate all arrive at once.

    Gaps are of a Gamma distribution with shape 1/cv² and mean 1/rate, as in S-LoRA (arXiv 2311.03285, section 7.1):
    `cv` is their standard deviation over their mean. 1 is a Poisson process, more comes in bursts, 0 is even.
    """

    rate: float | None
    cv: float = 1.0

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError(f"rate, got {self.rate}, expected more than 0 requests a second")
        if not 0 <= self.cv <= 100:
            raise ValueError(f"cv, got {self.cv}, expected 0 to 100")

    def times(self, num_requests: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return when each request arrives, in seconds from the start, in order."""
        if self.rate is None:
            return np.zeros(num_requests)
        if self.cv == 0:
            gaps = np.full(num_requests, 1 / self.rate)
        else:
            gaps = generator.gamma(1 / self.cv**2, self.cv**2 / self.rate, num_requests)
        return np.cumsum(gaps)
