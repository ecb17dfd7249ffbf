"""The facts that pin the semantics: who keeps which of the fifteen rules where, under which reading."""

import pytest

from verilora.specs.domain import Domain
from verilora.specs.processes.deadline import Deadline
from verilora.synth.controllers.controller import Controller, Ending, Reading, always
from verilora.verify.checking.check import Runs
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.implication import implications
from verilora.verify.records.verdict import Mode, Status, Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

from controllers import AFTER, AFTER_LOOPING, BEFORE, CLEAR_GREEN_STEPS, guarded_right, lagged, task_in

WORLDS = ("universal", "traffic_light", "left_turn_light", "two_way_stop", "wide_median", "roundabout")
ONE_SHOT = Reading(ending=Ending.ONE_SHOT)


_VERIFIERS: dict[Settings, Verifier] = {}


def judge(
    domain: Domain,
    controller: Controller | str,
    world: str,
    runs: Runs = Runs.CHAIN,
    reading: Reading | None = None,
    goal: str = "stop U turn_right",
) -> Verdict:
    settings = Settings(world=WorldKind.ABSTRACT, runs=runs, reading=reading or Reading())
    verifier = _VERIFIERS.setdefault(settings, Verifier(domain, domain.rulebook("paper"), settings))
    task = task_in(world, goal)
    return verifier.verify_text(controller, task) if isinstance(controller, str) else verifier.verify(controller, task)


def broken(verdict: Verdict) -> list[int]:
    return [int(rule.rule_id.removeprefix("phi")) for rule in verdict.rules if rule.status is Status.VIOLATED]


def raw_counts(domain: Domain, controller: Controller | str, runs: Runs) -> list[int]:
    return [judge(domain, controller, world, runs).raw_kept for world in WORLDS]


def test_implications_among_the_fifteen_rules(driving: Domain) -> None:
    compiler = Compiler()
    compiled = {rule.id: compiler.compile(rule.formula) for rule in driving.rulebook("paper").rules}
    implied = implications(compiled, driving.vocabulary.action_ids, Deadline(60))
    everything_else = tuple(name for name in compiled if name != "phi6")
    assert {name: by for name, by in implied.items() if by} == {
        "phi2": ("phi12",),
        "phi6": everything_else,
        "phi11": ("phi5", "phi9"),
        "phi15": ("phi5", "phi9"),
    }


@pytest.mark.parametrize(
    ("world", "applicable", "without_weight"),
    [
        ("traffic_light", [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 14], [2, 11]),
        ("left_turn_light", [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 14], [2, 11]),
        ("two_way_stop", [1, 2, 4, 5, 9, 11, 12, 13, 14, 15], [2, 11, 15]),
        ("wide_median", [1, 5, 9, 11, 12, 14], [11]),
        ("roundabout", [1, 5, 9, 11, 12, 14], [11]),
    ],
)
def test_applicable_rules(driving: Domain, world: str, applicable: list[int], without_weight: list[int]) -> None:
    rules = judge(driving, always("stop", driving.vocabulary), world).rules
    numbers = {int(rule.rule_id.removeprefix("phi")): rule for rule in rules}
    assert [number for number, rule in numbers.items() if rule.applicable] == applicable
    assert [number for number in applicable if numbers[number].weight == 0] == without_weight


@pytest.mark.parametrize("runs", list(Runs))
def test_always_stop_keeps_almost_all_rules_and_no_gate(driving: Domain, runs: Runs) -> None:
    stop = always("stop", driving.vocabulary)
    assert raw_counts(driving, stop, runs) == [12, 13, 13, 14, 15, 15]
    for world in WORLDS:
        verdict = judge(driving, stop, world, runs)
        assert [gate.status for gate in verdict.gates] == [Status.VIOLATED, Status.VIOLATED]
        assert verdict.compliance == 0


