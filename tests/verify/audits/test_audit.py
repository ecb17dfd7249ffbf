"""Audits: episodes counted by rule and by how they ended."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from verilora.envs.episode import Episode
from verilora.specs.domain import Domain
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rulebook
from verilora.synth.controllers.controller import Reading
from verilora.synth.controllers.steps import InvalidController
from verilora.verify.audits.audit import Audit, RuleAudit, audit_episodes, goal_monitor, run_controller
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker

GREEN, LEFT = "green_traffic_light", "car_from_left"


def episode(seed: int, *moments: tuple[tuple[str, ...], str], end: str = "") -> Episode:
    return Episode(
        policy="controller",
        seed=seed,
        labels=tuple(labels for labels, _ in moments),
        actions=tuple(action for _, action in moments),
        arrived=end == "arrived",
        crashed=end.startswith("crashed"),
        at_fault=end == "crashed by its fault",
    )


EPISODES = (
    # Waits for ever at a green light: that a move is asked for stays pending.
    episode(3, ((GREEN,), "stop"), ((GREEN,), "stop")),
    # Turns right into a car's way.
    episode(5, ((), "stop"), ((LEFT,), "turn_right"), ((), "turn_right"), end="crashed by its fault"),
    # Turns when it is clear.
    episode(4, ((LEFT,), "stop"), ((GREEN,), "turn_right"), end="arrived"),
    # Is hit while it stands.
    episode(9, ((LEFT,), "stop"), ((), "stop"), end="crashed"),
    # Breaks the same rule at once, and again.
    episode(7, ((LEFT,), "turn_right"), ((LEFT,), "turn_right"), end="arrived"),
)


@pytest.fixture(scope="module")
def audit(driving: Domain) -> Audit:
    rulebook = driving.rulebook()
    return audit_of(driving, EPISODES, rulebook)


def audit_of(domain: Domain, episodes: Sequence[Episode], rulebook: Rulebook) -> Audit:
    compiler = Compiler()
    checker = TraceChecker({rule.id: rule.formula for rule in rulebook.rules}, compiler)
    goal = goal_monitor(Formula("(stop U turn_right) & G(stop | turn_right)"), compiler)
    return audit_episodes("traffic_light", episodes, rulebook, checker, goal, domain.vocabulary.idle)


def test_what_became_of_the_goal(audit: Audit) -> None:
    assert (audit.num_reached, audit.num_strayed) == (3, 0)


CLEAR = ((GREEN,), "turn_right")
DRIVEN = {
    "nothing": ([episode(1, CLEAR, end="arrived")] * 2 + [episode(2, ((), "stop"))] * 2, None),
    "a rule": ([episode(1, CLEAR)] * 3 + [episode(5, ((LEFT,), "turn_right"))], "rules were broken: phi5, phi9"),
    "a crash": (
        [episode(1, CLEAR)] * 3 + [episode(2, CLEAR, end="crashed by its fault")],
        "it crashed by its own fault in 1 of 4 episodes",
    ),
    "the goal": (
        [episode(1, CLEAR)] * 3 + [episode(2, CLEAR, ((GREEN,), "go_straight"))],
        "it did what its goal rules out in 1 of 4 episodes",
    ),
    "waiting": (
        [episode(1, CLEAR)] + [episode(2, ((), "stop"))] * 3,
        "its goal was not reached in 3 of 4 episodes, which is most of them",
    ),
}


@pytest.mark.parametrize(("episodes", "finding"), DRIVEN.values(), ids=DRIVEN)
def test_what_speaks_against_a_controller(driving: Domain, episodes: list[Episode], finding: str | None) -> None:
    book = driving.rulebook()
    some = replace(book, rules=tuple(rule for rule in book.rules if rule.id in ("phi3", "phi5", "phi9")))
    found = audit_of(driving, episodes, some)
    assert found.findings == ((finding,) if finding else ())
    assert found.to_json()["findings"] == list(found.findings)


def rule(audit: Audit, rule_id: str) -> RuleAudit:
    return next(found for found in audit.rules if found.rule_id == rule_id)


def test_how_the_episodes_ended(audit: Audit) -> None:
    counts = (audit.num_episodes, audit.num_arrived, audit.num_crashed, audit.num_at_fault, audit.num_never_moved)
    assert counts == (5, 2, 2, 1, 2)
    assert audit.world == "traffic_light"


@pytest.mark.parametrize(
    ("rule_id", "kept", "pending", "violated_in"),
    [
        ("phi5", 3, 0, (5, 7)),
        ("phi9", 3, 0, (5, 7)),
        ("phi11", 3, 0, (5, 7)),
        ("phi10", 4, 1, ()),
        ("phi8", 3, 2, ()),
        ("phi3", 5, 0, ()),
        ("phi6", 5, 0, ()),
        ("phi14", 5, 0, ()),
    ],
)
def test_each_rule_is_counted(
    audit: Audit, rule_id: str, kept: int, pending: int, violated_in: tuple[int, ...]
) -> None:
    found = rule(audit, rule_id)
    assert (found.kept, found.pending, found.violated) == (kept, pending, len(violated_in))
    assert found.violated_in == violated_in, "seeds, in the order of the episodes"


def test_the_rulebook_s_order_and_all_of_each_rule(audit: Audit, driving: Domain) -> None:
    assert [found.rule_id for found in audit.rules] == [found.id for found in driving.rulebook().rules]
    assert {found.kept + found.pending + found.violated for found in audit.rules} == {len(EPISODES)}


def test_intervals_are_those_of_clopper_and_pearson(audit: Audit) -> None:
    # From R: binom.test(2, 5) and binom.test(0, 5).
    assert rule(audit, "phi5").interval == pytest.approx((0.05274495, 0.85336720), abs=1e-6)
    assert rule(audit, "phi3").interval == pytest.approx((0.0, 0.52182375), abs=1e-6)


def test_episodes_are_those_of_the_seeds_on_any_number_of_processes(driving: Domain) -> None:
    text = "1. wait until no car from left then go straight\n2. go to step 1"
    done: list[int] = []
    one = run_controller(text, "roundabout", (4, 0, 2), driving.vocabulary, Reading(), 1, done.append)
    assert done == [1, 2, 3]
    assert [found.seed for found in one] == [4, 0, 2]
    assert run_controller(text, "roundabout", (4, 0, 2), driving.vocabulary, Reading(), 2, done.append) == one
    assert done == [1, 2, 3] * 2
    for found in one:
        assert all(
            action == "go_straight" for action, labels in zip(found.actions, found.labels, strict=True) if not labels
        )
        assert found.actions == tuple("stop" if LEFT in labels else "go_straight" for labels in found.labels)


def test_a_controller_that_never_acts_ends_at_the_horizon(driving: Domain) -> None:
    (found,) = run_controller("1. stop\n2. stop", "wide_median", (0,), driving.vocabulary, Reading())
    assert (len(found.labels), set(found.actions)) == (40, {"stop"})
    assert (found.arrived, found.crashed, found.at_fault) == (False, False, False)


def test_what_is_no_controller_is_refused_before_anything_drives(driving: Domain) -> None:
    with pytest.raises(InvalidController, match="unknown action: got 'hope"):
        run_controller("1. hope for the best\n2. stop", "nowhere", (0,), driving.vocabulary, Reading(), 2)
