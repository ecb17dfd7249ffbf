"""Constructed situations: one car or pedestrian is placed by hand, and exactly its proposition holds."""

import math

import numpy as np
import pytest

from verilora.envs.labeller import is_coming
from verilora.envs.path import COMING_TIME
from verilora.envs.pedestrian import Pedestrian
from verilora.envs.scenario import SCENARIOS, make_env
from verilora.envs.traffic_car import TrafficCar
from verilora.envs.traffic_light import Phase
from verilora.specs.domain import Domain

EMPTY = {"cars_per_minute": 0, "pedestrians_per_minute": 0}
STOP, STRAIGHT = range(2)
NOT_SIDES = {"green_traffic_light", "green_left_turn_light", "stop_sign", "at_line"}


def empty(world: str):
    env = make_env(world, **EMPTY).unwrapped
    env.reset(seed=1)
    return env


def things(env) -> set[str]:
    return set(env.labels()) - NOT_SIDES


def put_car(env, arm: int, before_junction: float, speed: float = 8.0, manoeuvre: str = "go_straight") -> TrafficCar:
    path = env.road.layout.paths[arm, manoeuvre]
    car = TrafficCar(env.road, path, path.junction[0] - before_junction - TrafficCar.LENGTH / 2, speed)
    env.road.vehicles.append(car)
    return car


def put_pedestrian(env, proposition: str, offset: float, backwards: bool = False) -> Pedestrian:
    crossing = next(crossing for crossing in env.road.layout.crossings if crossing.proposition == proposition)
    person = Pedestrian(env.road, crossing, 1.3, backwards)
    person.is_walking = True
    person.place(offset)
    env.road.objects.append(person)
    return person


SIDES = [
    *((world, arm, label) for world in ("traffic_light", "left_turn_light", "two_way_stop")
      for arm, label in ((1, "car_from_left"), (2, "opposite_car"), (3, "car_from_right"))),
    ("wide_median", 1, "car_from_left"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "arm", "label"), SIDES)
def test_a_car_is_seen_on_its_side_only(world: str, arm: int, label: str) -> None:
    env = empty(world)
    car = put_car(env, arm, 20)
    assert things(env) == {label}
    # The ego drives north (towards negative y): its left is the west, its right the east.
    x, y = car.position
    where = {"car_from_left": x < -10, "opposite_car": y < -10, "car_from_right": x > 10}
    assert where[label]


@pytest.mark.parametrize(("world", "arm", "label"), SIDES)
def test_a_car_comes_only_while_it_moves_near_and_not_yet_past(world: str, arm: int, label: str) -> None:
    for distance, speed, coming in (
        (8 * COMING_TIME - 0.1, 8, True),
        (8 * COMING_TIME + 0.1, 8, False),
        (1, 0, False),
        (1, 0.4, False),
        (1, 0.6, True),
        (-5, 3, True),
    ):
        env = empty(world)
        put_car(env, arm, distance, speed)
        assert things(env) == ({label} if coming else set()), (distance, speed)
    env = empty(world)
    car = put_car(env, arm, 0)
    car.progress = car.path.junction[1] + car.LENGTH / 2 + 0.1
    assert things(env) == set()


def test_a_car_at_rest_at_its_red_light_does_not_come() -> None:
    env = empty("traffic_light")
    light = env.road.right_of_way.light
    while light.phase != Phase.CROSS:
        light.step(0.5)
    while light.phase != Phase.CLEARING:
        light.step(0.1)
    car = put_car(env, 1, 40)
    seen = []
    while light.phase != Phase.CROSS:
        env.step(0)
        seen.append((car.speed, "car_from_left" in env.labels()))
    at_rest = [label for speed, label in seen if speed < 0.5]
    assert at_rest
    assert not any(at_rest)
    assert any(label for _, label in seen)


