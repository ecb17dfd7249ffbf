from verilora.specs.domain import Domain
from verilora.specs.logic import Formula, boolean_diagram, buddy, spot
from verilora.verify.checking.compiled import Compiler
from verilora.verify.worlds.safe_letters import safe_letters


def test_letters_under_which_an_action_breaks_no_safety_rule(driving: Domain) -> None:
    compiler, actions = Compiler(), driving.vocabulary.action_ids
    formulas = ("G(turn_right -> !car_from_left)", "G(opposite_car -> !turn_right)", "GF turn_left")
    rules = [compiler.compile(Formula(text)) for text in formulas]
    expected = boolean_diagram(spot.formula("!car_from_left & !opposite_car"))
    assert safe_letters("turn_right", rules, actions) == expected
    assert safe_letters("turn_left", rules, actions) == buddy.bddtrue
    assert safe_letters("turn_right", [], actions) == buddy.bddtrue
