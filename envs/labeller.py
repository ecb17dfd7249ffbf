"""From the state of the simulator to propositions: when a car comes and when a pedestrian is there."""

from collections.abc import Iterable
from typing import Any

from .path_car import EXPECTED_SPEED, PathCar
from .pedestrian import Pedestrian

COMING_SPEED = 0.5
"""A car slower than this, in m/s, stands (at its red light, its stop line) and does not come."""
STEPPING_ON = 1.0
"""A pedestrian who walks towards the crossing counts from this distance to the kerb on, in metres."""

SIDES = {1: "car_from_left", 2: "opposite_car", 3: "car_from_right"}
"""The proposition of a car from each arm."""


def car_labels(cars: Iterable[PathCar]) -> set[str]:
    """Return the propositions of the arms on which a car comes, the ego's own excepted."""
    return {SIDES[car.path.arm] for car in cars if car.path.arm in SIDES and is_coming(car)}


def is_coming(car: PathCar) -> bool:
    """Return whether a car moves and is on the watched part of its path or less than its `coming_time` before it.

    Its way is measured from its front bumper to where that part begins, and it is past it when its rear bumper has
    left it. One that has set off comes from that instant on: what counts is how fast it will soon be. Where it means to
    go plays no part: nobody can see that. Labels and rights of way share this predicate.
    """
    start, end = car.path.watched
    speed = max(float(car.speed), EXPECTED_SPEED) if car.has_set_off else float(car.speed)
    return speed > COMING_SPEED and car.rear < end and start - car.front < car.path.coming_time * speed


def pedestrian_labels(pedestrians: Iterable[Pedestrian]) -> set[str]:
    """Return the propositions of the crossings on which somebody is, or is about to step."""
    return {person.crossing.proposition for person in pedestrians if is_on_crossing(person)}


def is_on_crossing(person: Pedestrian) -> bool:
    """Return whether a pedestrian walks between the kerbs, or towards the first at most `STEPPING_ON` from it."""
    return person.is_walking and -STEPPING_ON <= person.offset <= person.crossing.length


def ego_labels(ego: PathCar) -> set[str]:
    """Return the propositions of where the ego itself is: whether it stands at its line."""
    return {"at_line"} if ego.stands_at_line else set()


def road_labels(road: Any) -> set[str]:
    """Return the propositions of all cars and pedestrians of a `JunctionRoad`."""
    return car_labels(road.vehicles) | pedestrian_labels(road.pedestrians)
