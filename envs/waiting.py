"""Waits: an ego that stands at its line and watches, the first one or, behind a recorded way there, a later one."""

from collections.abc import Callable
from typing import Any

from ..specs.recorded_waits import RecordingSet, Wait, pack
from ..specs.vocabulary import Vocabulary
from .policy import SIGNALS
from .scenario import make_env

SECONDS = 180
"""How long a wait is recorded."""
NUM_WAITS = 70
"""How many are recorded for each line of a world in each set."""
FIRST_SEEDS = {RecordingSet.RANKING: 3_000_000, RecordingSet.REPORT: 4_000_000}
"""Neither what worlds are learned from nor what `drive` shows has these seeds."""
_PATIENCE = 200
"""How many seconds may go by until the way to a later line is clear, and until the ego stands there."""
Job = tuple[RecordingSet, int, str | None]
"""A set, a seed, and the manoeuvre whose second line is waited at, None for the first line."""


def wait_jobs(world: str) -> list[Job]:
    """Return what is recorded of a world: each line of each manoeuvre; the first is the same for all of them."""
    env: Any = make_env(world)
    env.reset(seed=0)
    paths = env.unwrapped.vehicle.paths
    env.close()
    lines = [None, *(name for name, path in paths.items() if len(path.gates) > 1)]
    return [
        (chosen, seed, after)
        for chosen, first in FIRST_SEEDS.items()
        for after in lines
        for seed in range(first, first + NUM_WAITS)
    ]


def record_wait(world: str, vocabulary: Vocabulary, job: Job) -> Wait | None:
    """Return the wait of a job, None if the ego was hit or never came to its line; equal jobs give equal waits."""
    chosen, seed, after = job
    env = make_env(world, duration=float(2 * _PATIENCE + SECONDS))
    try:
        drive = _Drive(env, vocabulary, seed)
        roll = 0
        if not drive.until_it_stands(vocabulary.idle):
            return None
        if after is not None:
            way = drive.to_the_next_line(after)
            if way is None:
                return None
            roll = len(way)
            drive.letters = way
        else:
            drive.letters = []
        if not all(drive.second(vocabulary.idle) for _ in range(SECONDS)):
            return None
        line = 1 if after is None else 2
        return Wait(recordings=chosen, seed=seed, line=line, after=after, roll=roll, labels=pack(drive.letters))
    finally:
        env.close()


class _Drive:
    """An episode under way. `letters` are those of the seconds that are over, `labels` and `distance` are now's."""

    def __init__(self, env: Any, vocabulary: Vocabulary, seed: int) -> None:
        self._env = env
        self._vocabulary = vocabulary
        _, info = env.reset(seed=seed)
        self._take(info)
        self.letters: list[int] = []

    def second(self, action: str) -> bool:
        """Let a second go by under an action; return whether the episode goes on."""
        self.letters.append(sum(1 << self._vocabulary.proposition_ids.index(name) for name in self.labels))
        _, _, terminated, truncated, info = self._env.step(self._vocabulary.action_ids.index(action))
        self._take(info)
        return not (terminated or truncated)

    def until_it_stands(self, idle: str) -> bool:
        """Drive up to the line; return whether the ego has come to stand there."""
        return self._until(idle, lambda before: self.distance >= 0 and abs(self.distance - before) < 0.01)

    def to_the_next_line(self, manoeuvre: str) -> list[int] | None:
        """Go as soon as nobody is there, and return the letters from the second after that up to standing again."""
        idle = self._vocabulary.idle
        is_clear = not self.labels - SIGNALS or self._until(idle, lambda before: not self.labels - SIGNALS)
        start = len(self.letters) + 1
        # Its distance jumps when the next line is the second one.
        if not is_clear or not self._until(manoeuvre, lambda before: self.distance > before + 1):
            return None
        return self.letters[start:] if self.until_it_stands(idle) else None

    def _until(self, action: str, is_reached: Callable[[float], bool]) -> bool:
        for _ in range(_PATIENCE):
            before = self.distance
            if not self.second(action):
                return False
            if is_reached(before):
                return True
        return False

    def _take(self, info: dict[str, Any]) -> None:
        self.labels = frozenset(info["labels"])
        self.distance = float(info["line_distance"])
