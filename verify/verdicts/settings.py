"""Settings: what decides a verdict besides controller, task and rulebook."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ...specs.logic import Formula
from ...specs.processes.forked import check_time_limit
from ...specs.recorded_waits import RecordingSet
from ...specs.task import Task
from ...specs.vocabulary import Vocabulary
from ...synth.controllers.controller import Controller, Ending, Reading
from ...synth.controllers.steps import MAX_STEPS
from ..checking.check import Runs
from ..records.verdict import Mode
from ..worlds.world import WorldKind

Gates = Sequence[tuple[str, Formula]]
"""Names of gates, with the formulas that runs must keep to pass them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What decides a verdict besides controller, task and rulebook.

    `time_limit` is in seconds for each formula, `deadline` for a whole verdict. `full_witnesses` leaves no instant out.
    `recordings` is the set of recorded waits that the timely gate replays.
    """

    world: WorldKind = WorldKind.SIMULATED
    mode: Mode = Mode.GATED
    runs: Runs = Runs.CHAIN
    reading: Reading = field(default_factory=Reading)
    max_steps: int = MAX_STEPS
    time_limit: float = 5.0
    deadline: float = 60.0
    witnesses: bool = True
    full_witnesses: bool = False
    recordings: RecordingSet = RecordingSet.REPORT

    def __post_init__(self) -> None:
        if self.mode is Mode.PAPER and (self.world is not WorldKind.UNIVERSAL or self.runs is not Runs.ALL):
            raise ValueError(
                f"paper mode judges all runs of the universal world, got {self.runs} runs of the {self.world} world"
            )
        check_time_limit(self.time_limit)
        check_time_limit(self.deadline, "deadline")

    @classmethod
    def of(cls, mode: Mode, *, world: WorldKind | None = None, runs: Runs | None = None, **others: Any) -> Self:
        """Return the settings of a mode, its own world and runs where none are asked for.

        Paper mode judges all runs of the universal world and ranks by raw counts (`Mode.quality`).
        """
        own = (WorldKind.UNIVERSAL, Runs.ALL) if mode is Mode.PAPER else (WorldKind.SIMULATED, Runs.CHAIN)
        return cls(mode=mode, world=world or own[0], runs=runs or own[1], **others)

    @property
    def is_timed(self) -> bool:
        """Whether recorded waits are replayed where they ship."""
        return self.mode is Mode.GATED and self.world is WorldKind.SIMULATED

    def judged(self, controller: Controller) -> Controller:
        """Return a controller as the mode has it: in paper mode it idles for ever after its last step, as published."""
        return replace(controller, end=None) if self.mode is Mode.PAPER else controller

    def gates(self, task: Task, vocabulary: Vocabulary) -> Gates:
        """Return the gates of a task that are model-checked; the timely gate is measured instead."""
        if self.mode is Mode.PAPER:
            return ()
        if self.reading.ending is Ending.ONE_SHOT:
            return (("goal", task.goal),)
        return (("goal", task.goal), ("progress", vocabulary.progress))
