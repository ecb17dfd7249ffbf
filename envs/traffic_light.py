"""Traffic lights with seeded random durations."""

from enum import StrEnum

from numpy.random import Generator

from .path import Path


class Phase(StrEnum):
    """Who has green: the ego's road, the ego's left turn alone, the crossing road, or nobody."""

    THROUGH = "through"
    ARROW = "arrow"
    CROSS = "cross"
    CLEARING = "clearing"


DURATIONS = {Phase.THROUGH: (4.0, 8.0), Phase.ARROW: (3.0, 6.0), Phase.CROSS: (4.0, 8.0), Phase.CLEARING: (3.0, 3.0)}
"""Shortest and longest duration of each phase in seconds; `CLEARING` is amber for those who had green.

It lasts until whoever entered at the last moment of green has left the way of those who start next.
"""


class TrafficLight:
    """The lights of an intersection: the ego's road, optionally its left arrow, then the crossing road, and so on.

    Between two of them all is closed. The first phase and its age are random.
    """

    def __init__(self, random: Generator, *, left_arrow: bool) -> None:
        self._random = random
        self.has_arrow = left_arrow
        greens = [Phase.THROUGH, Phase.ARROW, Phase.CROSS] if left_arrow else [Phase.THROUGH, Phase.CROSS]
        self._cycle = [phase for green in greens for phase in (green, Phase.CLEARING)]
        self._number = int(random.integers(len(self._cycle)))
        self._left = self._duration() * random.uniform()

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self._cycle[self._number]

    @property
    def previous(self) -> Phase:
        """The phase before, which is the one with green during `CLEARING`."""
        return self._cycle[self._number - 1]

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self._left -= seconds
        while self._left <= 0:
            self._number = (self._number + 1) % len(self._cycle)
            self._left += self._duration()

    def is_open(self, path: Path) -> bool:
        """Return whether a path has green."""
        return _has_green(self.phase, path.arm, path.manoeuvre)

    def colour(self, arm: int, manoeuvre: str = "go_straight") -> str:
        """Return "green", "amber" or "red", as an arm's light for a manoeuvre shows."""
        if _has_green(self.phase, arm, manoeuvre):
            return "green"
        return "amber" if self.phase == Phase.CLEARING and _has_green(self.previous, arm, manoeuvre) else "red"

    def _duration(self) -> float:
        return float(self._random.uniform(*DURATIONS[self.phase]))


def _has_green(phase: Phase, arm: int, manoeuvre: str) -> bool:
    if phase == Phase.ARROW:
        return arm == 0 and manoeuvre == "turn_left"
    return phase == (Phase.CROSS if arm % 2 else Phase.THROUGH)
