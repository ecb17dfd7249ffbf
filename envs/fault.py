"""Whose fault a crash is."""

import numpy as np
from highway_env.vehicle.objects import RoadObject

STANDING_SPEED = 0.5
"""A car slower than this, in m/s, stands."""
SAME_DIRECTION = np.pi / 4
"""Headings that differ by less, in radians, are the same direction."""


def is_at_fault(ego: RoadObject, other: RoadObject) -> bool:
    """Return whether a crash of the ego is its own fault: unless it stood, or a car hit it from behind.

    From behind means: the other's centre lies behind the ego's, by more than it lies beside it, and it was the faster
    one in about the same direction.
    """
    if abs(ego.speed) < STANDING_SPEED:
        return False
    ahead, aside = _relative_position(ego, other)
    turned = (other.heading - ego.heading + np.pi) % (2 * np.pi) - np.pi
    return not (ahead < -abs(aside) and abs(turned) < SAME_DIRECTION and other.speed > ego.speed)


def _relative_position(ego: RoadObject, other: RoadObject) -> tuple[float, float]:
    offset = other.position - ego.position
    along = ego.direction
    return float(along @ offset), float(along[0] * offset[1] - along[1] * offset[0])
