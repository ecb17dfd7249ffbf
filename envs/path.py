"""Paths: the lanes from one arm of a junction to another, measured by one coordinate."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from highway_env.road.road import RoadNetwork
from numpy.typing import NDArray

from .crossing import Crossing

LaneIndex = tuple[str, str, int]

COMING_TIME = 4.0
"""A car comes if at its present speed it reaches the watched part of its path within this time in seconds."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Path:
    """A way through a junction, in metres of progress from the start of its first lane.

    `arm` is where it starts (0 the ego's own, 1 at its left, 2 opposite, 3 at its right). `gates` are the places where
    a front bumper halts when the way beyond is not free. `junction` is the part in which other paths are met, and
    `watched` the part in which a car is in the ego's way: one that gets there within `coming_time` seconds comes.
    `arrival` is where the manoeuvre counts as done, and `crossings` are the pedestrian crossings on the way.
    """

    arm: int
    manoeuvre: str
    indices: tuple[LaneIndex, ...]
    lanes: tuple[Any, ...]
    starts: tuple[float, ...]
    gates: tuple[float, ...]
    junction: tuple[float, float]
    watched: tuple[float, float]
    coming_time: float
    arrival: float
    crossings: tuple[tuple[Crossing, float], ...] = ()
    start_of: Mapping[LaneIndex, float] = field(default_factory=dict)

    @property
    def length(self) -> float:
        """The length of all lanes in metres."""
        return float(self.starts[-1] + self.lanes[-1].length)

    def segment(self, progress: float) -> int:
        """Return the number of the lane that holds a progress in metres."""
        return max(bisect_right(self.starts, progress) - 1, 0)

    def position(self, progress: float) -> NDArray[np.float64]:
        """Return the point in metres at a progress in metres."""
        segment = self.segment(progress)
        point: NDArray[np.float64] = self.lanes[segment].position(progress - self.starts[segment], 0)
        return point

    def heading(self, progress: float) -> float:
        """Return the direction of travel in radians at a progress in metres."""
        segment = self.segment(progress)
        return float(self.lanes[segment].heading_at(progress - self.starts[segment]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The lanes of a path to be, for which places are found before the path is made."""

    indices: tuple[LaneIndex, ...]
    lanes: tuple[Any, ...]
    starts: tuple[float, ...]

    def nearest(self, x: float, y: float) -> float:
        """Return the progress in metres of the point of the course that is nearest to a point in metres."""
        return min(self._approaches(x, y))[1]

    def _approaches(self, x: float, y: float) -> list[tuple[float, float]]:
        point = np.array([x, y])
        found = []
        for lane, start in zip(self.lanes, self.starts, strict=True):
            along = float(np.clip(lane.local_coordinates(point)[0], 0, lane.length))
            found.append((float(np.linalg.norm(lane.position(along, 0) - point)), start + along))
        return found

    def path(
        self,
        *,
        arm: int,
        manoeuvre: str,
        gates: Sequence[float],
        junction: tuple[float, float],
        arrival: float,
        crossings: Sequence[Crossing] = (),
        watched: tuple[float, float] | None = None,
        coming_time: float = COMING_TIME,
    ) -> Path:
        """Return the path on these lanes; of the crossings it keeps those that it meets (2.5 m from their middle).

        Unless told otherwise, what is watched is the junction.
        """
        met = [
            (c, along) for c in crossings for distance, along in [min(self._approaches(*c.middle))] if distance < 2.5
        ]
        return Path(
            arm=arm,
            manoeuvre=manoeuvre,
            indices=self.indices,
            lanes=self.lanes,
            starts=self.starts,
            gates=tuple(gates),
            junction=junction,
            watched=watched or junction,
            coming_time=coming_time,
            arrival=arrival,
            crossings=tuple(met),
            start_of=dict(zip(self.indices, self.starts, strict=True)),
        )


def course(network: RoadNetwork, *nodes: str) -> Course:
    """Return the course along nodes of a road network that single lanes join."""
    indices = tuple((start, end, 0) for start, end in pairwise(nodes))
    lanes = tuple(network.get_lane(index) for index in indices)
    starts = tuple(accumulate((float(lane.length) for lane in lanes[:-1]), initial=0.0))
    return Course(indices=indices, lanes=lanes, starts=starts)