def test_guarded_right_on_all_runs_and_as_a_chain(driving: Domain) -> None:
    controller = guarded_right(driving)
    assert raw_counts(driving, controller, Runs.ALL) == [12, 13, 13, 14, 15, 15]
    assert raw_counts(driving, controller, Runs.CHAIN) == [15, 15, 15, 14, 15, 15]
    assert judge(driving, controller, "traffic_light").gates_kept
    at_the_stop_sign = judge(driving, controller, "two_way_stop")
    assert [gate.status for gate in at_the_stop_sign.gates] == [Status.VIOLATED, Status.VIOLATED]
    assert broken(at_the_stop_sign) == [13]


def test_one_step_of_lag_changes_verdicts(driving: Domain) -> None:
    controller = guarded_right(driving)
    assert judge(driving, controller, "universal", Runs.ALL).raw_kept == 12
    assert judge(driving, lagged(controller), "universal", Runs.ALL).raw_kept == 8


def test_a_chain_differs_from_fair_paths_where_the_controller_can_keep_missing_its_chance(driving: Domain) -> None:
    """It looks only at every other instant: a fair course of events may be clear at just the other ones."""
    steps = f"1. observe car from left\n2. if {CLEAR_GREEN_STEPS}, turn right, otherwise stop\n3. go to step 1"
    as_chain = judge(driving, steps, "traffic_light")
    assert (broken(as_chain), as_chain.gates_kept, as_chain.compliance) == ([], True, 1.0)
    on_fair_runs = judge(driving, steps, "traffic_light", Runs.FAIR)
    assert broken(on_fair_runs) == [7, 10]
    assert [gate.status for gate in on_fair_runs.gates] == [Status.VIOLATED, Status.VIOLATED]


def test_before_fine_tuning(driving: Domain) -> None:
    verdict = judge(driving, BEFORE, "traffic_light", Runs.ALL, ONE_SHOT)
    assert broken(verdict) == [5, 9, 10, 11, 14]
    witness = next(rule.witness for rule in verdict.rules if rule.rule_id == "phi5")
    assert witness is not None
    assert witness.cycle == ()
    last = witness.prefix[-1]
    assert (last.steps, last.action) == ((4,), "turn_right")
    assert {"car_from_left", "pedestrian_at_right"} & set(last.propositions)
    # The car from the left was looked for, was not there, and has come since.
    checked = next(moment for moment in witness.prefix if moment.steps == (3,))
    assert "car_from_left" not in checked.propositions


@pytest.mark.parametrize(
    ("steps", "runs", "expected"),
    [
        (AFTER, Runs.ALL, [7, 10]),
        # It ends, and what phi10 asks for could still come.
        (AFTER, Runs.FAIR, []),
        (AFTER, Runs.CHAIN, []),
        (AFTER_LOOPING, Runs.ALL, [7, 10]),
        (AFTER_LOOPING, Runs.FAIR, []),
        (AFTER_LOOPING, Runs.CHAIN, []),
    ],
)
def test_after_fine_tuning(driving: Domain, steps: str, runs: Runs, expected: list[int]) -> None:
    assert broken(judge(driving, steps, "traffic_light", runs, ONE_SHOT)) == expected


def test_the_wrong_manoeuvre_first_fails_the_goal(driving: Domain) -> None:
    guard = "green traffic light and no car from left and no car from right and no opposite car"
    guard += " and no pedestrian at left and no pedestrian at right and no pedestrian in front"
    steps = "\n".join(
        f"{number}. wait until {guard} then {action}"
        for number, action in enumerate(("go straight", "turn left", "turn right"), start=1)
    )
    verdict = judge(driving, steps, "traffic_light")
    assert broken(verdict) == []
    assert [(gate.name, gate.status) for gate in verdict.gates] == [
        ("goal", Status.VIOLATED),
        ("progress", Status.SATISFIED),
    ]
    assert verdict.compliance == 0


@pytest.mark.parametrize(
    ("steps", "expected", "goal"),
    [
        ("1. wait until no car from left and no pedestrian at right, then turn right\n2. stop", [], Status.SATISFIED),
        ("1. stop\n2. stop", [], Status.VIOLATED),
        ("1. stop\n2. go to step 1", [7, 10], Status.VIOLATED),
        ("1. turn right\n2. stop", [5, 9, 11], Status.SATISFIED),
    ],
)
def test_a_run_that_ends_owes_less_to_rules_and_nothing_less_to_its_goal(
    driving: Domain, steps: str, expected: list[int], goal: Status
) -> None:
    verdict = judge(driving, steps, "traffic_light", reading=ONE_SHOT)
    assert (broken(verdict), [gate.status for gate in verdict.gates]) == (expected, [goal])


