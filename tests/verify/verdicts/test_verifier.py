import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.synth.controllers.controller import Ending, Reading
from verilora.verify.records.verdict import Status
from verilora.verify.verdicts.verifier import Settings, Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, AFTER_LOOPING, task_in

TASK = task_in("traffic_light")
ABSTRACT = Settings(world=WorldKind.ABSTRACT)
# About 2 to the power of 26 states: translating it takes far longer than any limit used here.
HARD = " & ".join(f"GF (green_traffic_light U (stop & {'X' * depth} car_from_left))" for depth in range(1, 14))


def test_what_spot_cannot_do_is_unknown(driving: Domain) -> None:
    """A formula that needs more acceptance sets than it has."""
    many = " & ".join(
        f"(GF {a} -> GF {b})" for a in driving.vocabulary.proposition_ids[:5] for b in driving.vocabulary.action_ids
    )
    rules = (Rule(id="many", formula=Formula(many), english=""),)
    verdict = Verifier(driving, Rulebook(name="m", description="", rules=rules), ABSTRACT).verify_text(AFTER, TASK)
    assert verdict.rules[0].status is Status.UNKNOWN
    assert verdict.exit_code() == 1


def test_a_rule_kept_because_nothing_triggers_it_is_called_vacuous_and_ranked_as_kept(driving: Domain) -> None:
    verdict = Verifier(driving, driving.rulebook(), ABSTRACT).verify_text(AFTER_LOOPING, TASK)
    vacuous = {rule.rule_id for rule in verdict.deciding if rule.vacuous}
    # It never turns left nor drives on: the rules that speak of that are never triggered.
    assert vacuous == {"phi12", "phi14"}
    assert verdict.compliance == 1


def test_one_shot_is_judged_by_its_goal_alone(driving: Domain) -> None:
    settings = Settings(world=WorldKind.ABSTRACT, reading=Reading(ending=Ending.ONE_SHOT))
    verdict = Verifier(driving, driving.rulebook(), settings).verify_text(AFTER, TASK)
    assert [gate.name for gate in verdict.gates] == ["goal"]


def test_where_no_learned_world_ships_the_abstract_one_is_used_and_named(greenhouse: Domain) -> None:
    task = greenhouse.task("water-glasshouse")
    verdict = Verifier(greenhouse, greenhouse.rulebook()).verify_text("1. open valve\n2. heat", task)
    assert verdict.world_kind == "abstract"
    assert verdict.notes == ("no learned world ships for 'glasshouse': the abstract one was used",)


def test_a_rule_too_hard_to_translate_is_unknown_and_never_kept(driving: Domain) -> None:
    hard = Rule(id="hard", formula=Formula(HARD), english="")
    book = Rulebook(name="hard", description="", rules=(*driving.rulebook().rules, hard))
    verdict = Verifier(driving, book, Settings(world=WorldKind.ABSTRACT, time_limit=0.3)).verify_text(
        AFTER_LOOPING, TASK
    )
    rule = verdict.rules[-1]
    assert (rule.status, rule.applicable, rule.weight) == (Status.UNKNOWN, True, 1)
    assert "no result within 0.3 s" in rule.reason
    assert verdict.compliance == pytest.approx(9 / 10)
    assert (verdict.all_kept, verdict.exit_code()) == (False, 1)
