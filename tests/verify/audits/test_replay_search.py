"""Replays by search: an episode that breaks the rule or leaves it pending at the horizon, or how many were tried."""

from pathlib import Path

import pytest
from PIL import Image

from verilora.specs.domain import Domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Ending, Reading
from verilora.synth.controllers.hoa import to_hoa
from verilora.synth.controllers.steps import InvalidController
from verilora.verify.audits.audit import FIRST_SEED, run_one
from verilora.verify.audits.replay_search import ReplaySearch, Reproduction
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker, TraceStatus

GOING = "1. turn right\n2. go to step 1"
STOPPING = "1. stop\n2. stop"
RULE, LIVENESS = "phi5", "phi10"


def search(domain: Domain, **limits: float) -> ReplaySearch:
    return ReplaySearch(domain, domain.rulebook(), **limits)


def status(domain: Domain, text: str, seed: int, rule_id: str) -> tuple[TraceStatus, bool]:
    """Return how a rule fared in an episode, and whether that went on to the horizon."""
    world = "traffic_light" if rule_id == LIVENESS else "two_way_stop"
    episode = run_one(text, world, domain.vocabulary, Reading(), seed)
    checker = TraceChecker({rule.id: rule.formula for rule in domain.rulebook().rules}, Compiler())
    return checker.statuses(episode.letters)[rule_id], not episode.arrived and not episode.crashed


def test_the_first_episode_that_breaks_the_rule_is_found_and_saved(driving: Domain, tmp_path: Path) -> None:
    task = driving.task("right-at-two-way-stop")
    searching = search(driving, num_seeds=40, time_limit=60)
    found = searching.find(GOING, task, RULE)
    assert found.seed is not None
    assert found == Reproduction(rule_id=RULE, seed=found.seed, is_pending=False, num_tried=found.seed - FIRST_SEED + 1)
    assert str(found) == f"episode {found.seed}, which breaks phi5,"
    seen = [status(driving, GOING, seed, RULE)[0] for seed in range(FIRST_SEED, found.seed + 1)]
    assert seen.index(TraceStatus.VIOLATED) == len(seen) - 1
    episode = searching.save(tmp_path / "new" / "replay.gif", GOING, task, found.seed)
    assert episode.seed == found.seed
    with Image.open(tmp_path / "new" / "replay.gif") as image:
        assert image.n_frames == len(episode.labels) + 1


def test_liveness_counts_as_broken_while_pending_at_the_horizon(driving: Domain) -> None:
    task = driving.task("right-at-traffic-light")
    found = search(driving, num_seeds=20, time_limit=60).find(STOPPING, task, LIVENESS)
    assert found.seed is not None
    assert found.is_pending
    # Nothing finite breaks such a rule, so the search ends with the first.
    assert found.num_tried == found.seed - FIRST_SEED + 1
    assert status(driving, STOPPING, found.seed, LIVENESS) == (TraceStatus.PENDING, True)
    assert str(found) == f"episode {found.seed}, which leaves phi10 pending at the horizon,"


def test_pending_on_arrival_is_not_a_violation(driving: Domain) -> None:
    """The ego drives past a stop sign and arrives before it ever stops: it still could."""
    task = driving.task("right-at-two-way-stop")
    found = search(driving, num_seeds=8, time_limit=60).find(GOING, task, "phi4")
    assert found == Reproduction(rule_id="phi4", seed=None, is_pending=False, num_tried=8)
    seeds = range(FIRST_SEED, FIRST_SEED + 8)
    assert {status(driving, GOING, seed, "phi4") for seed in seeds} == {(TraceStatus.PENDING, False)}


def test_what_is_not_reproduced_is_said_with_how_much_was_tried(driving: Domain) -> None:
    task = driving.task("right-at-two-way-stop")
    found = search(driving, num_seeds=5, time_limit=60).find(STOPPING, task, RULE)
    assert found == Reproduction(rule_id=RULE, seed=None, is_pending=False, num_tried=5)
    assert str(found) == "phi5: not reproduced in 5 episodes"
    assert search(driving, num_seeds=5, time_limit=0).find(GOING, task, RULE).num_tried == 0


def test_machines_and_readings(driving: Domain) -> None:
    task = driving.task("right-at-two-way-stop")
    reading, limits = Reading(ending=Ending.ONE_SHOT), {"num_seeds": 40, "time_limit": 60}
    text = "1. turn right\n2. turn right"
    machine = to_hoa(parse_controller(text, Alignment(driving.vocabulary), reading))
    by_steps = ReplaySearch(driving, driving.rulebook(), reading, **limits).find(text, task, RULE)
    assert by_steps.seed is not None
    assert search(driving, **limits).find(machine, task, RULE) == by_steps


def test_what_cannot_be_searched(driving: Domain) -> None:
    task = driving.task("right-at-two-way-stop")
    with pytest.raises(InvalidController):
        search(driving).find("1. hope", task, RULE)
    with pytest.raises(KeyError, match="phi99"):
        search(driving).find(GOING, task, "phi99")
