import json
from pathlib import Path

import jsonschema
import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.synth.controllers.controller import Ending, Reading, always
from verilora.verify.records.verdict import RuleVerdict, Status, Verdict
from verilora.verify.verdicts.batch import verify_batch
from verilora.verify.verdicts.verifier import Settings, Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, AFTER_LOOPING, BEFORE, task_in

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "verdict.schema.json").read_text())
TASK = task_in("traffic_light")
ABSTRACT = Settings(world=WorldKind.ABSTRACT)
# About 2 to the power of 26 states: translating it takes far longer than any limit used here.
HARD = " & ".join(f"GF (green_traffic_light U (stop & {'X' * depth} car_from_left))" for depth in range(1, 14))


@pytest.fixture(scope="module")
def verifier(driving: Domain) -> Verifier:
    return Verifier(driving, driving.rulebook(), ABSTRACT)


def with_status(status: Status, verdict: Verdict) -> Verdict:
    rules = (RuleVerdict(rule_id="x", status=status, applicable=True, weight=1.0),)
    return Verdict.model_validate({**dict(verdict), "rules": rules})


def test_ranks_validity_then_gates_then_rules_then_brevity(verifier: Verifier, driving: Domain) -> None:
    ranked = [
        verifier.verify_text("turn right somehow", TASK),
        verifier.verify(always("stop", driving.vocabulary), TASK),
        verifier.verify_text("1. turn right\n2. stop", TASK),
        verifier.verify_text(AFTER_LOOPING, TASK),
        verifier.verify_text(AFTER, TASK),
    ]
    assert [verdict.rank for verdict in ranked] == sorted(verdict.rank for verdict in ranked)
    assert len({verdict.rank for verdict in ranked}) == len(ranked)


def test_compliance_is_a_weighted_share_and_0_behind_a_failed_gate(verifier: Verifier) -> None:
    careless = verifier.verify_text("1. turn right\n2. stop", TASK)
    # Of the nine rules with weight it breaks 5 and 9; 2 and 11 apply, but count nothing.
    assert careless.compliance == pytest.approx(7 / 9)
    assert [rule.rule_id for rule in careless.deciding if not rule.weight] == ["phi2", "phi11"]
    wrong_way = verifier.verify_text("1. turn left\n2. stop", TASK)
    assert (wrong_way.gates_kept, wrong_way.compliance) == (False, 0)


def test_a_rule_counts_again_in_a_book_that_drops_what_implies_it(driving: Domain) -> None:
    book = driving.rulebook()
    fewer = Rulebook(
        name="fewer", description="", rules=tuple(rule for rule in book.rules if rule.id not in ("phi5", "phi9"))
    )
    rules = Verifier(driving, fewer, ABSTRACT).verify_text(AFTER, TASK).rules
    assert {rule.rule_id: rule.weight for rule in rules}["phi11"] == 1


def test_of_equivalent_rules_the_first_counts(driving: Domain) -> None:
    rules = tuple(
        Rule(id=name, formula=Formula(text), english="")
        for name, text in (("a", "G !turn_right"), ("b", "!F turn_right"))
    )
    verdict = Verifier(driving, Rulebook(name="twice", description="", rules=rules), ABSTRACT).verify_text(AFTER, TASK)
    assert [rule.weight for rule in verdict.rules] == [1, 0]


def weighed(domain: Domain, *rules: tuple[str, str, float]) -> Verdict:
    book = tuple(Rule(id=name, formula=Formula(text), english="", weight=weight) for name, text, weight in rules)
    verifier = Verifier(domain, Rulebook(name="weighed", description="", rules=book), ABSTRACT)
    return verifier.verify_text("1. turn right\n2. stop", TASK)


def test_only_rules_with_weight_take_it_from_those_that_they_imply(driving: Domain) -> None:
    strong, weak, never = "G !turn_right", "G (car_from_left -> !turn_right)", "F (stop & turn_right)"
    assert [rule.weight for rule in weighed(driving, ("strong", strong, 1), ("weak", weak, 1)).rules] == [1, 0]
    assert [rule.weight for rule in weighed(driving, ("strong", strong, 0), ("weak", weak, 1)).rules] == [0, 1]
    assert [rule.weight for rule in weighed(driving, ("a", strong, 0), ("b", "!F turn_right", 5)).rules] == [0, 5]
    assert [rule.weight for rule in weighed(driving, ("never", never, 1), ("weak", weak, 1)).rules] == [1, 1]


def test_rules_without_weight_are_no_reason_to_call_a_violation_compliant(driving: Domain) -> None:
    verdict = weighed(driving, ("strong", "G !turn_right", 0))
    assert (verdict.gates_kept, verdict.total_weight, verdict.compliance, verdict.exit_code()) == (True, 0, 0, 1)


def test_what_spot_cannot_do_is_unknown(driving: Domain) -> None:
    """A formula that needs more acceptance sets than it has."""
    many = " & ".join(
        f"(GF {a} -> GF {b})" for a in driving.vocabulary.proposition_ids[:5] for b in driving.vocabulary.action_ids
    )
    rules = (Rule(id="many", formula=Formula(many), english=""),)
    verdict = Verifier(driving, Rulebook(name="m", description="", rules=rules), ABSTRACT).verify_text(AFTER, TASK)
    assert verdict.rules[0].status is Status.UNKNOWN
    assert verdict.exit_code() == 1


@pytest.mark.parametrize(
    ("status", "code", "strict_code"),
    [(Status.SATISFIED, 0, 0), (Status.OBSERVED, 0, 1), (Status.UNKNOWN, 1, 1), (Status.VIOLATED, 1, 1)],
)
def test_exit_codes(verifier: Verifier, status: Status, code: int, strict_code: int) -> None:
    verdict = with_status(status, verifier.verify_text(AFTER_LOOPING, TASK))
    assert (verdict.exit_code(), verdict.exit_code(strict=True)) == (code, strict_code)


def test_a_rule_kept_because_nothing_triggers_it_is_called_vacuous_and_ranked_as_kept(verifier: Verifier) -> None:
    verdict = verifier.verify_text(AFTER_LOOPING, TASK)
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


@pytest.mark.parametrize("steps", [AFTER_LOOPING, BEFORE, "drive carefully"])
def test_the_json_form_follows_its_schema(verifier: Verifier, steps: str) -> None:
    verdict = verifier.verify_text(steps, TASK)
    encoded = json.loads(json.dumps([{"file": "steps.txt", **verdict.to_json()}]))
    jsonschema.Draft202012Validator(SCHEMA).validate(encoded)


def test_two_processes_give_the_answers_of_one(driving: Domain) -> None:
    texts = [AFTER, AFTER_LOOPING, BEFORE, "1. turn right\n2. stop", "nothing"]
    tasks = list(driving.tasks.values())
    parse = Verifier(driving, driving.rulebook()).parse
    questions = [(parse(texts[number % 5]), tasks[number % len(tasks)]) for number in range(500)]
    alone = verify_batch(Verifier(driving, driving.rulebook()), questions)
    assert verify_batch(Verifier(driving, driving.rulebook()), questions, num_processes=2) == alone
    assert [verdict.task_id for verdict in alone] == [task.id for _, task in questions]
    with pytest.raises(ValueError, match="at least 1 process, got 0"):
        verify_batch(Verifier(driving, driving.rulebook()), questions, num_processes=0)
