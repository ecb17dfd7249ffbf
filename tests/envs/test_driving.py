"""What the actions do, and whose fault a crash is."""

import numpy as np
import pytest

from verilora.envs.fault import is_at_fault
from verilora.envs.scenario import SCENARIOS, make_env
from verilora.envs.traffic_car import TrafficCar

EMPTY = {"cars_per_minute": 0, "pedestrians_per_minute": 0}
STOP, STRAIGHT, LEFT, RIGHT = range(4)


@pytest.mark.parametrize("world", SCENARIOS)
def test_stop_halts_at_the_line_until_the_horizon(world: str) -> None:
    env = make_env(world)
    for seed in range(20):
        _, info = env.reset(seed=seed)
        assert 15 <= info["line_distance"] <= 30
        steps, ended = 0, False
        while not ended:
            _, reward, terminated, truncated, info = env.step(STOP)
            steps += 1
            assert info["line_distance"] > 0
            assert not terminated
            assert reward == 0
            ended = truncated
        assert steps == 40
        assert info["line_distance"] < 1
        assert env.unwrapped.vehicle.speed < 0.01
        assert not info["crashed"]


@pytest.mark.parametrize("world", SCENARIOS)
@pytest.mark.parametrize(("action", "side"), [(LEFT, (-1, 0)), (STRAIGHT, (0, -1)), (RIGHT, (1, 0))])
@pytest.mark.parametrize("pause", [0, 8])
def test_a_manoeuvre_arrives_on_its_road_when_the_way_is_free(world: str, action: int, side: tuple, pause: int) -> None:
    env = make_env(world, **EMPTY)
    _, info = env.reset(seed=5)
    for step in range(40):
        _, reward, terminated, _, info = env.step(STOP if step < pause else action)
        if terminated:
            break
    assert info["arrived"]
    assert reward == 1
    assert not info["crashed"]
    car = env.unwrapped.vehicle
    assert car.position @ side > 15
    assert abs(np.cross([*side, 0], [*car.position, 0])[2]) < (13 if world == "wide_median" else 3)
    assert np.cos(car.heading - np.arctan2(side[1], side[0])) > 0.95
    assert abs(car.lane.local_coordinates(car.position)[1]) < 0.5


def test_the_manoeuvre_can_change_before_the_line_and_stays_after_it() -> None:
    env = make_env("two_way_stop", **EMPTY)
    env.reset(seed=3)
    env.step(LEFT)
    assert env.unwrapped.vehicle.path.manoeuvre == "turn_left"
    while env.unwrapped.line_distance() > 0:
        env.step(RIGHT)
    env.step(LEFT)
    assert env.unwrapped.vehicle.path.manoeuvre == "turn_right"


def test_stop_past_the_line_clears_the_junction() -> None:
    env = make_env("traffic_light", **EMPTY)
    env.reset(seed=3)
    while env.unwrapped.line_distance() > 0:
        env.step(STRAIGHT)
    for _ in range(10):
        _, _, terminated, _, info = env.step(STOP)
        if terminated:
            break
    assert info["arrived"]


def test_stop_on_the_median_halts_at_the_second_line() -> None:
    env = make_env("wide_median", **EMPTY)
    env.reset(seed=3)
    while env.unwrapped.vehicle.gate == 0:
        env.step(STRAIGHT)
    for _ in range(20):
        _, _, terminated, _, info = env.step(STOP)
        assert not terminated
    assert 0 < info["line_distance"] < 1
    assert -10 < env.unwrapped.vehicle.position[1] < 10
    for _ in range(10):
        _, _, terminated, _, info = env.step(LEFT)
        if terminated:
            break
    assert info["arrived"]
    assert env.unwrapped.vehicle.position[0] < -10


def place(env, arm: int, ahead: float, aside: float, turned: float, speed: float) -> TrafficCar:
    ego = env.vehicle
    car = TrafficCar(env.road, env.road.layout.paths[arm, "go_straight"], 10.0, speed)
    across = np.array([-ego.direction[1], ego.direction[0]])
    car.position = ego.position + ahead * ego.direction + aside * across
    car.heading = ego.heading + turned
    return car


@pytest.mark.parametrize(
    ("ego_speed", "ahead", "aside", "turned", "speed", "at_fault"),
    [
        pytest.param(0.4, 4, 0, np.pi / 2, 8, False, id="standing, hit from the side"),
        pytest.param(0.0, -4.5, 0, 0, 8, False, id="standing, hit from behind"),
        pytest.param(5.0, -4.5, 0.5, 0.1, 8, False, id="moving, hit from behind"),
        pytest.param(5.0, -4.5, 0.5, 0.1, 3, True, id="moving, a slower car behind"),
        pytest.param(8.0, 4.5, 0, 0, 3, True, id="rear-ending"),
        pytest.param(8.0, 3, 2, -np.pi / 2, 8, True, id="crossing another's way"),
        pytest.param(8.0, -3, 2, -np.pi / 2, 9, True, id="hit at the rear by a crossing car"),
        pytest.param(8.0, 4.5, 0, np.pi, 8, True, id="head-on"),
    ],
)
def test_fault(ego_speed: float, ahead: float, aside: float, turned: float, speed: float, at_fault: bool) -> None:
    env = make_env("traffic_light", **EMPTY).unwrapped
    env.reset(seed=1)
    env.vehicle.speed = ego_speed
    assert is_at_fault(env.vehicle, place(env, 1, ahead, aside, turned, speed)) is at_fault


def test_a_crash_ends_the_episode_with_its_fault() -> None:
    env = make_env("traffic_light", **EMPTY)
    env.reset(seed=1)
    road = env.unwrapped.road
    ego = env.unwrapped.vehicle
    road.vehicles.append(TrafficCar(road, ego.path, ego.progress + 12, 0.0))
    _, reward, terminated, _, info = env.step(STRAIGHT)
    while not terminated:
        _, reward, terminated, _, info = env.step(STRAIGHT)
    assert info["crashed"]
    assert info["at_fault"]
    assert reward == -1


@pytest.mark.parametrize("world", SCENARIOS)
def test_over_fifty_seeds_the_way_becomes_clear_again_and_nobody_runs_a_red_light(world: str) -> None:
    env, least = make_env(world), 60
    clear, lit = 0, {"green_traffic_light": 0, "green_left_turn_light": 0}
    for seed in range(50):
        env.reset(seed=seed)
        road, light = env.unwrapped.road, env.unwrapped.road.right_of_way.light
        ended = False
        while not ended:
            before = {car: car.front for car in road.vehicles}
            _, _, _, ended, info = env.step(STOP)
            assert not any(car.crashed for car in road.vehicles)
            free = not any(name.startswith(("car", "opposite", "pedestrian")) for name in info["labels"])
            clear += free
            for name in lit:
                lit[name] += free and name in info["labels"]
            for car in road.vehicles[1:] if light else ():
                if car in before and before[car] < car.path.gates[0] - 9 < car.path.gates[0] < car.front:
                    assert light.colour(car.path.arm, car.path.manoeuvre) != "red"
    assert clear >= least
    wanted = {"traffic_light": ["green_traffic_light"], "left_turn_light": [*lit]}.get(world, [])
    assert all(lit[name] >= least / 2 for name in wanted), lit
