"""The layout of a four-way intersection with one lane each way (as in highway-env's, with the same names of nodes)."""

from functools import cache
from typing import Any

import numpy as np
from highway_env.road.lane import CircularLane, LineType, StraightLane
from highway_env.road.road import RoadNetwork

from .crossing import Crossing
from .layout import Layout, make_layout
from .path import Path, course

LANE_WIDTH = 4.0
"""Width of a lane in metres."""
HALF_SIZE = 11.0
"""Distance in metres from the centre to where turns begin."""
ACCESS_LENGTH = 60.0
"""Length in metres of the lanes that lead to the junction and away from it."""
OWN_LINE = 12.0
"""Distance in metres of the ego's stop line from the centre; no crossing lies before it."""
OTHER_LINE = 16.0
"""Distance in metres of the other arms' stop lines from the centre: before their crossings."""
CROSSING_DISTANCE = 13.5
"""Distance in metres of the crossings' middle lines from the centre."""
ARRIVAL_DISTANCE = 15.0
"""The way in metres on the exit lane after which the ego has arrived."""
LEFT_SPEED, RIGHT_SPEED, SPEED = 7.0, 6.0, 8.0
"""Speed limits in m/s of left turns, right turns and everything else."""
MANOEUVRES = {"turn_left": 1, "go_straight": 2, "turn_right": 3}
"""How many arms on, clockwise, each manoeuvre ends."""


@cache
def crossroads() -> Layout:
    """Return the four-way intersection; arm 0 lies to the south, 1 to the west, 2 to the north, 3 to the east."""
    network, kerb = RoadNetwork(), LANE_WIDTH
    for arm in range(4):
        _add_arm(network, arm)
    at = CROSSING_DISTANCE
    crossings = (
        Crossing(proposition="pedestrian_at_left", start=(-at, -kerb), end=(-at, kerb)),
        Crossing(proposition="pedestrian_in_front", start=(-kerb, -at), end=(kerb, -at)),
        Crossing(proposition="pedestrian_at_right", start=(at, -kerb), end=(at, kerb)),
    )
    paths = [_path(network, arm, manoeuvre, crossings) for arm in range(4) for manoeuvre in MANOEUVRES]
    return make_layout(network, paths, crossings)


def _path(network: RoadNetwork, arm: int, manoeuvre: str, crossings: tuple[Crossing, ...]) -> Path:
    end = (arm + MANOEUVRES[manoeuvre]) % 4
    way = course(network, f"o{arm}", f"ir{arm}", f"il{end}", f"o{end}")
    line = OTHER_LINE if arm else OWN_LINE
    return way.path(
        arm=arm,
        manoeuvre=manoeuvre,
        gates=[ACCESS_LENGTH + HALF_SIZE - line],
        junction=(way.starts[1], way.starts[2]),
        arrival=way.starts[2] + ARRIVAL_DISTANCE,
        crossings=crossings,
    )


def _add_arm(network: RoadNetwork, arm: int) -> None:
    """Add the lanes that start on an arm, and its exit. South is at a positive y, so turning right adds to angles."""
    angle = arm * np.pi / 2
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half, near, far = LANE_WIDTH / 2, HALF_SIZE, HALF_SIZE + ACCESS_LENGTH
    left_radius, right_radius = near + half, near - half
    left, straight, right = (f"il{(arm + turn) % 4}" for turn in (1, 2, 3))
    no, edge, striped = LineType.NONE, LineType.CONTINUOUS, LineType.STRIPED

    def line(start: tuple[float, float], end: tuple[float, float], *lines: int) -> Any:
        return StraightLane(rotation @ start, rotation @ end, line_types=lines, speed_limit=SPEED)

    network.add_lane(f"o{arm}", f"ir{arm}", line((half, far), (half, near), striped, edge))
    network.add_lane(f"ir{arm}", straight, line((half, near), (half, -near), no, no))
    network.add_lane(f"il{arm}", f"o{arm}", line((-half, near), (-half, far), no, edge))
    network.add_lane(
        f"ir{arm}",
        right,
        CircularLane(
            rotation @ (near, near),
            right_radius,
            angle + np.pi,
            angle + np.pi * 1.5,
            line_types=[no, edge],
            speed_limit=RIGHT_SPEED,
        ),
    )
    network.add_lane(
        f"ir{arm}",
        left,
        CircularLane(
            rotation @ (-near, near),
            left_radius,
            angle,
            angle - np.pi / 2,
            clockwise=False,
            line_types=[no, no],
            speed_limit=LEFT_SPEED,
        ),
    )
