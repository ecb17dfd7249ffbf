"""The timely gate: judges a controller by the recorded waits of its task's world."""

from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from ...specs.domain import Domain
from ...specs.logic import buddy
from ...specs.recorded_waits import RecordedWaits, RecordingSet
from ...specs.task import Task
from ...synth.controllers.controller import Controller
from ..records.timely import TimelyLine, TimelyStatus, TimelyVerdict, TimelyWitness, status_of
from ..records.verdict import Mode
from ..worlds.replay import Replay
from ..worlds.safe_letters import safe_letters
from ..worlds.window import Window
from .prepared_world import PreparedWorld
from .settings import Settings

Asked = tuple[str, str, int, str]
"""A world, and what is asked of waits there: event, limit and premise."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is replayed for a task, and the share that a controller reaches which waits for no more than it must."""

    replay: Replay
    reference: float


class TimelyGate:
    """Judges controllers by one set of recorded waits; keeps what tasks have in common between controllers."""

    def __init__(self, domain: Domain, recordings: RecordingSet) -> None:
        self.domain = domain
        self.recordings = recordings
        self._waits: dict[str, RecordedWaits | None] = {}
        self._replays: dict[Asked, Replay] = {}
        self._questions: dict[tuple[Asked, frozenset[str]], _Question] = {}

    def judge(self, controller: Controller, task: Task, prepared: PreparedWorld) -> TimelyVerdict:
        """Return how often the event of a task began in time; raises InputError for recordings of other labels."""
        question = self._question(task, prepared)
        if question is None:
            return _verdict(task, self.recordings, (), None)
        replay = question.replay
        outcomes = zip(replay.windows, replay.run(controller), strict=True)
        lines = [_line(line, list(found)) for line, found in groupby(outcomes, key=lambda outcome: outcome[0].line)]
        # At some lines what a task presumes can never be.
        asked = tuple(line for line in lines if line.windows)
        return _verdict(task, self.recordings, asked, question.reference)

    def prepare(self, task: Task, prepared: PreparedWorld) -> None:
        """Read and lay out now what judging a task needs; raises InputError for recordings of other labels."""
        self._question(task, prepared)

    def missing(self, task: Task) -> str:
        """Return why nothing is replayed for a task to which no recorded wait gives a window."""
        if task.event is None:
            return "no recorded waits ship for a goal that names no action"
        replay = self._replay(task)
        if replay is None:
            return f"no recorded waits ship for {task.world!r}"
        if replay.windows:
            return f"{task.premise} never holds in the recorded waits of {task.world!r}"
        return f"no recorded wait of {task.world!r} lasts {task.limit} s, the limit of the task"

    def _question(self, task: Task, prepared: PreparedWorld) -> _Question | None:
        key = (_asked(task), frozenset(task.relevant))
        if key in self._questions:
            return self._questions[key]
        replay = self._replay(task)
        if replay is None or not any(window.counts for window in replay.windows):
            return None
        question = _Question(replay, self._reference(replay, task, prepared))
        if prepared.is_complete:
            self._questions[key] = question
        return question

    def _replay(self, task: Task) -> Replay | None:
        if task.world not in self._waits:
            self._waits[task.world] = self.domain.recorded_waits(task.world)
        waits = self._waits[task.world]
        if waits is None or task.event is None:
            return None
        key = _asked(task)
        if key not in self._replays:
            vocabulary = self.domain.vocabulary
            self._replays[key] = Replay(waits, self.recordings, vocabulary, task.event, task.limit, task.premise)
        return self._replays[key]

    def _reference(self, replay: Replay, task: Task, prepared: PreparedWorld) -> float:
        """Return the share, at the slowest line, of windows with a second at which the event breaks no safety rule."""
        actions = self.domain.vocabulary.action_ids
        rules = [rule.compiled for rule in prepared.rules if rule.applicable and rule.compiled is not None]
        safe = buddy.bddfalse
        for action in actions:
            if task.event is not None and action in task.event.propositions:
                safe = safe | safe_letters(action, rules, actions)
        met = [pair for pair in zip(replay.windows, replay.meets(safe), strict=True) if pair[0].counts]
        return min(fmean(is_met for _, is_met in found) for _, found in groupby(met, key=lambda pair: pair[0].line))


def why_not_timed(settings: Settings, task: Task, gate: TimelyGate, timely: TimelyVerdict | None) -> tuple[str, ...]:
    """Return why a verdict has no timely gate, as its note; empty where it has one."""
    if settings.mode is Mode.PAPER:
        return ("no timely gate: paper mode has no gates",)
    if not settings.is_timed:
        return ("no timely gate: it is asked in simulated worlds only",)
    if timely is not None and timely.status is TimelyStatus.NO_RECORDINGS:
        return (f"no timely gate: {gate.missing(task)}",)
    return ()


def _asked(task: Task) -> Asked:
    return task.world, str(task.event or ""), task.limit, str(task.premise or "")


def _line(line: int, outcomes: list[tuple[Window, bool]]) -> TimelyLine:
    counted = [outcome for outcome in outcomes if outcome[0].counts]
    missed = next((window for window, begun in counted if not begun), None)
    witness = TimelyWitness(seed=missed.seed, second=missed.second) if missed else None
    by_recording = groupby(counted, key=lambda outcome: (outcome[0].seed, outcome[0].after))
    found = [[begun for _, begun in group] for _, group in by_recording]
    return TimelyLine.counted(line, found, len(outcomes) - len(counted), witness)


def _verdict(
    task: Task, recordings: RecordingSet, lines: tuple[TimelyLine, ...], reference: float | None
) -> TimelyVerdict:
    return TimelyVerdict(
        event=str(task.event or ""),
        limit=task.limit,
        premise=str(task.premise or ""),
        recordings=recordings,
        status=status_of(lines),
        lines=lines,
        reference=reference,
    )
