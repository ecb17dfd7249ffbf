"""Audits: a controller at work in the simulator, episode by episode, judged on finite traces."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ...envs.episode import Episode, run_episode
from ...envs.policy import ControllerPolicy
from ...envs.scenario import make_env
from ...specs.processes.workers import in_order
from ...specs.rulebook import Rulebook
from ...specs.vocabulary import Vocabulary
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.controller import Reading
from ..checking.trace import TraceChecker, TraceStatus
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
    """What became of the episodes. `violated_in` of a rule are the seeds of the episodes that broke it."""

    world: str
    num_episodes: int
    num_arrived: int
    num_crashed: int
    num_at_fault: int
    num_never_moved: int
    rules: tuple[RuleAudit, ...]


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


def audit_episodes(
    world: str, episodes: Sequence[Episode], rulebook: Rulebook, checker: TraceChecker, idle: str
) -> Audit:
    """Return how often each rule was kept, pending or violated, and how the episodes ended."""
    statuses = [checker.statuses(episode.letters) for episode in episodes]
    return Audit(
        world=world,
        num_episodes=len(episodes),
        num_arrived=sum(episode.arrived for episode in episodes),
        num_crashed=sum(episode.crashed for episode in episodes),
        num_at_fault=sum(episode.at_fault for episode in episodes),
        num_never_moved=sum(set(episode.actions) == {idle} for episode in episodes),
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
