"""The layout of a roundabout with one lane."""

from functools import cache
from math import atan2, degrees, radians, sqrt

import numpy as np
from highway_env.road.lane import CircularLane, LineType, StraightLane
from highway_env.road.road import RoadNetwork

from .crossing import Crossing
from .crossroads import MANOEUVRES
from .layout import Layout, make_layout
from .path import Path, course

RADIUS = 18.0
"""Radius of the middle of the ring's lane in metres."""
ENTRY_RADIUS = 10.0
"""Radius in metres of the bends that lead into the ring and out of it."""
ACCESS_LENGTH = 50.0
"""Length of the lanes that lead to the bends and away from them in metres."""
HALF = 2.0
"""Distance in metres of a lane's middle from the middle of its road."""
BEND = sqrt((RADIUS + ENTRY_RADIUS) ** 2 - (ENTRY_RADIUS + HALF) ** 2)
"""Distance from the centre in metres of where the bends begin: there they touch the ring's lane."""
ENTRY_ANGLE = degrees(atan2(BEND, ENTRY_RADIUS + HALF))
"""Angle in degrees, from the east, of where the southern entry joins the ring."""
CROSSING_DISTANCE, LINE_DISTANCE, EXIT_LINE_DISTANCE = BEND + 3.0, BEND + 6.0, BEND + 0.5
"""Distance from the centre in metres of a crossing's middle, and of the lines before it on the way in and out."""
ENTRY_ZONE = 3.0
"""How far on the ring in metres a car that enters still looks for those that are on it."""
COMING_TIME = 6.0
"""A car on the ring or on the bend into it comes if it reaches the ego's entry within this time in seconds.

The ego takes four to five from its line, which lies before a crossing.
"""
SPEED, RING_SPEED = 8.0, 6.0
"""Speed limits in m/s of the roads and of the ring with its bends."""
CROSSED_ARMS = (0, 3)
"""The arms with a crossing: the ego's and the one at its right."""
ARRIVAL_DISTANCE = 12.0
"""The way in metres on the exit road after which the ego has arrived."""


@cache
def ring() -> Layout:
    """Return the roundabout; arms as at the crossroads. `CROSSED_ARMS` have a crossing."""
    network = _network()
    at, kerb = CROSSING_DISTANCE, 2 * HALF
    crossings = (
        Crossing(proposition="pedestrian_in_front", start=(-kerb, at), end=(kerb, at)),
        Crossing(proposition="pedestrian_at_right", start=(at, -kerb), end=(at, kerb)),
    )
    paths = [_path(network, arm, manoeuvre, crossings) for arm in range(4) for manoeuvre in MANOEUVRES]
    return make_layout(network, paths, crossings)


def _path(network: RoadNetwork, arm: int, manoeuvre: str, crossings: tuple[Crossing, ...]) -> Path:
    """Return a path round the ring, against the clock: past one exit after the other until its own."""
    nodes, at = [f"o{arm}", f"b{arm}", f"e{arm}"], arm
    end = (arm + MANOEUVRES[manoeuvre]) % 4
    while at != end:
        at = (at - 1) % 4
        nodes += [f"x{at}", f"e{at}"]
    way = course(network, *nodes[:-1], f"c{end}", f"o{end}")
    gates = [way.starts[1] - (LINE_DISTANCE - BEND)]
    # Only cars around the ego halt before the crossing of their exit.
    if arm and end in CROSSED_ARMS:
        gates.append(way.starts[-1] + EXIT_LINE_DISTANCE - BEND)
    # Where it meets the ego's entry, or would if it stayed on the ring, which nobody knows until it has left it.
    entry = way.starts[2] + RADIUS * radians(90.0 * (arm or 4))
    return way.path(
        arm=arm,
        manoeuvre=manoeuvre,
        gates=gates,
        junction=(gates[0], way.starts[2] + ENTRY_ZONE),
        arrival=way.starts[-1] + ARRIVAL_DISTANCE,
        crossings=crossings,
        watched=(entry, min(entry + ENTRY_ZONE, way.starts[-2])),
        coming_time=COMING_TIME,
    )


def _network() -> RoadNetwork:
    """Return the lanes: o to b to e leads into the ring, e to x is on it past an exit, x to c to o leads out of it."""
    network = RoadNetwork()
    no, edge, striped = LineType.NONE, LineType.CONTINUOUS, LineType.STRIPED
    far, bend = BEND + ACCESS_LENGTH, ENTRY_RADIUS + HALF

    def arc(start: str, end: str, centre: object, radius: float, first: float, last: float, *lines: int) -> None:
        clockwise, angles = last > first, np.deg2rad([first, last])
        lane = CircularLane(centre, radius, *angles, clockwise=clockwise, line_types=lines, speed_limit=RING_SPEED)
        network.add_lane(start, end, lane)

    for arm in range(4):
        turn = 90.0 * arm
        cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        ways = (f"o{arm}", f"b{arm}", (HALF, far), (HALF, BEND)), (f"c{arm}", f"o{arm}", (-HALF, BEND), (-HALF, far))
        for (start, end, first, last), lines in zip(ways, ((striped, edge), (no, edge)), strict=True):
            lane = StraightLane(rotation @ first, rotation @ last, line_types=lines, speed_limit=SPEED)
            network.add_lane(start, end, lane)
        entry, leaving = ENTRY_ANGLE + turn, 180 - ENTRY_ANGLE + turn
        arc(f"b{arm}", f"e{arm}", rotation @ (bend, BEND), ENTRY_RADIUS, 180 + turn, 180 + entry, no, edge)
        arc(f"x{arm}", f"c{arm}", rotation @ (-bend, BEND), ENTRY_RADIUS, leaving - 180, turn, no, edge)
        arc(f"x{arm}", f"e{arm}", (0.0, 0.0), RADIUS, leaving, entry, edge, no)
        arc(f"e{arm}", f"x{(arm - 1) % 4}", (0.0, 0.0), RADIUS, entry, leaving - 90, edge, no)
    return network
