"""Replays found by search: an episode in which a controller breaks a rule, among so many seeds."""

import time
from dataclasses import dataclass
from pathlib import Path

from ...envs.episode import Episode
from ...envs.policy import ControllerPolicy
from ...envs.replay import save_replay
from ...specs.domain import Domain
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.controller import Controller, Reading
from ...synth.controllers.hoa import is_hoa
from ..checking.compiled import Compiler
from ..checking.trace import Monitor, TraceStatus
from ..verdicts.response import read_controller
from .audit import FIRST_SEED, is_pending_at_horizon, run_one

_READ_AS_WRITTEN = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What a search for a violation of a rule found: the seed of an episode, or None after `num_tried` of them.

    `is_pending`: the episode does not break the rule but left it pending at the horizon, as liveness does.
    """

    rule_id: str
    seed: int | None
    is_pending: bool
    num_tried: int

    def __str__(self) -> str:
        if self.seed is None:
            return f"{self.rule_id}: not reproduced in {self.num_tried} episodes"
        shows = f"leaves {self.rule_id} pending at the horizon" if self.is_pending else f"breaks {self.rule_id}"
        return f"episode {self.seed}, which {shows},"


class ReplaySearch:
    """Looks for episodes that show what a verdict says. Made once: it keeps the automata of the rules it was asked for.

    A search drives at most `num_seeds` episodes, from the seeds that audits use, for at most `time_limit` seconds.
    """

    def __init__(
        self,
        domain: Domain,
        rulebook: Rulebook,
        reading: Reading = _READ_AS_WRITTEN,
        *,
        num_seeds: int = 60,
        time_limit: float = 10.0,
    ) -> None:
        self.domain = domain
        self.reading = reading
        self.num_seeds = num_seeds
        self.time_limit = time_limit
        self._formulas = {rule.id: rule.formula for rule in rulebook.rules}
        self._compiler = Compiler()
        self._monitors: dict[str, Monitor] = {}

    def find(self, text: str, task: Task, rule_id: str) -> Reproduction:
        """Return an episode of the controller in a response that breaks a rule, or what was tried.

        One that leaves the rule pending at the horizon counts if none of the others breaks it. Raises
        InvalidController, Unanswered if the rule takes too long to translate, and ValueError for a world that cannot
        be simulated.
        """
        monitor = self._monitor(rule_id)
        controller = read_controller(text, Alignment(self.domain.vocabulary), self.reading)
        deadline = time.monotonic() + self.time_limit
        pending, num_tried = None, 0
        while num_tried < self.num_seeds and time.monotonic() < deadline:
            seed = FIRST_SEED + num_tried
            num_tried += 1
            episode = run_one(text, task.world, self.domain.vocabulary, self.reading, seed)
            status = monitor.check(episode.letters)
            if status is TraceStatus.VIOLATED:
                return Reproduction(rule_id=rule_id, seed=seed, is_pending=False, num_tried=num_tried)
            is_pending = is_pending_at_horizon(status, episode) and not _has_ended(controller, episode)
            if pending is None and is_pending:
                pending = seed
                if not monitor.can_be_violated:
                    break
        return Reproduction(rule_id=rule_id, seed=pending, is_pending=pending is not None, num_tried=num_tried)

    def save(self, path: Path, text: str, task: Task, seed: int) -> Episode:
        """Write an episode of a controller as a GIF and return it; raises OSError and InvalidController."""
        return save_episode(path, text, task.world, seed, self.domain, self.reading)

    def _monitor(self, rule_id: str) -> Monitor:
        if rule_id not in self._monitors:
            self._monitors[rule_id] = Monitor(self._formulas[rule_id], self._compiler)
        return self._monitors[rule_id]


def save_episode(path: Path, text: str, world: str, seed: int, domain: Domain, reading: Reading) -> Episode:
    """Write an episode of the controller in a response as a GIF, its steps or states beside it, and return it."""
    controller = read_controller(text, Alignment(domain.vocabulary), reading)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = controller.names if is_hoa(text) else lines
    return save_replay(path, world, ControllerPolicy(controller), seed, domain.vocabulary, shown)


def _has_ended(controller: Controller, episode: Episode) -> bool:
    """Return whether a controller was behind its last step when an episode was over: nothing was left to come."""
    state = 0
    for labels in episode.labels:
        state = controller.react(state, labels).target
    return state == controller.end
