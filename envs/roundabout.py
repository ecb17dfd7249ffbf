"""The world `roundabout`."""

from typing import Any

from .junction_env import JunctionEnv
from .labeller import ego_labels, is_coming, pedestrian_labels
from .layout import Layout
from .right_of_way import RightOfWay
from .ring import ring
from .traffic_light import TrafficLight


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
        """Return the rules: who is on the ring is bound to go on, so the others wait for it, wherever they go."""
        return RightOfWay(left_turns_wait=False)

    def labels(self) -> frozenset[str]:
        """Return the propositions that are true now; whoever comes round, comes from the left."""
        cars = {"car_from_left"} if any(is_coming(car) for car in self.road.vehicles[1:]) else set()
        return frozenset(cars | pedestrian_labels(self.road.pedestrians) | ego_labels(self.vehicle))
