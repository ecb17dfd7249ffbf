"""A drive in the simulator before and after training: what a verdict says must show there too."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from ...envs.episode import Episode
from ...envs.scenario import SCENARIOS
from ...specs.domain import Domain
from ...specs.processes.workers import in_order
from ...specs.rulebook import Rulebook
from ...specs.vocabulary import Vocabulary
from ...synth.controllers.controller import Reading
from ...verify.audits.audit import FIRST_SEED, goal_monitor, never_acts, run_controller
from ...verify.checking.compiled import Compiler
from ...verify.checking.trace import TraceChecker, TraceStatus
from ...verify.commands.terminal import progress
from ...verify.records.evaluation import Drive, DrivenRule, Drives, Share
from ...verify.records.run_files import RunFiles
from ..answers.responder import Responder
from ..answers.scored_answer import ScoredAnswer


@dataclass(frozen=True, slots=True)
class Driven:
    """A response, driven, with its episodes."""

    response: ScoredAnswer
    episodes: list[Episode]


class DriveComparison:
    """The drive of a run: one controller before and one after training for each task, on the same seeds."""

    def __init__(self, run: RunFiles, responder: Responder, rulebook: Rulebook) -> None:
        self.run = run
        self.responder = responder
        self.rulebook = rulebook

    def compare(self, before: Sequence[ScoredAnswer], after: Sequence[ScoredAnswer]) -> Drives | None:
        """Return how the episodes went before and after; None without a simulated world."""
        config, domain = self.responder.config, self.responder.domain
        pairs = drivers(before, after, domain)
        if not pairs or not config.evaluation.drive_seconds:
            return None
        with self.responder.times.stage("drive"), progress(self.responder.out, "  tasks", len(pairs)) as report:
            driven = drive(
                pairs,
                domain,
                config.settings.reading,
                config.evaluation.drive_episodes,
                config.evaluation.drive_seconds,
                config.num_processes,
                report,
            )
        limit = config.evaluation.drive_seconds
        first, second = (drive_score(side, domain, self.rulebook, limit) for side in driven)
        return Drives(before=first, after=second, num_left_out=len(pairs) - len(driven[0]))


def drivers(
    before: Sequence[ScoredAnswer], after: Sequence[ScoredAnswer], domain: Domain
) -> list[tuple[ScoredAnswer, ScoredAnswer]]:
    """Return one response before and one after for each task whose world can be simulated: the first that parse."""
    chosen = []
    for task in domain.tasks.values():
        first, second = (
            next((entry for entry in entries if entry.sample.task_id == task.id and entry.verdict.valid), None)
            for entries in (before, after)
        )
        if task.world in SCENARIOS and first and second:
            chosen.append((first, second))
    return chosen


def drive(
    pairs: Sequence[tuple[ScoredAnswer, ScoredAnswer]],
    domain: Domain,
    reading: Reading,
    num_episodes: int,
    seconds: float,
    num_processes: int,
    report: Callable[[int], None],
) -> tuple[list[Driven], list[Driven]]:
    """Return both controllers of each pair with their episodes, from the same seeds.

    When so many seconds are over, the pair that is waited for is the last: the rest is left out, both controllers of
    each pair.
    """
    deadline = time.monotonic() + seconds
    before: list[Driven] = []
    after: list[Driven] = []
    work = partial(_drive_pair, vocabulary=domain.vocabulary, reading=reading, num_episodes=num_episodes)
    with closing(in_order(work, [_jobs(pair, domain) for pair in pairs], num_processes)) as driven:
        for pair, (first, second) in zip(pairs, driven, strict=False):
            before.append(Driven(pair[0], first))
            after.append(Driven(pair[1], second))
            report(len(before))
            if time.monotonic() >= deadline:
                break
    return before, after


def drive_score(
    driven: Sequence[Driven], domain: Domain, rulebook: Rulebook, seconds_limit: float | None = None
) -> Drive:
    """Return how the episodes ended and how goals and the rules that decide fared in them."""
    compiler, idle = Compiler(), domain.vocabulary.idle
    episodes = [episode for entry in driven for episode in entry.episodes]

    def share(holds: Callable[[Episode], bool]) -> Share:
        counts = [sum(map(holds, entry.episodes)) for entry in driven]
        return Share.counted(counts, [len(entry.episodes) for entry in driven])

    return Drive(
        num_controllers=len(driven),
        num_episodes=len(episodes),
        seconds_limit=seconds_limit,
        arrived=share(lambda episode: episode.arrived),
        crashed=share(lambda episode: episode.crashed),
        at_fault=share(lambda episode: episode.at_fault),
        reached=_reached(driven, domain, compiler),
        never_acted=share(lambda episode: never_acts(episode, idle)),
        all_kept_crashed=_all_kept_crashed(driven),
        rules=_rules(driven, rulebook, compiler),
    )


def _reached(driven: Sequence[Driven], domain: Domain, compiler: Compiler) -> Share:
    """Return the share of episodes in which a controller reached the goal of its task."""
    counts = []
    for entry in driven:
        goal = goal_monitor(domain.task(entry.response.sample.task_id).goal, compiler)
        counts.append(sum(goal.check(episode.letters) is TraceStatus.KEPT for episode in entry.episodes))
    return Share.counted(counts, [len(entry.episodes) for entry in driven])


def _all_kept_crashed(driven: Sequence[Driven]) -> Share:
    """Return the share of controllers that crashed by their own fault among those whose verdict keeps all."""
    sizes = [int(entry.response.verdict.all_kept) for entry in driven]
    crashed = [any(episode.at_fault for episode in entry.episodes) for entry in driven]
    return Share.counted([size * count for size, count in zip(sizes, crashed, strict=True)], sizes)


def _rules(driven: Sequence[Driven], rulebook: Rulebook, compiler: Compiler) -> dict[str, DrivenRule]:
    checker = TraceChecker({rule.id: rule.formula for rule in rulebook.rules}, compiler)
    counts = {rule.id: [Counter[TraceStatus]() for _ in driven] for rule in rulebook.rules}
    for place, entry in enumerate(driven):
        for episode in entry.episodes:
            statuses = checker.statuses(episode.letters)
            for rule in entry.response.verdict.deciding:
                counts[rule.rule_id][place][statuses[rule.rule_id]] += 1
    return {rule_id: _driven_rule(found) for rule_id, found in counts.items() if any(found)}


def _driven_rule(found: Sequence[Counter[TraceStatus]]) -> DrivenRule:
    total = sum(found, Counter[TraceStatus]())
    violated = [counts[TraceStatus.VIOLATED] for counts in found]
    return DrivenRule(
        kept=total[TraceStatus.KEPT],
        pending=total[TraceStatus.PENDING],
        violated=total[TraceStatus.VIOLATED],
        share_violated=Share.counted(violated, [counts.total() for counts in found]),
    )


def _jobs(pair: tuple[ScoredAnswer, ScoredAnswer], domain: Domain) -> list[tuple[str, str]]:
    """Return the text of both responses and the world to drive them in."""
    return [(entry.sample.text, domain.task(entry.sample.task_id).world) for entry in pair]


def _drive_pair(
    jobs: list[tuple[str, str]], vocabulary: Vocabulary, reading: Reading, num_episodes: int
) -> list[list[Episode]]:
    seeds = range(FIRST_SEED, FIRST_SEED + num_episodes)
    return [run_controller(text, world, seeds, vocabulary, reading) for text, world in jobs]
