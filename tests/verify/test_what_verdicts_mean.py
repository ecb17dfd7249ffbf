"""What a verdict is worth on the road of the simulator: who keeps all arrives, who does not shows why."""

import pytest
from hollow import CRASHING, HOLLOW

from verilora.specs.domain import Domain, load_domain
from verilora.specs.task import Task
from verilora.verify.audits.drive import drive
from verilora.verify.checking.check import Runs
from verilora.verify.records.verdict import Status
from verilora.verify.rulebooks.lint import Linter
from verilora.verify.verdicts.verifier import Settings, Verifier

NUM_EPISODES = 20
TASKS = [*load_domain("driving").tasks.values()]
COMBINATIONS = {(task.world, task.goal.text): task for task in TASKS}.values()
ONTO_THE_MEDIAN = """1. wait until no car from left and no pedestrian in front, then go straight
2. wait until car from right, then turn right
3. stop"""


@pytest.fixture(scope="module")
def verifier(driving: Domain) -> Verifier:
    return Verifier(driving, settings=Settings(witnesses=False))


@pytest.fixture(scope="module")
def linter(driving: Domain) -> Linter:
    return Linter(driving, driving.rulebook())


def reference(linter: Linter, task: Task) -> str:
    steps = linter.reach(linter.prepare(task.world), Runs.CHAIN, task.goal).controller
    assert steps is not None
    return steps


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_every_task_has_a_reference_that_keeps_all(verifier: Verifier, linter: Linter, task: Task) -> None:
    verdict = verifier.verify_text(reference(linter, task), task)
    assert (verdict.all_kept, verdict.compliance) == (True, 1)


@pytest.mark.parametrize("name", CRASHING)
def test_what_the_papers_rules_let_through_breaks_a_rule_of_the_default_book(
    verifier: Verifier, driving: Domain, name: str
) -> None:
    task_id, steps, rule_id = CRASHING[name]
    task = driving.task(task_id)
    assert Verifier(driving, "paper", Settings(witnesses=False)).verify_text(steps, task).all_kept
    verdict = verifier.verify_text(steps, task)
    assert rule_id in {rule.rule_id for rule in verdict.deciding if rule.status is Status.VIOLATED}
    assert not verdict.all_kept


def test_a_turn_on_the_median_misses_the_goal_of_going_straight(verifier: Verifier, driving: Domain) -> None:
    verdict = verifier.verify_text(ONTO_THE_MEDIAN, driving.task("straight-at-wide-median"))
    assert {gate.name: gate.status for gate in verdict.gates}["goal"] is Status.VIOLATED


def test_who_waits_for_everybody_at_once_never_acts(driving: Domain) -> None:
    task_id, steps = HOLLOW["straight only while cars and pedestrians are on all sides"]
    audit = drive(steps, driving, task_id, num_episodes=6)
    assert (audit.num_never_moved, len(audit.findings)) == (6, 1)


@pytest.mark.slow
@pytest.mark.parametrize("task", COMBINATIONS, ids=lambda task: task.id)
def test_a_reference_reaches_its_goal_and_crashes_by_no_fault_of_its_own(
    driving: Domain, linter: Linter, task: Task
) -> None:
    audit = drive(reference(linter, task), driving, task.id, num_episodes=NUM_EPISODES)
    assert (audit.num_at_fault, audit.num_strayed, audit.findings) == (0, 0, ())
    # An episode lasts 40 seconds; a left turn without an arrow may wait for longer.
    assert audit.num_reached >= 0.75 * NUM_EPISODES
