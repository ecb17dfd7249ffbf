from dataclasses import replace

import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.synth.controllers.hoa import MAX_STATES
from verilora.verify.records.verdict import Status
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, AFTER_LOOPING, task_in
from machines import random_machine

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


def test_where_no_learned_world_ships_the_abstract_one_is_used_and_named(greenhouse: Domain) -> None:
    task = greenhouse.task("water-glasshouse")
    verdict = Verifier(greenhouse, greenhouse.rulebook()).verify_text("1. open valve\n2. heat", task)
    assert verdict.world_kind == "abstract"
    assert verdict.notes == (
        "no learned world ships for 'glasshouse': the abstract one was used",
        "no timely gate: no recorded waits ship for 'glasshouse'",
    )


def test_a_rule_too_hard_to_translate_is_unknown_and_never_kept(driving: Domain) -> None:
    hard = Rule(id="hard", formula=Formula(HARD), english="")
    book = Rulebook(name="hard", description="", rules=(*driving.rulebook("paper").rules, hard))
    verdict = Verifier(driving, book, Settings(world=WorldKind.ABSTRACT, time_limit=0.3)).verify_text(
        AFTER_LOOPING, TASK
    )
    rule = verdict.rules[-1]
    assert (rule.status, rule.applicable, rule.weight) == (Status.UNKNOWN, True, 1)
    assert "no result within 0.3 s" in rule.reason
    assert verdict.compliance == pytest.approx(9 / 10)
    assert (verdict.all_kept, verdict.exit_code()) == (False, 1)


def test_what_the_deadline_leaves_is_unknown_and_tried_again_in_the_next_verdict(driving: Domain) -> None:
    book = driving.rulebook()
    hurried = Verifier(driving, book, Settings(world=WorldKind.ABSTRACT, deadline=1e-6))
    verdict = hurried.verify_text(AFTER_LOOPING, TASK)
    assert {part.status for part in (*verdict.rules, *verdict.gates)} == {Status.UNKNOWN}
    assert {part.reason for part in (*verdict.rules, *verdict.gates)} == {"left undone at the deadline of 1e-06 s"}
    assert (verdict.compliance, verdict.exit_code()) == (0, 1)
    hurried.settings = replace(hurried.settings, deadline=60.0)
    assert hurried.verify_text(AFTER_LOOPING, TASK) == Verifier(driving, book, ABSTRACT).verify_text(
        AFTER_LOOPING, TASK
    )


def test_one_deadline_for_all_rules_that_are_too_hard(driving: Domain) -> None:
    """Each by itself would get its five seconds."""
    rules = tuple(
        Rule(id=f"hard_{n}", formula=Formula(f"{HARD} & GF {name}"), english="")
        for n, name in enumerate(driving.vocabulary.proposition_ids)
    )
    book = Rulebook(name="hard", description="", rules=(*driving.rulebook().rules, *rules))
    settings = Settings(world=WorldKind.ABSTRACT, deadline=1.0)
    verdict = Verifier(driving, book, settings).verify_text(AFTER_LOOPING, TASK)
    assert {rule.status for rule in verdict.rules} == {Status.UNKNOWN}
    assert {rule.reason for rule in verdict.rules} == {"left undone at the deadline of 1 s"}


def test_every_machine_of_the_largest_size_is_judged(driving: Domain) -> None:
    for task in (TASK, task_in("left_turn_light"), task_in("roundabout")):
        verdict = Verifier(driving).verify_text(random_machine(driving.vocabulary, MAX_STATES), task)
        assert verdict.valid
        assert Status.UNKNOWN not in {part.status for part in (*verdict.rules, *verdict.gates)}
