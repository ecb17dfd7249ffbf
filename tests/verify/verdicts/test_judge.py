"""Judging: rules and gates of one controller."""

import pytest

from verilora.specs.domain import Domain
from verilora.specs.processes.deadline import Deadline
from verilora.specs.processes.forked import Unanswered
from verilora.verify.checking.lasso import Explorer
from verilora.verify.records.verdict import Status
from verilora.verify.verdicts.judge import Findings, judge
from verilora.verify.verdicts.prepared_world import prepare_world
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind, world_of

from controllers import AFTER_LOOPING, BEFORE, task_in

TASK = task_in("traffic_light")
ABSTRACT = Settings(world=WorldKind.ABSTRACT)


def test_findings_are_those_of_the_verdict_and_alike_where_nothing_could_be_asked(driving: Domain) -> None:
    verifier = Verifier(driving, driving.rulebook(), ABSTRACT)
    world = world_of(driving, TASK.world, verifier.compiler)
    prepared = prepare_world(world, verifier.rulebook, driving, verifier.compiler)
    gates = ABSTRACT.gates(TASK, driving.vocabulary)

    def found(deadline: Deadline) -> Findings:
        return judge(verifier.read(BEFORE), prepared, gates, verifier.compiler, ABSTRACT, deadline)

    verdict = verifier.verify_text(BEFORE, TASK)
    told = found(Deadline())
    assert [rule.status for rule in told.rules] == [rule.status for rule in verdict.rules]
    assert [gate.status for gate in told.gates] == [gate.status for gate in verdict.gates]
    assert {Status.SATISFIED, Status.VIOLATED} <= {rule.status for rule in told.rules}
    late = "left undone at the deadline of 1e-06 s"
    assert found(Deadline(1e-6)) == Findings.alike(prepared, gates, Status.UNKNOWN, late)


def test_a_rule_kept_because_nothing_triggers_it_is_called_vacuous_and_ranked_as_kept(driving: Domain) -> None:
    verdict = Verifier(driving, driving.rulebook("paper"), ABSTRACT).verify_text(AFTER_LOOPING, TASK)
    vacuous = {rule.rule_id for rule in verdict.deciding if rule.vacuous}
    # It never turns left nor drives on: the rules that speak of that are never triggered.
    assert vacuous == {"phi12", "phi14"}
    assert verdict.compliance == 1


def test_a_rule_kept_whatever_triggers_it_is_called_vacuous_from_the_other_side(driving: Domain) -> None:
    verdict = Verifier(driving, driving.rulebook("paper"), ABSTRACT).verify_text(AFTER_LOOPING, TASK)
    # It moves and stops again and again, whatever the lights show.
    unconditional = {rule.rule_id for rule in verdict.deciding if rule.unconditional}
    assert {"phi7", "phi10"} <= unconditional
    assert not {rule.rule_id for rule in verdict.deciding if rule.vacuous} & unconditional
    assert set(verdict.vacuous) == {"phi12", "phi14"} | unconditional
    assert "phi5" in verdict.decided_by
    assert {*verdict.decided_by, *verdict.vacuous} == {rule.rule_id for rule in verdict.deciding}
    broken = Verifier(driving, driving.rulebook("paper"), ABSTRACT).verify_text("1. turn right\n2. stop", TASK)
    assert {"phi5", "phi9"} <= set(broken.decided_by)


def test_a_violation_stays_one_where_the_deadline_leaves_its_witness(
    driving: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: object) -> None:
        raise Unanswered("left undone at the deadline of 60 s")

    monkeypatch.setattr(Explorer, "path", too_late)
    verdict = Verifier(driving, driving.rulebook(), ABSTRACT).verify_text(BEFORE, TASK)
    violated = [rule for rule in verdict.rules if rule.status is Status.VIOLATED]
    assert violated
    assert all(rule.witness is None and rule.reason.startswith("no witness: left undone") for rule in violated)