def test_a_car_that_sets_off_comes_from_that_instant() -> None:
    env = empty("two_way_stop")
    car = put_car(env, 2, 5.5, 0.0)
    assert car.path.gates[0] - car.front == pytest.approx(0.5)
    seen = []
    for _ in range(3):
        seen.append((car.gate, car.speed > 0, things(env)))
        env.road.act()
        env.road.step(env.road.time_step)
    assert seen[0] == (0, False, set())
    assert seen[1] == (1, True, {"opposite_car"})
    assert seen[2] == (1, True, {"opposite_car"})


def test_a_car_that_was_let_through_and_is_held_up_does_not_come() -> None:
    env = empty("two_way_stop")
    car = put_car(env, 2, 5.5, 0.0)
    assert car.path.gates[0] - car.front == pytest.approx(0.5)
    car.gate = 1
    for acceleration, coming in ((0.0, False), (-1.0, False), (0.1, True)):
        car.action = {"steering": 0.0, "acceleration": acceleration}
        assert things(env) == ({"opposite_car"} if coming else set())


@pytest.mark.parametrize("world", SCENARIOS)
def test_the_ego_is_at_its_line_only_while_it_stands_there(world: str) -> None:
    env = empty(world)
    seen = []
    for action in (*[STOP] * 8, *[STRAIGHT] * 4):
        seen.append(("at_line" in env.labels(), bool(env.vehicle.speed < 0.3), env.line_distance()))
        env.step(action)
    assert seen[0][:2] == (False, False)
    assert (seen[8][:2], seen[8][2]) == ((True, True), pytest.approx(0.5, abs=0.2))
    assert [label for label, _, _ in seen[9:]] == [False] * 3
    assert all(label == (stands and 0 <= distance < 1) for label, stands, distance in seen)


@pytest.mark.parametrize(("way", "speed", "label"), [(0.9, 0.2, True), (0.9, 0.4, False), (1.1, 0.2, False)])
def test_the_ego_is_at_its_line_within_a_tolerance(way: float, speed: float, label: bool) -> None:
    env = empty("traffic_light")
    env.vehicle.progress = env.vehicle.next_gate - way - env.vehicle.LENGTH / 2
    env.vehicle.speed = speed
    assert ("at_line" in env.labels()) == label


def test_the_ego_stands_at_each_of_two_lines() -> None:
    env = empty("wide_median")
    lines = []
    for action in (*[STOP] * 8, STRAIGHT, *[STOP] * 8, STRAIGHT, *[STOP] * 3):
        env.step(action)
        lines.append((env.vehicle.gate, "at_line" in env.labels()))
    assert lines[7:9] == [(0, True), (1, False)]
    assert lines[16:18] == [(1, True), (2, False)]
    assert not any(label for _, label in lines[18:])


PEDESTRIANS = [
    *((world, label) for world in ("traffic_light", "left_turn_light", "two_way_stop")
      for label in ("pedestrian_at_left", "pedestrian_in_front", "pedestrian_at_right")),
    ("wide_median", "pedestrian_in_front"),
    ("roundabout", "pedestrian_in_front"),
    ("roundabout", "pedestrian_at_right"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "label"), PEDESTRIANS)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_pedestrian_is_seen_on_its_crossing_only(world: str, label: str, backwards: bool) -> None:
    env = empty(world)
    person = put_pedestrian(env, label, 4.0, backwards)
    assert things(env) == {label}
    x, y = person.position
    assert {"pedestrian_at_left": x < -10, "pedestrian_at_right": x > 10, "pedestrian_in_front": abs(x) < 4}[label]
    if label == "pedestrian_in_front":
        assert y < env.vehicle.position[1] - 10
    for offset, seen in ((-1.1, False), (-0.9, True), (0.1, True), (7.9, True), (8.1, False)):
        person.place(offset)
        assert things(env) == ({label} if seen else set()), offset
    person.place(-0.9)
    person.is_walking = False
    assert things(env) == set()


