import pytest

from verilora.verify.records.interval import clopper_pearson, upper_bound


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # Tables of the exact binomial interval.
        (0, 10, (0.0, 0.3085)),
        (1, 10, (0.0025, 0.4450)),
        (5, 10, (0.1871, 0.8129)),
        (10, 10, (0.6915, 1.0)),
        (7, 264, (0.0107, 0.0539)),
        (600, 1100, (0.5155, 0.5752)),
        (3, 3000, (0.0002, 0.0029)),
    ],
)
def test_exact_intervals(successes: int, trials: int, expected: tuple[float, float]) -> None:
    assert clopper_pearson(successes, trials) == pytest.approx(expected, abs=5e-4)


def test_59_clean_trials_bound_a_share_by_5_percent_and_299_by_1() -> None:
    assert upper_bound(0, 59) == pytest.approx(0.0495, abs=1e-4)
    assert upper_bound(0, 58) > 0.05
    assert upper_bound(0, 299) == pytest.approx(0.00997, abs=1e-5)
    assert upper_bound(0, 0) == 1


def test_more_successes_than_trials_are_an_error() -> None:
    with pytest.raises(ValueError, match="from 0 to 3 successes, got 4"):
        clopper_pearson(4, 3)
