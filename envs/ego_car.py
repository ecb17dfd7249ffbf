"""The car that a controller drives."""

from collections.abc import Mapping
from math import inf
from typing import Any

from highway_env.vehicle.objects import RoadObject

from ..specs.files.errors import expected_one_of
from .driving import driving
from .fault import is_at_fault
from .path import Path
from .path_car import CRUISING_SPEED, PathCar

MAX_ACCELERATION = 3.0
"""The strongest acceleration in m/s²."""
STARTING_SPEED = 4.0
"""The least speed in m/s that others expect of the ego before its line: it may start at any moment."""
HEADWAY = 1.0
"""The time in seconds in which the ego closes up on a slower car in its exit lane."""
STOP = "stop"


class EgoCar(PathCar):
    """A car that executes the vocabulary's actions.

    "stop" drives up to the next line and halts there; a car that is past its last line, or too close to it to halt
    with `MAX_BRAKING`, clears the junction instead. A manoeuvre takes that path as long as it leads on from the
    current lane and a line lies ahead; otherwise the old one stays. It watches no other car, except a slower one ahead
    of it beyond the junction.
    """

    color = (50, 200, 0)
    crashed: bool

    def __init__(self, road: Any, paths: Mapping[str, Path], manoeuvre: str, progress: float, speed: float) -> None:
        super().__init__(road, paths[manoeuvre], progress, speed)
        self.paths = paths
        self.command = STOP
        self.at_fault = False

    @property
    def is_moving_on(self) -> bool:
        """Whether its command is a manoeuvre, or it is too close to its line to halt there."""
        return self.command != STOP or not self._can_halt()

    @property
    def bound(self) -> float:
        """The progress in metres up to which it will surely drive; told to move, it will pass its line."""
        return inf if self.is_moving_on else self.next_gate

    @property
    def approach_speed(self) -> float:
        """How fast others must expect it at the junction, in m/s; told to move, it soon drives at its full speed."""
        return CRUISING_SPEED if self.is_moving_on else max(float(self.speed), STARTING_SPEED)

    @property
    def line_distance(self) -> float:
        """The way in metres from the front bumper to the next line, negative once it is past the last one."""
        return (self.path.gates[-1] if self.gate == len(self.path.gates) else self.next_gate) - self.front

    @property
    def has_arrived(self) -> bool:
        """Whether the manoeuvre is done."""
        return self.progress >= self.path.arrival

    def obey(self, command: str) -> None:
        """Take over an action of the vocabulary; raises ValueError for another."""
        if command not in (actions := driving().vocabulary.action_ids):
            raise ValueError(f"unknown action of the ego: {expected_one_of(str(command), actions)}")
        self.command = command
        path = self.paths.get(command, self.path)
        passed = self.segment + 1
        if self.line_distance >= 0 and path.indices[:passed] == self.path.indices[:passed]:
            self.path = path

    def act(self, action: Any = None) -> None:
        """Choose steering and acceleration for the next instant."""
        wanted = (self.speed_limit - float(self.speed)) / self.road.time_step
        acceleration = min(wanted, MAX_ACCELERATION, self._following())
        if self.command == STOP and self._can_halt():
            acceleration = min(acceleration, self.acceleration_to_stop(self.next_gate))
        self.steer(acceleration)

    def _can_halt(self) -> bool:
        return self.braking_distance <= self.next_gate - self.front

    def on_state_update(self) -> None:
        """Update lane, progress and the number of lines passed."""
        super().on_state_update()
        while self.front > self.next_gate:
            self.gate += 1

    def handle_collisions(self, other: RoadObject, dt: float = 0) -> None:
        """Check for a collision and, at the first one, decide whose fault it is.

        highway-env announces a collision within the next instant by an impact: that is a crash already.
        """
        if self.crashed:
            return
        super().handle_collisions(other, dt)
        self.crashed = self.crashed or self.impact is not None
        self.at_fault = bool(self.crashed and is_at_fault(self, other))

    def _following(self) -> float:
        """Return the acceleration in m/s² that keeps a distance from a car ahead beyond the junction."""
        leader = self.road.leader(self)
        if leader is None:
            return MAX_ACCELERATION
        ahead = self.road.distance_ahead(self, leader)
        if self.progress + ahead < self.path.junction[1]:
            return MAX_ACCELERATION
        gap = ahead - 2 * self.LENGTH
        return float(leader.speed + gap / HEADWAY - self.speed) / HEADWAY