def test_wide_median_reports_the_left_before_the_near_half_and_the_right_after_it() -> None:
    env = empty("wide_median")
    put_car(env, 1, 10)
    put_car(env, 3, 10)
    assert things(env) == {"car_from_left"}
    env.vehicle.progress = env.vehicle.path.gates[0] + 12
    env.vehicle.gate = 1
    assert things(env) == {"car_from_right"}


def test_roundabout_reports_cars_on_the_ring_that_come_towards_the_entry() -> None:
    for arm, manoeuvre, x_sign in ((1, "go_straight", -1), (2, "turn_left", -1)):
        env = empty("roundabout")
        path = env.road.layout.paths[arm, manoeuvre]
        car = TrafficCar(env.road, path, path.starts[-3] - 8.0, 6.0)
        env.road.vehicles.append(car)
        assert math.hypot(*car.position) == pytest.approx(18, abs=0.1)
        assert np.sign(car.position[0]) == x_sign
        assert things(env) == {"car_from_left"}
        car.speed = 0.3
        assert things(env) == set()


@pytest.mark.parametrize(
    ("arm", "manoeuvre", "place", "speed", "coming"),
    [
        pytest.param(1, "go_straight", 58.0, 6.0, True, id="on the bend before the ring"),
        pytest.param(1, "turn_right", 58.0, 6.0, True, id="on the bend, about to leave at once"),
        pytest.param(1, "go_straight", 46.0, 6.0, False, id="on the bend, too far away"),
        pytest.param(1, "go_straight", 41.0, 3.0, False, id="at its line"),
        pytest.param(1, "go_straight", 90.0, 6.0, True, id="at the ego's entry"),
        pytest.param(1, "go_straight", 96.0, 6.0, False, id="past it"),
        pytest.param(2, "go_straight", 76.0, 6.0, False, id="on the ring, too far away"),
        pytest.param(2, "go_straight", 100.0, 6.0, True, id="on the ring, before it leaves"),
        pytest.param(2, "go_straight", 106.0, 6.0, False, id="has left the ring"),
        pytest.param(3, "go_straight", 80.0, 6.0, False, id="on the other side"),
    ],
)
def test_who_comes_round(arm: int, manoeuvre: str, place: float, speed: float, coming: bool) -> None:
    env = empty("roundabout")
    car = TrafficCar(env.road, env.road.layout.paths[arm, manoeuvre], place, speed)
    env.road.vehicles.append(car)
    assert (things(env) == {"car_from_left"}) == is_coming(car) == coming


def test_only_propositions_of_the_world_are_ever_true(driving: Domain) -> None:
    for world in SCENARIOS:
        description = driving.world(world)
        env, seen = make_env(world), set()
        for seed in range(4):
            _, info = env.reset(seed=seed)
            done = False
            while not done:
                observation, _, terminated, truncated, info = env.step(int(seed % 2))
                labels = set(info["labels"])
                assert labels == {
                    name for name, on in zip(driving.vocabulary.proposition_ids, observation, strict=True) if on
                }
                assert labels >= set(description.constant)
                assert not {"green_traffic_light", "green_left_turn_light"} <= labels
                assert not (world == "wide_median" and {"car_from_left", "car_from_right"} <= labels)
                seen |= labels
                done = terminated or truncated
        assert seen <= {*description.free, *description.constant}
        assert seen >= set(description.constant)


def test_lights_follow_the_phase() -> None:
    env = empty("left_turn_light")
    light = env.road.right_of_way.light
    seen = set()
    for _ in range(400):
        light.step(0.1)
        labels = env.labels()
        assert ("green_traffic_light" in labels) == (light.phase == Phase.THROUGH)
        assert ("green_left_turn_light" in labels) == (light.phase == Phase.ARROW)
        seen.add(light.phase)
        assert (light.colour(0) == "green") == (light.colour(2) == "green")
        assert not (light.colour(0) == "green" and light.colour(1) == "green")
    assert seen == set(Phase)
    assert "stop_sign" not in env.labels()
