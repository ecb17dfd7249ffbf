import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.synth.controllers.controller import always
from verilora.verify.records.verdict import RuleVerdict, Status, Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, AFTER_LOOPING, BEFORE, task_in

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "verdict.schema.json").read_text())
TASK = task_in("traffic_light")
ABSTRACT = Settings(world=WorldKind.ABSTRACT)


@pytest.fixture(scope="module")
def verifier(driving: Domain) -> Verifier:
    return Verifier(driving, driving.rulebook("paper"), ABSTRACT)


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


def test_where_no_rule_applies_nothing_is_judged_and_all_rank_alike(greenhouse: Domain) -> None:
    book = greenhouse.rulebook()
    lone = replace(book, rules=tuple(rule for rule in book.rules if rule.id == "spare_pump"))
    verifier = Verifier(greenhouse, lone, ABSTRACT)
    task = greenhouse.task("water-seedling-bench")
    english = greenhouse.vocabulary.english
    texts = (f"1. {english['open_valve']}\n2. {english['hold']}", f"1. {english['hold']}\n2. {english['hold']}", "pray")
    verdicts = [verifier.verify_text(text, task) for text in texts]
    assert [verdict.gates_kept for verdict in verdicts] == [True, False, False]
    assert [(verdict.compliance, verdict.all_kept, verdict.exit_code()) for verdict in verdicts] == [
        (None, False, 2)
    ] * 3
    assert len({verdict.rank for verdict in verdicts}) == 1
    said = "no rule of the rulebook 'default' applies to the world 'seedling_bench', so nothing can be judged"
    assert all(said in verdict.notes for verdict in verdicts)
    jsonschema.validate([{"file": "f", **verdict.to_json()} for verdict in verdicts], SCHEMA)
    elsewhere = verifier.verify_text(texts[0], greenhouse.task("water-glasshouse"))
    assert (elsewhere.compliance, elsewhere.exit_code()) == (0, 1)


def test_rules_without_weight_are_no_reason_to_call_a_violation_compliant(driving: Domain) -> None:
    rule = Rule(id="strong", formula=Formula("G !turn_right"), english="", weight=0)
    book = Rulebook(name="weighed", description="", rules=(rule,))
    verdict = Verifier(driving, book, ABSTRACT).verify_text("1. turn right\n2. stop", TASK)
    assert (verdict.gates_kept, verdict.total_weight, verdict.compliance, verdict.exit_code()) == (True, 0, 0, 1)


@pytest.mark.parametrize(
    ("status", "code", "strict_code"),
    [(Status.SATISFIED, 0, 0), (Status.OBSERVED, 0, 1), (Status.UNKNOWN, 1, 1), (Status.VIOLATED, 1, 1)],
)
def test_exit_codes(verifier: Verifier, status: Status, code: int, strict_code: int) -> None:
    verdict = with_status(status, verifier.verify_text(AFTER_LOOPING, TASK))
    assert (verdict.exit_code(), verdict.exit_code(strict=True)) == (code, strict_code)


@pytest.mark.parametrize("steps", [AFTER_LOOPING, BEFORE, "drive carefully"])
def test_the_json_form_follows_its_schema(verifier: Verifier, steps: str) -> None:
    verdict = verifier.verify_text(steps, TASK)
    encoded = json.loads(json.dumps([{"file": "steps.txt", **verdict.to_json()}]))
    jsonschema.Draft202012Validator(SCHEMA).validate(encoded)
