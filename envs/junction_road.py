"""The road of a world: everything that moves on it, and its time."""

from highway_env.road.road import Road
from numpy.random import Generator

from .crossing import Crossing
from .layout import Layout
from .path_car import PathCar
from .pedestrian import Pedestrian
from .right_of_way import RightOfWay
from .traffic import Traffic
from .walkers import Walkers

SIGHT = 40.0
"""How far ahead a driver looks for the car in front, in metres between centres."""
NEAR = 35.0
"""A pedestrian lets a car pass that is told to move and closer than this, in metres; one that cannot halt, anyway."""
TURNED_OFF = 6.0
"""A car has left another's lane when its rear bumper is this far beyond it, in metres: 3 m aside from the ring."""


class JunctionRoad(Road):
    """A road on which lights change, cars come and go, and pedestrians walk. Its vehicles are `PathCar`s.

    `time_step` is the time between two instants of the simulation in seconds.
    """

    def __init__(
        self,
        layout: Layout,
        right_of_way: RightOfWay,
        traffic: Traffic,
        walkers: Walkers,
        *,
        time_step: float,
        np_random: Generator,
    ) -> None:
        super().__init__(layout.network, np_random=np_random)
        self.layout = layout
        self.right_of_way = right_of_way
        self.traffic = traffic
        self.walkers = walkers
        self.time_step = time_step

    @property
    def pedestrians(self) -> list[Pedestrian]:
        """All pedestrians, those that wait included."""
        return [thing for thing in self.objects if isinstance(thing, Pedestrian)]

    def step(self, dt: float) -> None:
        """Let time pass for everything on the road."""
        if self.right_of_way.light:
            self.right_of_way.light.step(dt)
        self.walkers.step(self, dt)
        super().step(dt)
        self.traffic.step(self, dt)

    def is_walked_on(self, crossing: Crossing) -> bool:
        """Return whether a pedestrian is on a crossing or on the way to it."""
        return any(person.crossing is crossing and person.is_walking for person in self.pedestrians)

    def is_driven_on(self, crossing: Crossing) -> bool:
        """Return whether a car is bound to pass a crossing before it could halt, and is near or cannot be stopped."""
        return any(_will_pass(car, crossing) for car in self.vehicles)

    def leader(self, car: PathCar) -> PathCar | None:
        """Return the next car ahead on a car's path within `SIGHT`, or None."""
        leader, nearest = None, SIGHT
        for other in self.vehicles:
            if 0 < (distance := self.distance_ahead(car, other)) < nearest:
                leader, nearest = other, distance
        return leader

    def distance_ahead(self, car: PathCar, other: PathCar) -> float:
        """Return how far ahead another is on a car's path, in metres between centres; 0 if it is not on it.

        A car is still on it while it turns off.
        """
        start = car.path.start_of.get(other.lane_index)
        if start is not None:
            return start + other.along_lane - car.progress
        if other.path.arm == car.path.arm:
            zone = self.layout.zones.get((car.path, other.path))
            if zone and other.rear < zone.their_end:
                return other.progress - car.progress
        left = car.path.start_of.get(other.path.indices[other.segment - 1]) if other.segment else None
        if left is not None and other.along_lane - other.LENGTH / 2 < TURNED_OFF:
            return left + float(other.path.lanes[other.segment - 1].length) + other.along_lane - car.progress
        return 0.0


def _will_pass(car: PathCar, crossing: Crossing) -> bool:
    return any(
        met is crossing
        and place < car.bound
        and car.rear < place + crossing.width / 2
        and (place - car.front < NEAR or car.is_committed)
        for met, place in car.path.crossings
    )
