"""The learned worlds that ship: controllers that anybody can judge get the verdicts that one expects."""

from dataclasses import replace
from pathlib import Path

import pytest

from verilora.envs.recording import provenance
from verilora.specs.domain import Domain, load_domain
from verilora.specs.learned_world import LABELS, learned_world_path, read_learned_world
from verilora.specs.recorded_waits import RecordingSet
from verilora.specs.task import Task
from verilora.synth.controllers.controller import Ending, Reading
from verilora.synth.controllers.steps import Act, step_text
from verilora.verify.audits.audit import FIRST_SEED, run_controller
from verilora.verify.checking.check import Runs
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker, TraceStatus
from verilora.verify.commands.world_command import learn_worlds
from verilora.verify.records.timely import LEAST
from verilora.verify.records.verdict import Status, Verdict
from verilora.verify.rulebooks.lint import Linter
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

from controllers import BEFORE, YIELDING

# One task for each learned world: a world and a set of propositions.
TASKS = {(task.world, frozenset(task.relevant)): task for task in load_domain("driving").tasks.values()}.values()
MOST_LEAVING = 0.10
# One for each manoeuvre in each world, as far as what is asked of waits there does not differ.
COMBINATIONS = {
    (task.world, str(task.event), task.limit, str(task.premise)): task for task in load_domain("driving").tasks.values()
}.values()
ROOM = 0.1


@pytest.fixture(scope="module")
def verifier(driving: Domain) -> Verifier:
    return Verifier(driving, driving.rulebook())


def judge(verifier: Verifier, steps: str, task: Task) -> Verdict:
    verdict = verifier.verify_text(steps, task)
    assert (verdict.world_kind, frozenset(verdict.learned)) == ("simulated", frozenset(task.relevant))
    return verdict


def manoeuvre(task: Task, domain: Domain) -> str:
    """Return the words of the action that a task asks for."""
    (action,) = task.goal.propositions - {domain.vocabulary.idle}
    return step_text(Act(action), domain.vocabulary)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
class TestEveryWorld:
    def test_it_ships_and_few_held_out_episodes_leave_it(self, driving: Domain, task: Task) -> None:
        learned = driving.learned_world(task)
        assert learned is not None
        assert learned.labels == LABELS
        assert learned.coverage["leaving_bound"] <= MOST_LEAVING
        assert learned.provenance["config_digest"] == provenance(task.world, driving.vocabulary)["config_digest"]

    def test_standing_still_fails_the_gates(self, verifier: Verifier, task: Task) -> None:
        verdict = judge(verifier, "1. stop\n2. stop", task)
        assert {gate.status for gate in verdict.gates} == {Status.VIOLATED}
        assert verdict.compliance == 0

    def test_just_going_breaks_a_rule_in_what_was_seen(self, driving: Domain, verifier: Verifier, task: Task) -> None:
        action = manoeuvre(task, driving)
        verdict = judge(verifier, f"1. {action}\n2. go to step 1", task)
        assert verdict.gates_kept
        assert any(rule.status is Status.VIOLATED and rule.witness for rule in verdict.deciding)

    def test_a_guarded_controller_is_kept_in_what_was_seen_and_in_what_is_possible(
        self, driving: Domain, verifier: Verifier, task: Task
    ) -> None:
        linter = Linter(driving, driving.rulebook())
        guarded = linter.reach(linter.prepare(task.world), Runs.CHAIN, task.goal).controller
        assert guarded is not None
        verdict = judge(verifier, guarded, task)
        assert {rule.status for rule in verdict.deciding} == {Status.SATISFIED}
        assert {gate.status for gate in verdict.gates} == {Status.SATISFIED}


@pytest.mark.parametrize("task", COMBINATIONS, ids=lambda task: task.id)
def test_the_reference_controllers_act_in_time(driving: Domain, task: Task) -> None:
    """With some room, so that others may wait for more than they must."""
    linter = Linter(driving, driving.rulebook())
    guarded = linter.reach(linter.prepare(task.world), Runs.FAIR, task.goal).controller
    assert guarded is not None
    for recordings in RecordingSet:
        settings = Settings(recordings=recordings, witnesses=False)
        timely = Verifier(driving, driving.rulebook(), settings).verify_text(guarded, task).timely
        assert timely is not None
        assert timely.share is not None
        assert timely.share >= LEAST + ROOM
        assert timely.reference is not None
        assert timely.share <= timely.reference


@pytest.mark.slow
def test_one_command_makes_the_shipped_worlds_again_byte_for_byte(driving: Domain, tmp_path: Path) -> None:
    """For one world; the versions that a file names are part of it, so they must be those it was made with."""
    only = [task for task in driving.tasks.values() if task.world == "wide_median"]
    domain = replace(driving, tasks={task.id: task for task in only})
    learn_worlds(domain, tmp_path, tmp_path, 3000, 600, None)
    for task in only:
        shipped = learned_world_path(driving.folder, task.world, task.relevant)
        made = learned_world_path(tmp_path, task.world, task.relevant)
        now = provenance(task.world, driving.vocabulary)["versions"]
        if read_learned_world(shipped, driving.worlds).provenance["versions"] == now:
            assert made.read_bytes() == shipped.read_bytes()
        else:
            then, again = (read_learned_world(path, driving.worlds) for path in (shipped, made))
            assert (again.transitions, again.coverage) == (then.transitions, then.coverage)


def test_a_stale_check_is_violated_and_the_simulator_shows_it(driving: Domain) -> None:
    reading = Reading(ending=Ending.ONE_SHOT)
    task = driving.task("right-at-traffic-light")
    verdict = Verifier(driving, driving.rulebook("paper"), Settings(reading=reading)).verify_text(BEFORE, task)
    violated = {rule.rule_id for rule in verdict.deciding if rule.status is Status.VIOLATED}
    assert {"phi5", "phi9", "phi14"} <= violated
    rules = {rule.id: rule.formula for rule in driving.rulebook("paper").rules}
    check = TraceChecker(rules, Compiler()).statuses
    episodes = run_controller(BEFORE, task.world, range(FIRST_SEED, FIRST_SEED + 60), driving.vocabulary, reading)
    seen = {name for e in episodes for name, status in check(e.letters).items() if status is TraceStatus.VIOLATED}
    assert {"phi5", "phi9", "phi14"} <= seen <= violated


def test_waiting_for_both_lights_at_once_is_waiting_for_ever(driving: Domain, verifier: Verifier) -> None:
    """Only one of the two is learned in this world; that they exclude each other is stated."""
    guard = (
        "green left-turn light and green traffic light and no opposite car and no car from left and no car from right"
    )
    steps = f"1. if {guard}, turn left, otherwise stay\n2. stop"
    verdict = judge(verifier, steps, driving.task("left-at-left-turn-light"))
    assert {gate.status for gate in verdict.gates} == {Status.VIOLATED}


def test_a_turn_that_yields_keeps_all(driving: Domain, verifier: Verifier) -> None:
    verdict = judge(verifier, YIELDING, driving.task("right-at-traffic-light"))
    assert (verdict.compliance, verdict.exit_code(strict=True)) == (1, 0)
