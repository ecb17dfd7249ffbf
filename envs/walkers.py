"""The pedestrians that come and go."""

from typing import Any

from numpy.random import Generator

from .crossing import Crossing
from .layout import Layout
from .pedestrian import Pedestrian

PACE = (1.0, 1.6)
"""Slowest and fastest walk in m/s."""


class Walkers:
    """Pedestrians that come at random to each crossing (`pedestrians_per_minute`), from either side.

    They do not heed lights. One steps on unless a car is bound to pass its crossing soon (`JunctionRoad.is_driven_on`;
    an ego that is told to move is), and while it walks no car but the ego passes. Once it walks it walks on.
    """

    def __init__(self, random: Generator, layout: Layout, pedestrians_per_minute: float) -> None:
        busy = layout.crossings if pedestrians_per_minute > 0 else ()
        self._mean_wait = 60 / pedestrians_per_minute if busy else 0.0
        self._random = dict(zip(busy, random.spawn(len(busy)), strict=True))
        self._wait = {crossing: self._draw_wait(crossing) for crossing in busy}

    def step(self, road: Any, seconds: float) -> None:
        """Let pedestrians come, walk and leave."""
        for crossing in self._wait:
            self._wait[crossing] -= seconds
            if self._wait[crossing] <= 0:
                self._wait[crossing] = self._draw_wait(crossing)
                self._add(road, crossing)
        for person in road.pedestrians:
            person.is_walking = person.is_walking or not road.is_driven_on(person.crossing)
            person.step(seconds)
        road.objects = [thing for thing in road.objects if not (isinstance(thing, Pedestrian) and thing.is_gone)]

    def _draw_wait(self, crossing: Crossing) -> float:
        return float(self._random[crossing].exponential(self._mean_wait))

    def _add(self, road: Any, crossing: Crossing) -> None:
        random = self._random[crossing]
        road.objects.append(Pedestrian(road, crossing, float(random.uniform(*PACE)), bool(random.integers(2))))
