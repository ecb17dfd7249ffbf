"""The cars around the ego."""

from typing import Any

from highway_env.vehicle.behavior import IDMVehicle
from highway_env.vehicle.objects import RoadObject

from .labeller import is_coming
from .path import Path
from .path_car import AT_LINE, COMFORTABLE_BRAKING, PathCar
from .pedestrian import Pedestrian


class TrafficCar(PathCar, IDMVehicle):
    """A car that keeps its distance by highway-env's Intelligent Driver Model and halts at its gates.

    It asks its road's right of way before each gate. Once it is let through it does not halt until the next one, so
    that no car ever waits inside a junction. The constants are its own: highway-env's classes keep theirs.
    """

    DISTANCE_WANTED = 7.5  # [m] between centres, at rest
    TIME_WANTED = 1.0  # [s]
    COMFORT_ACC_MAX = 3.0  # [m/s²]
    COMFORT_ACC_MIN = -4.0  # [m/s²]

    def __init__(self, road: Any, path: Path, progress: float, speed: float) -> None:
        super().__init__(road, path, progress, speed)
        self.has_stopped = False

    def act(self, action: Any = None) -> None:
        """Choose steering and acceleration for the next instant."""
        acceleration = self.acceleration(self, front_vehicle=self.road.leader(self))
        if not self._may_pass():
            acceleration = min(acceleration, self.acceleration_to_stop(self.next_gate))
        self.steer(float(acceleration))

    def _may_pass(self) -> bool:
        """Return whether it need not brake for a gate now; takes the right to pass as late as braking allows."""
        if self.gate and self.front < self.path.gates[self.gate - 1] and not is_coming(self):
            # It has hardly started: it asks again.
            self.gate -= 1
        distance = self.next_gate - self.front
        if distance > self.speed**2 / (2 * COMFORTABLE_BRAKING) + self.speed * self.road.time_step + AT_LINE:
            return True
        self.has_stopped |= self.stands_at_line
        if not self.road.right_of_way.may_enter(self, self.road):
            return False
        self.gate += 1
        return True

    def lane_distance_to(self, other: RoadObject, lane: Any = None) -> float:
        """Return the way to another car along the path in metres."""
        if isinstance(other, PathCar):
            return float(self.road.distance_ahead(self, other)) or 0.0
        return float(super().lane_distance_to(other, lane))

    def handle_collisions(self, other: RoadObject, dt: float = 0) -> None:
        """Check for a collision; pedestrians and the cars around the ego keep clear of each other by their gates."""
        if not isinstance(other, Pedestrian):
            super().handle_collisions(other, dt)