def test_paper_mode_parks_for_ever_after_the_last_step(driving: Domain) -> None:
    steps = "1. turn right\n2. stop"
    settings = Settings.of(Mode.PAPER, reading=ONE_SHOT)
    parked = Verifier(driving, driving.rulebook("paper"), settings).verify_text(steps, task_in("traffic_light"))
    assert 10 in broken(parked)
    assert 10 not in broken(judge(driving, steps, "universal", Runs.ALL, ONE_SHOT))


@pytest.mark.parametrize(
    ("afterwards", "goal"),
    [
        ("", Status.SATISFIED),
        ("\n3. stop", Status.SATISFIED),
        ("\n3. turn left", Status.VIOLATED),
        ("\n3. turn left\n4. go to step 3", Status.VIOLATED),
    ],
    ids=["none", "stop", "once", "for ever"],
)
def test_another_manoeuvre_after_the_right_one_fails_the_goal(driving: Domain, afterwards: str, goal: Status) -> None:
    asked = driving.task("right-at-roundabout").goal.text
    steps = f"1. wait until no car from left and no pedestrian at right, then turn right\n2. stop{afterwards}"
    verdict = judge(driving, steps, "roundabout", goal=asked)
    assert [gate.status for gate in verdict.gates] == [goal, Status.SATISFIED]
    assert verdict.gates_kept is goal.is_kept


def test_a_machine_that_dead_ends_is_invalid_although_it_breaks_no_rule_on_any_run(driving: Domain) -> None:
    """Without a reaction to some letter there is no infinite run left, and a naive checker counts 15 of 15."""
    header = 'HOA: v1\nStates: 1\nStart: 0\nAP: 5 "green_traffic_light" "stop" "go_straight" "turn_left" "turn_right"\n'
    header += "acc-name: all\nAcceptance: 0 t\n--BODY--\nState: 0\n"
    incomplete = header + "[0&1&!2&!3&!4] 0\n--END--\n"
    ambiguous = header + "[1&!2&!3&!4] 0\n[0&!1&!2&!3&4] 0\n--END--\n"
    for text, word in ((incomplete, "incomplete"), (ambiguous, "ambiguous")):
        verdict = judge(driving, text, "traffic_light")
        assert word in verdict.invalid
        assert {rule.status for rule in verdict.rules} == {Status.INVALID}
        assert (verdict.compliance, verdict.raw_kept, verdict.exit_code()) == (0, 0, 2)


def test_paper_mode_counts_all_rules_on_all_runs_of_the_universal_world(driving: Domain) -> None:
    settings = Settings(world=WorldKind.UNIVERSAL, mode=Mode.PAPER, runs=Runs.ALL)
    verifier = Verifier(driving, driving.rulebook("paper"), settings)
    verdict = verifier.verify(always("stop", driving.vocabulary), task_in("traffic_light"))
    assert (verdict.world, verdict.gates, verdict.rank, verdict.exit_code()) == ("universal", (), (True, 12), 1)
    with pytest.raises(ValueError, match="got chain runs of the universal world"):
        Settings(world=WorldKind.UNIVERSAL, mode=Mode.PAPER)


def test_the_author_reading_of_rule_7(driving: Domain) -> None:
    """Read as one `F`, the rule is true as soon as the lights are off once; always-stop then keeps it as a chain."""
    stop = always("stop", driving.vocabulary)
    kept = {}
    for name in ("paper", "author-smv"):
        verifier = Verifier(driving, driving.rulebook(name), Settings(world=WorldKind.ABSTRACT))
        kept[name] = verifier.verify(stop, task_in("traffic_light")).raw_kept
    assert kept == {"paper": 13, "author-smv": 14}
