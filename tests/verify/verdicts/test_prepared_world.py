"""Which rules apply and count in a world."""

import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.verify.records.verdict import Mode, Status, Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, task_in

TASK = task_in("traffic_light")
ABSTRACT = Settings(world=WorldKind.ABSTRACT)


def weighed(domain: Domain, *rules: tuple[str, str, float]) -> Verdict:
    book = tuple(Rule(id=name, formula=Formula(text), english="", weight=weight) for name, text, weight in rules)
    verifier = Verifier(domain, Rulebook(name="weighed", description="", rules=book), ABSTRACT)
    return verifier.verify_text("1. turn right\n2. stop", TASK)


def test_a_rule_counts_again_in_a_book_that_drops_what_implies_it(driving: Domain) -> None:
    book = driving.rulebook("paper")
    fewer = Rulebook(
        name="fewer", description="", rules=tuple(rule for rule in book.rules if rule.id not in ("phi5", "phi9"))
    )
    rules = Verifier(driving, fewer, ABSTRACT).verify_text(AFTER, TASK).rules
    assert {rule.rule_id: rule.weight for rule in rules}["phi11"] == 1


@pytest.mark.parametrize(("settings", "applies"), [(ABSTRACT, False), (Settings.of(Mode.PAPER), True)])
def test_a_rule_applies_in_the_worlds_that_it_names_and_in_the_universal_one(
    driving: Domain, settings: Settings, applies: bool
) -> None:
    rule = Rule(id="ring", formula=Formula("G !turn_right"), english="", worlds=("roundabout", "two_way_stop"))
    verifier = Verifier(driving, Rulebook(name="ring", description="", rules=(rule,)), settings)
    (there,) = verifier.verify_text(AFTER, task_in("roundabout")).rules
    (elsewhere,) = verifier.verify_text(AFTER, TASK).rules
    assert (there.applicable, there.weight, there.status) == (True, 1, Status.VIOLATED)
    assert (elsewhere.applicable, elsewhere.weight) == (applies, float(applies))


def test_of_equivalent_rules_the_first_counts(driving: Domain) -> None:
    rules = tuple(
        Rule(id=name, formula=Formula(text), english="")
        for name, text in (("a", "G !turn_right"), ("b", "!F turn_right"))
    )
    verdict = Verifier(driving, Rulebook(name="twice", description="", rules=rules), ABSTRACT).verify_text(AFTER, TASK)
    assert [rule.weight for rule in verdict.rules] == [1, 0]


def test_only_rules_with_weight_take_it_from_those_that_they_imply(driving: Domain) -> None:
    strong, weak, never = "G !turn_right", "G (car_from_left -> !turn_right)", "F (stop & turn_right)"
    assert [rule.weight for rule in weighed(driving, ("strong", strong, 1), ("weak", weak, 1)).rules] == [1, 0]
    assert [rule.weight for rule in weighed(driving, ("strong", strong, 0), ("weak", weak, 1)).rules] == [0, 1]
    assert [rule.weight for rule in weighed(driving, ("a", strong, 0), ("b", "!F turn_right", 5)).rules] == [0, 5]
    assert [rule.weight for rule in weighed(driving, ("never", never, 1), ("weak", weak, 1)).rules] == [1, 1]
