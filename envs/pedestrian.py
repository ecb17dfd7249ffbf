"""Pedestrians."""

from typing import Any

from highway_env.vehicle.objects import Obstacle

from .crossing import Crossing

WAITING_DISTANCE = 1.2
"""How far from the kerb a pedestrian waits, and how far beyond the other one it is gone, in metres."""


class Pedestrian(Obstacle):
    """An obstacle that walks over a crossing at `pace` m/s, from its start or, if `backwards`, from its end.

    `offset` is the way from the kerb it came from in metres, negative before it. It waits until `is_walking`.
    """

    LENGTH = 0.8  # [m]
    WIDTH = 0.8  # [m]

    def __init__(self, road: Any, crossing: Crossing, pace: float, backwards: bool = False) -> None:
        super().__init__(road, crossing.start)
        self.crossing = crossing
        self.pace = pace
        self.backwards = backwards
        self.is_walking = False
        self.place(-WAITING_DISTANCE)

    @property
    def is_gone(self) -> bool:
        """Whether it has left the crossing and its far kerb behind."""
        return self.offset > self.crossing.length + WAITING_DISTANCE

    def place(self, offset: float) -> None:
        """Put it `offset` metres beyond the kerb that it comes from."""
        self.offset = offset
        self.position = self.crossing.position(self.crossing.length - offset if self.backwards else offset)

    def step(self, seconds: float) -> None:
        """Walk on."""
        if self.is_walking:
            self.place(self.offset + self.pace * seconds)
