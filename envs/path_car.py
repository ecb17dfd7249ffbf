"""Cars that follow a path."""

from math import inf, sqrt
from typing import Any

from highway_env.vehicle.controller import ControlledVehicle
from highway_env.vehicle.kinematics import Vehicle

from .path import Path

CRUISING_SPEED = 8.0
"""What a car drives at where no lane is slower, in m/s."""
MAX_BRAKING = 6.0
"""The strongest deceleration in m/s²."""
COMFORTABLE_BRAKING = 2.5
"""The deceleration in m/s² of a car that stops at a line."""
REACTION_TIME = 1.0
"""How long a driver takes at most, in seconds, until it decides anew: the ego decides once a second."""
LINE_GAP = 0.5
"""How far before its line a front bumper halts, in metres."""
AT_LINE = 1.0
"""A car that stands this close to its line, in metres, stands at it."""
AT_REST = 0.3
"""A car slower than this, in m/s, stands."""
EXPECTED_SPEED = 5.0
"""The least speed in m/s that is expected of a car that is bound to pass, such as one that just starts."""


class PathCar(ControlledVehicle):
    """A car with highway-env's steering and kinematics whose lanes are those of its path, never the closest ones.

    `progress` is the place of its centre on the path in metres, and `gate` the number of gates that it has passed or
    is bound to pass. Its road is a `JunctionRoad`.
    """

    def __init__(self, road: Any, path: Path, progress: float, speed: float) -> None:
        super().__init__(road, path.position(progress), path.heading(progress), speed, target_speed=CRUISING_SPEED)
        self.path = path
        self.progress = progress
        self.gate = 0
        self._enter(path.segment(progress))

    @property
    def front(self) -> float:
        """The progress of the front bumper in metres."""
        return self.progress + float(self.LENGTH) / 2

    @property
    def rear(self) -> float:
        """The progress of the rear bumper in metres."""
        return self.progress - float(self.LENGTH) / 2

    @property
    def next_gate(self) -> float:
        """The progress in metres of the next gate at which it may halt; infinite after the last one."""
        return self.path.gates[self.gate] if self.gate < len(self.path.gates) else inf

    @property
    def bound(self) -> float:
        """The progress in metres up to which it will surely drive."""
        return self.next_gate

    @property
    def braking_distance(self) -> float:
        """The way in metres in which it comes to rest with `MAX_BRAKING`."""
        return float(self.speed**2 / (2 * MAX_BRAKING) + self.speed * self.road.time_step)

    @property
    def is_committed(self) -> bool:
        """Whether it is past its last gate, or too close to the next to halt if it decides so `REACTION_TIME` later."""
        if self.gate == len(self.path.gates):
            return True
        return self.next_gate - self.front < REACTION_TIME * float(self.speed) + self.braking_distance

    @property
    def stands_at_line(self) -> bool:
        """Whether it stands, and at its next gate."""
        return bool(self.speed < AT_REST and 0 <= self.next_gate - self.front < AT_LINE)

    @property
    def has_set_off(self) -> bool:
        """Whether it was let through a gate and speeds up, however slow it still is."""
        return self.gate > 0 and float(self.action["acceleration"]) > 0

    @property
    def along_lane(self) -> float:
        """The place of the centre on the current lane in metres."""
        return self.progress - self.path.starts[self.segment]

    @property
    def approach_speed(self) -> float:
        """How fast others must expect it at the junction, in m/s."""
        return float(self.speed)

    def steer(self, acceleration: float) -> None:
        """Follow the lane with an acceleration in m/s², kept within the brakes' power; never drive backwards."""
        lowest = max(-MAX_BRAKING, -self.speed / self.road.time_step)
        steering = self.steering_control(self.lane_index)
        Vehicle.act(self, {"steering": steering, "acceleration": max(acceleration, lowest)})

    def acceleration_to_stop(self, progress: float) -> float:
        """Return the acceleration in m/s² that brings the front bumper to rest short of a place, comfortably."""
        time_step: float = self.road.time_step
        # The simulator moves first and then changes the speed: this is the way that will be left.
        left = progress - LINE_GAP - self.front - float(self.speed) * time_step
        speed: float = min(sqrt(2 * COMFORTABLE_BRAKING * max(left, 0)), max(left, 0) / time_step, self.speed_limit)
        return (speed - float(self.speed)) / time_step

    @property
    def speed_limit(self) -> float:
        """The speed in m/s at which it drives on its current lane."""
        return min(CRUISING_SPEED, float(self.lane.speed_limit))

    def follow_road(self) -> None:
        """Do nothing: the lane changes with the progress."""

    def on_state_update(self) -> None:
        """Update lane and progress from the position."""
        along, _ = self.lane.local_coordinates(self.position)
        if along > self.lane.length and self.segment + 1 < len(self.path.lanes):
            self._enter(self.segment + 1)
            along, _ = self.lane.local_coordinates(self.position)
        self.progress = self.path.starts[self.segment] + float(along)

    def _enter(self, segment: int) -> None:
        self.segment = segment
        self.lane_index = self.target_lane_index = self.path.indices[segment]
        self.lane = self.path.lanes[segment]
