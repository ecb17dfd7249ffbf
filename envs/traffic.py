"""The cars that come and go."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from .ego_car import EgoCar
from .layout import Layout
from .path_car import CRUISING_SPEED
from .traffic_car import TrafficCar

LEAST_HEADWAY = 2.5
"""The least time in seconds between two cars that come on one arm."""
LEAST_GAP = 15.0
"""A car comes only where no other is closer on its lane, in metres between centres."""
WEIGHTS = {"go_straight": 3.0, "turn_left": 1.0, "turn_right": 1.0}
"""How often cars choose a manoeuvre, relative to each other."""
END = 5.0
"""A car leaves this far before the end of its path, in metres."""


class Traffic:
    """Cars that come at random on each arm (`cars_per_minute`) and leave where their path ends.

    Crashed ones are taken away at once, so that no wreck blocks a road; but when the ego has crashed, all stay.
    """

    def __init__(self, random: Generator, layout: Layout, cars_per_minute: Mapping[int, float]) -> None:
        self._mean_wait = {arm: 60 / rate - LEAST_HEADWAY for arm, rate in cars_per_minute.items() if rate > 0}
        self._random = dict(zip(self._mean_wait, random.spawn(len(self._mean_wait)), strict=True))
        self._paths = {arm: layout.manoeuvres(arm) for arm in self._mean_wait}
        self._wait = {arm: self._draw_wait(arm) for arm in self._mean_wait}

    def step(self, road: Any, seconds: float) -> None:
        """Let cars leave and come."""
        shown = any(isinstance(car, EgoCar) and car.crashed for car in road.vehicles)
        road.vehicles = [car for car in road.vehicles if isinstance(car, EgoCar) or shown or not _leaves(car)]
        for arm in self._wait:
            self._wait[arm] -= seconds
            if self._wait[arm] <= 0:
                self._wait[arm] = self._draw_wait(arm)
                self._add(road, arm)

    def _draw_wait(self, arm: int) -> float:
        return LEAST_HEADWAY + float(self._random[arm].exponential(max(self._mean_wait[arm], 0.0)))

    def _add(self, road: Any, arm: int) -> None:
        paths = self._paths[arm]
        weights = np.array([WEIGHTS[manoeuvre] for manoeuvre in paths])
        chosen = self._random[arm].choice(len(paths), p=weights / weights.sum())
        path = list(paths.values())[chosen]
        car = TrafficCar(road, path, 0.0, CRUISING_SPEED)
        others = (other for other in road.vehicles if other.lane_index == car.lane_index)
        if all(other.progress > LEAST_GAP for other in others):
            road.vehicles.append(car)


def _leaves(car: TrafficCar) -> bool:
    return bool(car.crashed or car.progress > car.path.length - END)
