import pytest

from verilora.specs.logic import Formula
from verilora.verify.checking.vacuity import trigger


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
