"""Pedestrian crossings: where pedestrians walk and which proposition says that one does."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Crossing:
    """A crossing from kerb to kerb; `proposition` is true while a pedestrian is on it.

    `start` and `end` are the middles of its ends in metres, x to the east and y to the south.
    """

    proposition: str
    start: Point
    end: Point
    width: float = 3.0

    @property
    def length(self) -> float:
        """The way from kerb to kerb in metres."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @property
    def middle(self) -> Point:
        """The centre of the crossing in metres."""
        return (self.start[0] + self.end[0]) / 2, (self.start[1] + self.end[1]) / 2

    def position(self, offset: float) -> NDArray[np.float64]:
        """Return the point that lies `offset` metres beyond the starting kerb."""
        start, end = np.array(self.start), np.array(self.end)
        point: NDArray[np.float64] = start + (end - start) * (offset / self.length)
        return point
