"""Layouts: the roads of a world, the paths over them and where these meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .crossing import Crossing
from .path import Path

MEETING_DISTANCE = 3.0
"""Centre lines closer than this, in metres, cannot be used at once by two cars of 2 m width."""

SAMPLE_DISTANCE = 0.5
"""Distance in metres of the points at which two paths are compared."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a path meets another: from `start` to `end` metres on it, from `their_start` to `their_end` on that."""

    start: float
    end: float
    their_start: float
    their_end: float


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A road network with its paths (by arm and manoeuvre), crossings, and the zones between any two paths."""

    network: Any
    paths: Mapping[tuple[int, str], Path]
    crossings: Sequence[Crossing]
    zones: Mapping[tuple[Path, Path], Zone]

    def manoeuvres(self, arm: int) -> dict[str, Path]:
        """Return the paths that start on an arm, by manoeuvre."""
        return {manoeuvre: path for (start, manoeuvre), path in self.paths.items() if start == arm}


def make_layout(network: Any, paths: Sequence[Path], crossings: Sequence[Crossing]) -> Layout:
    """Return the layout of these paths, with the zones in which they meet."""
    points = {path: _points(path) for path in paths}
    zones = {
        (path, other): zone
        for path in paths
        for other in paths
        if path is not other and (zone := _zone(path, other, points[path], points[other]))
    }
    return Layout(network, {(path.arm, path.manoeuvre): path for path in paths}, tuple(crossings), zones)


Points = tuple[Any, Any, Any]


def _points(path: Path) -> Points:
    progress = np.arange(0, path.length, SAMPLE_DISTANCE)
    segments = np.array([path.segment(along) for along in progress])
    return progress, np.array([path.position(along) for along in progress]), segments


def _zone(path: Path, other: Path, mine: Points, theirs: Points) -> Zone | None:
    """Return where a path meets another inside its junction; lanes that both use are left to following."""
    distance = np.linalg.norm(mine[1][:, None] - theirs[1][None], axis=2)
    shared = np.array([[index == there for there in other.indices] for index in path.indices])
    inside = (mine[0] >= path.junction[0]) & (mine[0] <= path.junction[1])
    near = (distance < MEETING_DISTANCE) & ~shared[mine[2]][:, theirs[2]] & inside[:, None]
    if not near.any():
        return None
    rows, columns = mine[0][near.any(axis=1)], theirs[0][near.any(axis=0)]
    return Zone(float(rows[0]), float(rows[-1]), float(columns[0]), float(columns[-1]))
