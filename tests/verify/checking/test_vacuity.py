import pytest

from verilora.specs.logic import Formula
from verilora.verify.checking.vacuity import demand, never_triggered, trigger


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("G(p -> q)", "F p"),
        ("G((p & !r) -> F q)", "F(p & !r)"),
        ("F p -> F q", "F p"),
        ("G !p", None),
        ("G(p | q)", None),
        ("true", None),
    ],
)
def test_the_trigger_of_a_rule_is_what_it_makes_its_demand_depend_on(rule: str, expected: str | None) -> None:
    assert trigger(Formula(rule)) == (Formula(expected) if expected else None)


@pytest.mark.parametrize(
    ("rule", "expected"), [("G(p -> q)", "G q"), ("G((p & !r) -> F q)", "G F q"), ("F p -> F q", "F q"), ("G !p", None)]
)
def test_the_demand_of_a_rule_is_what_is_left_if_it_is_always_triggered(rule: str, expected: str | None) -> None:
    assert demand(Formula(rule)) == (Formula(expected) if expected else None)
    assert (never_triggered(Formula(rule)) is None) is (expected is None)
