"""The world `wide_median`."""

from .divided_road import divided_road
from .junction_env import JunctionEnv
from .layout import Layout
from .right_of_way import RightOfWay
from .traffic_light import TrafficLight


class WideMedian(JunctionEnv):
    """A divided road that the ego crosses one half at a time, with a line before each half.

    Up to the first line only cars from the left are reported, after it only those from the right. A right turn leads
    on to the near half; who wants to turn right on the median stays on its way instead.
    """

    def make_layout(self) -> Layout:
        """Return the roads."""
        return divided_road()

    def make_right_of_way(self, light: TrafficLight | None) -> RightOfWay:
        """Return the rules: the divided road goes first."""
        return RightOfWay(main_arms=frozenset({1, 3}))

    def labels(self) -> frozenset[str]:
        """Return the propositions that are true now; never cars from both sides."""
        return super().labels() - {"car_from_left" if self.is_on_median() else "car_from_right"}

    def is_on_median(self) -> bool:
        """Return whether the ego is past its first line and decides about the far half: the near one it must clear."""
        return len(self.vehicle.path.gates) == 2 and bool(self.vehicle.gate > 0)
