"""Audits: a controller at work in the simulator, episode by episode, judged on finite traces."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ...envs.episode import Episode, run_episode
from ...envs.policy import ControllerPolicy
from ...envs.scenario import make_env
from ...specs.logic import Formula
from ...specs.processes.workers import in_order
from ...specs.rulebook import Rulebook
from ...specs.vocabulary import Vocabulary
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.controller import Reading
from ..checking.compiled import Compiler
from ..checking.trace import Monitor, TraceChecker, TraceStatus
from ..records.interval import clopper_pearson
from ..verdicts.response import read_controller

FIRST_SEED = 1_000_000
"""Audits drive episodes from here on, far from those that worlds are learned from and measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAudit:
    """In how many episodes a rule was kept, pending at the end, or violated; `interval` of the violated share.

    `violated_in` are the seeds of the episodes that broke it, `pending_in` of those that left it pending at the
    horizon. An episode that ended before, on arrival or in a crash, shows nothing of what was still to come.
    """

    rule_id: str
    kept: int
    pending: int
    violated: int
    violated_in: tuple[int, ...]
    pending_in: tuple[int, ...]
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What became of the episodes. `violated_in` of a rule are the seeds of the episodes that broke it.

    The task's goal was reached in `num_reached` of them. In `num_strayed` nothing that could follow would reach it:
    the controller did what the goal rules out. In `num_never_moved` it never acted.
    """

    world: str
    num_episodes: int
    num_arrived: int
    num_crashed: int
    num_at_fault: int
    num_never_moved: int
    num_reached: int
    num_strayed: int
    rules: tuple[RuleAudit, ...]

    @property
    def findings(self) -> tuple[str, ...]:
        """What speaks against the controller, a sentence each; none if it drove as it should.

        One broken rule, one goal that is out of reach and one crash by its own fault are one too many. Waiting is no
        fault, so the goal may be missed, but not in most episodes.
        """
        broken = [rule.rule_id for rule in self.rules if rule.violated]
        num_missed = self.num_episodes - self.num_reached
        found = {
            f"rules were broken: {', '.join(broken)}": bool(broken),
            f"it crashed by its own fault in {self.num_at_fault} of {self.num_episodes} episodes": self.num_at_fault,
            f"it did what its goal rules out in {self.num_strayed} of {self.num_episodes} episodes": self.num_strayed,
            f"its goal was not reached in {num_missed} of {self.num_episodes} episodes, which is most of them": (
                2 * num_missed > self.num_episodes
            ),
        }
        return tuple(sentence for sentence, holds in found.items() if holds)

    def to_json(self) -> dict[str, Any]:
        """Return the audit as a JSON object, with what was found."""
        return {**asdict(self), "findings": list(self.findings)}


def run_controller(
    text: str,
    world: str,
    seeds: Sequence[int],
    vocabulary: Vocabulary,
    reading: Reading,
    num_processes: int = 1,
    progress: Callable[[int], None] = lambda num_done: None,
) -> list[Episode]:
    """Return an episode for each seed, in their order; raises InvalidController."""
    # Here rather than in every process.
    read_controller(text, Alignment(vocabulary), reading)
    episodes = []
    for episode in in_order(partial(run_one, text, world, vocabulary, reading), seeds, num_processes):
        episodes.append(episode)
        progress(len(episodes))
    return episodes


def run_one(text: str, world: str, vocabulary: Vocabulary, reading: Reading, seed: int) -> Episode:
    """Return the episode of one seed; raises InvalidController."""
    policy = ControllerPolicy(read_controller(text, Alignment(vocabulary), reading))
    env = make_env(world)
    try:
        return run_episode(env, policy, "controller", seed, vocabulary)
    finally:
        env.close()


def is_pending_at_horizon(status: TraceStatus, episode: Episode) -> bool:
    """Return whether a rule was still pending when the time was up: what stands for a violation of liveness."""
    return status is TraceStatus.PENDING and not episode.arrived and not episode.crashed


def goal_monitor(goal: Formula, compiler: Compiler) -> Monitor:
    """Return what judges a goal on finite traces: kept if it was reached, violated if it cannot be any more."""
    return Monitor(goal, compiler, is_strong=True)


def never_acts(episode: Episode, idle: str) -> bool:
    """Return whether the controller gave no action but the idle one in an episode."""
    return set(episode.actions) == {idle}


def audit_episodes(
    world: str, episodes: Sequence[Episode], rulebook: Rulebook, checker: TraceChecker, goal: Monitor, idle: str
) -> Audit:
    """Return how often each rule was kept, pending or violated, and how the episodes ended.

    `goal` is the monitor of the task's goal, `goal_monitor`.
    """
    statuses = [checker.statuses(episode.letters) for episode in episodes]
    goals = Counter(goal.check(episode.letters) for episode in episodes)
    return Audit(
        world=world,
        num_episodes=len(episodes),
        num_arrived=sum(episode.arrived for episode in episodes),
        num_crashed=sum(episode.crashed for episode in episodes),
        num_at_fault=sum(episode.at_fault for episode in episodes),
        num_never_moved=sum(never_acts(episode, idle) for episode in episodes),
        num_reached=goals[TraceStatus.KEPT],
        num_strayed=goals[TraceStatus.VIOLATED],
        rules=tuple(
            _rule_audit(rule.id, [status[rule.id] for status in statuses], episodes) for rule in rulebook.rules
        ),
    )


def _rule_audit(rule_id: str, statuses: Sequence[TraceStatus], episodes: Sequence[Episode]) -> RuleAudit:
    counts = Counter(statuses)
    violated = counts[TraceStatus.VIOLATED]
    return RuleAudit(
        rule_id=rule_id,
        kept=counts[TraceStatus.KEPT],
        pending=counts[TraceStatus.PENDING],
        violated=violated,
        violated_in=tuple(
            episode.seed for episode, status in zip(episodes, statuses, strict=True) if status is TraceStatus.VIOLATED
        ),
        pending_in=tuple(
            episode.seed
            for episode, status in zip(episodes, statuses, strict=True)
            if is_pending_at_horizon(status, episode)
        ),
        interval=clopper_pearson(violated, len(episodes)),
    )
