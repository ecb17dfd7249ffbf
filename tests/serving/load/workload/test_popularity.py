import math

import numpy as np
import pytest

from verilora.serving.load.choices import Popularity
from verilora.serving.load.workload.popularity import choose_models

NUM = 20_000


def counts(popularity: Popularity, num_models: int, alpha: float = 1.0, num: int = NUM) -> np.ndarray:
    chosen = choose_models(popularity, alpha, num, num_models, np.random.default_rng(3))
    assert chosen.shape == (num,)
    return np.bincount(chosen, minlength=num_models)


def assert_shares(found: np.ndarray, expected: np.ndarray) -> None:
    """Assert that counts are those of a distribution, within five standard errors."""
    errors = np.sqrt(NUM * expected * (1 - expected)) + 1e-9
    assert (np.abs(found - NUM * expected) <= 5 * errors + 1).all()


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("num_models", [1, 7, 200])
def test_the_power_law_of_s_lora(alpha: float, num_models: int) -> None:
    # A number below x has the probability x^alpha.
    edges = (np.arange(num_models + 1) / num_models) ** alpha
    assert_shares(counts(Popularity.POWER_LAW, num_models, alpha), np.diff(edges))


@pytest.mark.parametrize(("alpha", "share"), [(0.1, 0.59), (0.3, 0.20), (0.6, 0.04), (1.0, 0.005)])
def test_the_busiest_of_200_under_the_power_law(alpha: float, share: float) -> None:
    assert counts(Popularity.POWER_LAW, 200, alpha)[0] / NUM == pytest.approx(share, abs=0.012)


def test_skewed_asks_for_each_half_again_as_often_as_for_the_next() -> None:
    weights = 1.5 ** -np.arange(12.0)
    assert_shares(counts(Popularity.SKEWED, 12), weights / weights.sum())


def test_uniform() -> None:
    assert_shares(counts(Popularity.UNIFORM, 32), np.full(32, 1 / 32))


def test_identical_and_distinct() -> None:
    assert counts(Popularity.IDENTICAL, 5, num=10).tolist() == [10, 0, 0, 0, 0]
    chosen = choose_models(Popularity.DISTINCT, 1.0, 7, 3, np.random.default_rng(0))
    assert chosen.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_draw_that_rounds_up_stays_among_the_models() -> None:
    class Highest(np.random.Generator):
        def power(self, a: float, size: int) -> np.ndarray:  # type: ignore[override]
            return np.full(size, math.nextafter(1.0, 0.0))

    drawn = choose_models(Popularity.POWER_LAW, 1.0, 3, 2**31, Highest(np.random.PCG64(0)))
    assert drawn.max() < 2**31
