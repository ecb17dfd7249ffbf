import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.serving.load.distribution import Distribution, jains_index

SHARES = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)


def test_of_the_numbers_to_a_hundred() -> None:
    found = Distribution.of([None, *range(101), None], scale=10)
    assert found == Distribution(mean=500, p50=500, p90=900, p99=990, max=1000)


def test_of_nothing() -> None:
    assert Distribution.of([]) is None
    assert Distribution.of([None]) is None


@pytest.mark.parametrize(
    ("shares", "index"), [([1, 1, 1], 1.0), ([1, 0, 0, 0], 0.25), ([2, 4], 0.9), ([0, 0], None), ([], None), ([7], 1.0)]
)
def test_jains_index(shares: list[float], index: float | None) -> None:
    assert jains_index(shares) == (None if index is None else pytest.approx(index))


@given(SHARES.filter(lambda shares: max(shares) > 1e-3), st.floats(0.1, 10))
def test_jains_index_lies_between_one_of_them_and_all_and_knows_no_unit(shares: list[float], scale: float) -> None:
    found = jains_index(shares)
    assert found is not None
    assert 1 / len(shares) - 1e-9 <= found <= 1 + 1e-9
    assert jains_index([share * scale for share in shares]) == pytest.approx(found)
