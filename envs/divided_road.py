"""The layout of a divided road, which the ego's road crosses in two stages."""

from functools import cache
from typing import Any

import numpy as np
from highway_env.road.lane import CircularLane, LineType, StraightLane
from highway_env.road.road import RoadNetwork

from .crossing import Crossing
from .layout import Layout, make_layout
from .path import Path, course

HALF_MEDIAN = 12.0
"""Distance in metres of the middle of each carriageway from the middle of the median."""
ROAD_LENGTH = 60.0
"""Distance in metres of the ends of the divided road from the ego's road."""
ACCESS_LENGTH = 50.0
"""Length in metres of the ego's lane before its first line, and of the lane beyond the far carriageway."""
FIRST_LINE, SECOND_LINE = 17.0, -7.0
"""Where the ego halts before each carriageway, in metres to the south of the middle: 3 m from its edge."""
RIGHT_RADIUS, LEFT_RADIUS = 7.0, 6.0
"""Radii of the ego's turns in metres."""
YIELD_DISTANCE = 1.0
"""How far before the junction a car halts while the ego crosses, in metres."""
TURN_SPEED, SPEED = 5.0, 8.0
"""Speed limits in m/s of turns and of everything else."""
ARRIVAL_DISTANCE = 15.0
"""The way in metres beyond the last turn or crossing after which the ego has arrived."""
LANE = 2.0
"""Distance in metres of the ego's lane from the middle of its road."""


@cache
def divided_road() -> Layout:
    """Return the divided road: the near carriageway leads from arm 1 (west) to 3, the far one from 3 to 1."""
    network = _network()
    crossing = Crossing(proposition="pedestrian_in_front", start=(-4.0, -18.0), end=(4.0, -18.0))
    paths = [
        _own_path(network, "turn_right", ("o0", "n1", "w1", "w2"), [FIRST_LINE], crossing),
        _own_path(network, "go_straight", ("o0", "n1", "m1", "f1", "o2"), [FIRST_LINE, SECOND_LINE], crossing),
        _own_path(network, "turn_left", ("o0", "n1", "m1", "e1", "e2"), [FIRST_LINE, SECOND_LINE], crossing),
        _passing(network, 1, ("w0", "w1", "w2"), before=-4.0, behind=9.0),
        _passing(network, 3, ("e0", "e1", "e2"), before=8.0, behind=-5.0),
    ]
    return make_layout(network, paths, [crossing])


def _own_path(
    network: RoadNetwork, manoeuvre: str, nodes: tuple[str, ...], lines: list[float], crossing: Crossing
) -> Path:
    way = course(network, *nodes)
    return way.path(
        arm=0,
        manoeuvre=manoeuvre,
        gates=[way.nearest(LANE, line) for line in lines],
        junction=(way.starts[1], way.starts[-1]),
        arrival=way.starts[-1] + ARRIVAL_DISTANCE,
        crossings=[crossing],
    )


def _passing(network: RoadNetwork, arm: int, nodes: tuple[str, ...], *, before: float, behind: float) -> Path:
    """Return a carriageway's path; `before` and `behind` are where its junction starts and ends, in metres east."""
    way = course(network, *nodes)
    y = HALF_MEDIAN if arm == 1 else -HALF_MEDIAN
    start = way.nearest(before, y)
    return way.path(
        arm=arm,
        manoeuvre="go_straight",
        gates=[start - YIELD_DISTANCE],
        junction=(start, way.nearest(behind, y)),
        arrival=way.starts[-1],
    )


def _network() -> RoadNetwork:
    """Return the lanes: w from the west, e from the east, o0 to o2 the ego's own, n, m and f where it meets them."""
    network = RoadNetwork()
    no, edge = LineType.NONE, LineType.CONTINUOUS
    right, left = RIGHT_RADIUS, LEFT_RADIUS
    near, far = HALF_MEDIAN, -HALF_MEDIAN
    south, north = near + right, far + left

    def straight(start: str, end: str, ends: tuple[float, float, float, float], *lines: int) -> None:
        lane = StraightLane(ends[:2], ends[2:], line_types=lines, speed_limit=SPEED)
        network.add_lane(start, end, lane)

    def turn(start: str, end: str, centre: tuple[float, float], radius: float, *phases: float, **more: Any) -> None:
        angles = [np.deg2rad(phase) for phase in phases]
        lane = CircularLane(centre, radius, *angles, line_types=[no, no], speed_limit=TURN_SPEED, **more)
        network.add_lane(start, end, lane)

    straight("w0", "w1", (-ROAD_LENGTH, near, LANE + right, near), edge, edge)
    straight("w1", "w2", (LANE + right, near, ROAD_LENGTH, near), edge, edge)
    straight("e0", "e1", (ROAD_LENGTH, far, LANE - left, far), edge, edge)
    straight("e1", "e2", (LANE - left, far, -ROAD_LENGTH, far), edge, edge)
    straight("o0", "n1", (LANE, south + ACCESS_LENGTH, LANE, south), LineType.STRIPED, edge)
    straight("n1", "m1", (LANE, south, LANE, north), no, no)
    straight("m1", "f1", (LANE, north, LANE, far - 4.0), no, no)
    straight("f1", "o2", (LANE, far - 4.0, LANE, far - 4.0 - ACCESS_LENGTH), LineType.STRIPED, edge)
    # Nobody comes the other way on the ego's road: these are there to be seen.
    straight("s1", "s2", (-LANE, south, -LANE, south + ACCESS_LENGTH), no, edge)
    straight("t1", "t2", (-LANE, far - 4.0 - ACCESS_LENGTH, -LANE, far - 4.0), no, edge)
    turn("n1", "w1", (LANE + right, south), right, 180, 270)
    turn("m1", "e1", (LANE - left, north), left, 0, -90, clockwise=False)
    return network
