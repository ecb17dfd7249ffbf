import math

import numpy as np
import pytest

from verilora.serving.load.workload.arrivals import Arrivals

NUM = 20_000


def gaps(rate: float, cv: float, seed: int = 0) -> np.ndarray:
    times = Arrivals(rate=rate, cv=cv).times(NUM, np.random.default_rng(seed))
    return np.diff(times, prepend=0)


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("rate", [0.5, 40.0])
def test_gaps_have_the_mean_and_the_spread_that_are_asked_for(rate: float, cv: float) -> None:
    found = gaps(rate, cv)
    # Five standard errors.
    assert found.mean() == pytest.approx(1 / rate, rel=5 * cv / math.sqrt(NUM))
    assert found.std() / found.mean() == pytest.approx(cv, rel=0.12)


def test_poisson_arrivals_have_exponential_gaps() -> None:
    found = np.sort(gaps(3.0, 1.0))
    expected = 1 - np.exp(-3.0 * found)
    # Kolmogorov's distance, at one in a thousand.
    assert np.abs(expected - (np.arange(NUM) + 0.5) / NUM).max() < 1.95 / math.sqrt(NUM)


def test_gamma_gaps_are_those_of_s_lora() -> None:
    theirs = np.random.default_rng(7).gamma(1 / 4.0, 4.0 / 2.5, NUM)
    assert gaps(2.5, 2.0, seed=7) == pytest.approx(theirs, abs=1e-9)


def test_even_and_at_once() -> None:
    generator = np.random.default_rng(0)
    assert Arrivals(rate=4.0, cv=0).times(3, generator).tolist() == [0.25, 0.5, 0.75]
    assert Arrivals(rate=None).times(3, generator).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("rate", "cv"), [(0.0, 1.0), (-1.0, 1.0), (math.inf, 1.0), (math.nan, 1.0), (1.0, -0.1), (1.0, math.nan)]
)
def test_what_cannot_be(rate: float, cv: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        Arrivals(rate=rate, cv=cv)
