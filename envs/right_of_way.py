"""Who may enter a junction."""

from dataclasses import dataclass
from typing import Any

from .ego_car import EgoCar
from .labeller import is_coming
from .layout import Zone
from .path import Path
from .path_car import PathCar
from .traffic_car import TrafficCar
from .traffic_light import TrafficLight

ACCEPTED_GAP = 4.5
"""A car enters before another that has the right of way only if that one is this far away, in seconds."""
EXPECTED_SPEED = 5.0
"""The least speed in m/s that is expected of a car that is bound to pass, such as one that just starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RightOfWay:
    """The rules of a junction: its light if it has one, the arms of its main road, the arms with a stop sign."""

    light: TrafficLight | None = None
    main_arms: frozenset[int] = frozenset()
    stop_signs: frozenset[int] = frozenset()

    def is_closed(self, path: Path) -> bool:
        """Return whether a path's light is not green."""
        return self.light is not None and not self.light.is_open(path)

    def rank(self, path: Path) -> int:
        """Return the rank of a path: on the main road before others, left turns after others of their road."""
        return 2 * (path.arm in self.main_arms) + (path.manoeuvre != "turn_left")

    def may_enter(self, car: TrafficCar, road: Any) -> bool:
        """Return whether a car may pass its next gate.

        It may if its light is green, it has stopped for its stop sign, nobody walks on a crossing up to the gate
        after, and every car that meets it there is through, far away, or has to yield. A car that passes is bound to
        go on; so two of them never meet, and since none halts inside, none can block another for good.
        """
        path = car.path
        if self.is_closed(path) or (path.arm in self.stop_signs and not car.has_stopped):
            return False
        start = car.next_gate
        end = path.gates[car.gate + 1] if car.gate + 1 < len(path.gates) else path.length
        if any(start <= place < end and road.is_walked_on(crossing) for crossing, place in path.crossings):
            return False
        return not any(self._hinders(other, car, road, start, end) for other in road.vehicles if other is not car)

    def _hinders(self, other: PathCar, car: TrafficCar, road: Any, start: float, end: float) -> bool:
        zone: Zone | None = road.layout.zones.get((car.path, other.path))
        if zone is None or other.path.arm == car.path.arm or not start <= zone.start < end:
            return False
        if other.rear > zone.their_end:
            return False
        way: float = max(zone.their_start - other.front, 0.0)
        if other.next_gate > zone.their_start:
            return way < ACCEPTED_GAP * max(other.approach_speed, EXPECTED_SPEED)
        yields = not self.is_closed(other.path) and (
            self.rank(other.path) > self.rank(car.path) or self._lets_start(car, other)
        )
        return yields and way < ACCEPTED_GAP * other.approach_speed

    def _lets_start(self, car: TrafficCar, other: PathCar) -> bool:
        """Return whether a car leaves it to an ego that is told to move: one of no higher rank, or that does not come.

        So no car that an ego could not have seen as coming gets into its way.
        """
        if not (isinstance(other, EgoCar) and other.is_moving_on):
            return False
        return not is_coming(car) or self.rank(other.path) == self.rank(car.path)
