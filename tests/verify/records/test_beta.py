import mpmath
import pytest

from verilora.verify.records.beta import beta_cdf, beta_quantile, student_quantile


@pytest.mark.parametrize(
    ("x", "a", "b"),
    [(0.2, 0.5, 3), (0.97, 100, 3.5), (0.51, 1500, 1500), (0.99, 2.2, 0.7), (0.999, 3000, 1), (1e-6, 0.3, 0.3)],
)
def test_the_distribution_is_that_of_another_library(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(float(mpmath.betainc(a, b, 0, x, regularized=True)), abs=1e-12)


def test_the_ends() -> None:
    assert (beta_cdf(-1, 2, 3), beta_cdf(0, 2, 3), beta_cdf(1, 2, 3), beta_cdf(2, 2, 3)) == (0, 0, 1, 1)


def test_a_quantile_is_where_the_distribution_reaches_its_probability() -> None:
    assert beta_quantile(0.3, 1, 1) == pytest.approx(0.3)
    assert beta_cdf(beta_quantile(0.025, 7.5, 2.5), 7.5, 2.5) == pytest.approx(0.025)


@pytest.mark.parametrize(("degrees", "expected"), [(1, 12.706), (5, 2.571), (19, 2.093), (120, 1.980)])
def test_students_table(degrees: float, expected: float) -> None:
    assert student_quantile(0.975, degrees) == pytest.approx(expected, abs=5e-4)
