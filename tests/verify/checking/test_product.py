import pytest

from verilora.specs.logic import Automaton, spot
from verilora.specs.processes.deadline import Deadline
from verilora.specs.processes.forked import Unanswered
from verilora.verify.checking.product import intersects, product


def automaton(formula: str) -> Automaton:
    return spot.translate(spot.formula(formula), "deterministic", "complete")


@pytest.mark.parametrize("max_edges", [1, 1_000])
def test_a_product_is_that_of_spot_or_too_large(max_edges: int) -> None:
    left, right = automaton("G (p -> X q)"), automaton("GF q")
    expected = spot.product(left, right)
    if expected.num_edges() > max_edges:
        with pytest.raises(Unanswered, match="more than 1 edges"):
            product(left, right, Deadline(), max_edges)
    else:
        found = product(left, right, Deadline(), max_edges)
        assert str(found.to_str("hoa")) == str(expected.to_str("hoa"))
        assert found.get_product_states() == expected.get_product_states()


@pytest.mark.parametrize(("formula", "expected"), [("FG p", True), ("G !p", False)])
def test_both_ways_to_find_a_common_run_agree(formula: str, expected: bool) -> None:
    left, right = automaton(formula), automaton("GF p & GF q")
    # The numbers of edges multiply to more than the product has.
    size = spot.product(left, right).num_edges()
    assert size < left.num_edges() * right.num_edges()
    assert intersects(left, right, Deadline()) == intersects(left, right, Deadline(), size) == expected


def test_nothing_begins_after_the_deadline() -> None:
    anything = automaton("true")
    for ask in (product, intersects):
        with pytest.raises(Unanswered, match="deadline"):
            ask(anything, anything, Deadline(-1))
