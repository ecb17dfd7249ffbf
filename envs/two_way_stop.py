"""The world `two_way_stop`."""

from .crossroads import crossroads
from .junction_env import JunctionEnv
from .layout import Layout
from .right_of_way import RightOfWay
from .traffic_light import TrafficLight


class TwoWayStop(JunctionEnv):
    """A four-way intersection with stop signs on the ego's road and the one opposite; the crossing road has none."""

    def make_layout(self) -> Layout:
        """Return the roads."""
        return crossroads()

    def make_right_of_way(self, light: TrafficLight | None) -> RightOfWay:
        """Return the rules: the crossing road goes first, and who comes from opposite stops before going."""
        return RightOfWay(main_arms=frozenset({1, 3}), stop_signs=frozenset({0, 2}))

    def labels(self) -> frozenset[str]:
        """Return the propositions that are true now; the stop sign is always there."""
        return super().labels() | {"stop_sign"}
