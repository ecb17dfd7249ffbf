"""The world `roundabout`."""

from math import atan2, pi, radians
from typing import Any

from .junction_env import JunctionEnv
from .labeller import COMING_SPEED, pedestrian_labels
from .layout import Layout
from .path_car import PathCar
from .right_of_way import RightOfWay
from .ring import ENTRY_ANGLE, RADIUS, ring
from .traffic_light import TrafficLight

COMING_TIME = 6.0
"""A car on the ring comes if it reaches the ego's entry within this time in seconds.

The ego takes four to five from its line, which lies before a crossing.
"""
CLEARANCE = 5.0
"""A car on the ring is past the ego's entry when its front is this far beyond it, in metres: the length of a car."""


class Roundabout(JunctionEnv):
    """The entry of a roundabout with one lane, where cars on the ring go first.

    The first exit is the right turn, the second leads straight on, the third is the left turn. "pedestrian_in_front"
    is somebody on the crossing of the ego's entry, "pedestrian_at_right" somebody on that of the first exit.
    """

    @classmethod
    def default_config(cls) -> dict[str, Any]:
        """Return the options with their defaults."""
        return {**super().default_config(), "scaling": 5.0}

    def make_layout(self) -> Layout:
        """Return the roads."""
        return ring()

    def make_right_of_way(self, light: TrafficLight | None) -> RightOfWay:
        """Return the rules: who is on the ring is bound to go on, so the others wait for it."""
        return RightOfWay()

    def labels(self) -> frozenset[str]:
        """Return the propositions that are true now."""
        cars = {"car_from_left"} if any(comes_round(car) for car in self.road.vehicles[1:]) else set()
        return frozenset(cars | pedestrian_labels(self.road.pedestrians))


def comes_round(car: PathCar) -> bool:
    """Return whether a car moves on the ring and is at the ego's entry or `COMING_TIME` before it at its speed.

    Whether it will leave the ring before plays no part as long as it is on it.
    """
    start, end, _ = car.lane_index
    if start[0] not in "ex" or end[0] not in "ex" or car.speed <= COMING_SPEED:
        return False
    x, y = car.position
    way = RADIUS * ((atan2(y, x) - radians(ENTRY_ANGLE)) % (2 * pi)) - float(car.LENGTH) / 2
    return way < COMING_TIME * car.speed or way > 2 * pi * RADIUS - CLEARANCE - float(car.LENGTH) / 2
