"""Who may enter a junction."""

from dataclasses import dataclass
from typing import Any

from .ego_car import EgoCar
from .labeller import is_coming
from .layout import Zone
from .path import Path
from .path_car import EXPECTED_SPEED, PathCar
from .traffic_car import TrafficCar
from .traffic_light import TrafficLight

ACCEPTED_GAP = 4.5
"""A car at its gate enters before another that has the right of way only if that one is this far away, in seconds.

A car that rolls up to its gate asks before it is there, and needs the time until then as well.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RightOfWay:
    """The rules of a junction: its light if it has one, the arms of its main road, the arms with a stop sign.

    `left_turns_wait`: who turns left lets the others of its road go first.
    """

    light: TrafficLight | None = None
    main_arms: frozenset[int] = frozenset()
    stop_signs: frozenset[int] = frozenset()
    left_turns_wait: bool = True

    def is_closed(self, path: Path) -> bool:
        """Return whether a path's light is not green."""
        return self.light is not None and not self.light.is_open(path)

    def rank(self, path: Path) -> int:
        """Return the rank of a path: the main road's come first, and of one road's the left turns last."""
        return 2 * (path.arm in self.main_arms) + (self.left_turns_wait and path.manoeuvre != "turn_left")

    def may_enter(self, car: TrafficCar, road: Any) -> bool:
        """Return whether a car may pass its next gate.

        It may if its light is green, it has stopped for its stop sign, nobody walks on a crossing up to the gate
        after, and every car that meets it there is through, far away, or has to yield. An oncoming left turn that
        has waited for its gap clears the junction on amber. A car that passes is bound to go on; so two of them never
        meet, and since none halts inside, none can block another for good.
        """
        path = car.path
        # Those who get green after the ego's road wait for it; the ego need not see a car from the crossing road.
        clears = (path.arm, path.manoeuvre) == (2, "turn_left") and car.has_stopped and self._is_amber(path)
        if (self.is_closed(path) and not clears) or (path.arm in self.stop_signs and not car.has_stopped):
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
        gap = ACCEPTED_GAP + max(start - car.front, 0.0) / max(float(car.speed), EXPECTED_SPEED)
        if other.next_gate > zone.their_start:
            return way < gap * max(other.approach_speed, EXPECTED_SPEED)
        return self._goes_first(other, car) and way < gap * other.approach_speed

    def _goes_first(self, other: PathCar, car: TrafficCar) -> bool:
        """Return whether a car that is still before its gate goes before another.

        One of a higher rank does while its light is green; the ego even while it stands, since it may start. An ego
        that moves on also goes before one of its rank, and before one that does not come, so that no car that it could
        not have seen as coming gets into its way; and what it began at green it ends on amber.
        """
        moves_on = isinstance(other, EgoCar) and other.is_moving_on
        if self.is_closed(other.path) and not (moves_on and self._is_amber(other.path)):
            return False
        mine, theirs = self.rank(car.path), self.rank(other.path)
        return theirs > mine or (moves_on and (theirs == mine or not is_coming(car)))

    def _is_amber(self, path: Path) -> bool:
        return self.light is not None and self.light.colour(path.arm, path.manoeuvre) == "amber"
