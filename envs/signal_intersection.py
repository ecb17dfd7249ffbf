"""The worlds `traffic_light` and `left_turn_light`."""

from typing import Any

from .crossroads import crossroads
from .junction_env import JunctionEnv
from .layout import Layout
from .right_of_way import RightOfWay
from .traffic_light import Phase, TrafficLight


class SignalIntersection(JunctionEnv):
    """A four-way intersection under a traffic light; with `left_arrow`, the ego's left turn has a light of its own."""

    @classmethod
    def default_config(cls) -> dict[str, Any]:
        """Return the options with their defaults."""
        return {**super().default_config(), "left_arrow": False}

    def make_layout(self) -> Layout:
        """Return the roads."""
        return crossroads()

    def make_light(self, random: Any) -> TrafficLight:
        """Return the traffic light."""
        return TrafficLight(random, left_arrow=self.config["left_arrow"])

    def make_right_of_way(self, light: TrafficLight | None) -> RightOfWay:
        """Return the rules: the light's, and left turns after the others."""
        return RightOfWay(light=light)

    def labels(self) -> frozenset[str]:
        """Return the propositions that are true now, the lights' included: never both, since one follows the other."""
        light = self.road.right_of_way.light
        assert light is not None
        lights = {Phase.THROUGH: {"green_traffic_light"}, Phase.ARROW: {"green_left_turn_light"}}
        return super().labels() | lights.get(light.phase, set())
