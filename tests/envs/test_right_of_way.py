"""Who goes first: whoever has it, gets it from the others, so that a careful ego never crashes by its own fault."""

import pytest

from verilora.envs.ego_car import EgoCar
from verilora.envs.junction_env import APPROACH, WARM_UP
from verilora.envs.path_car import AT_LINE, COMFORTABLE_BRAKING, CRUISING_SPEED
from verilora.envs.pedestrian import Pedestrian
from verilora.envs.right_of_way import ACCEPTED_GAP
from verilora.envs.scenario import SCENARIOS, make_env
from verilora.envs.traffic_car import TrafficCar
from verilora.envs.traffic_light import Phase
from verilora.specs.domain import Domain
from verilora.synth.controllers.controller import Reading
from verilora.verify.audits.audit import run_controller

EMPTY = {"cars_per_minute": 0, "pedestrians_per_minute": 0}
STOP, STRAIGHT = range(2)
ENDINGS = ("2. go to step 1", "2. stop")
LIGHT = {
    ("traffic_light", "go straight"): "green traffic light",
    ("traffic_light", "turn left"): "green traffic light",
    ("traffic_light", "turn right"): "green traffic light",
    ("left_turn_light", "go straight"): "green traffic light",
    ("left_turn_light", "turn left"): "green left-turn light",
    ("left_turn_light", "turn right"): "green traffic light",
}
CROSSED = {"go straight": "pedestrian_in_front", "turn left": "pedestrian_at_left", "turn right": "pedestrian_at_right"}
"""The crossing that each manoeuvre takes; at the wide median and the roundabout all take the one in front."""
CROSSED_FIRST = {"wide_median", "roundabout"}
CARS = {"go straight": ("car_from_left", "car_from_right"), "turn right": ("car_from_left",)}
"""Whom a manoeuvre must let go first where no light speaks; a left turn everybody."""


def guard(domain: Domain, world: str, manoeuvre: str) -> str:
    """Return what a careful driver looks at before a manoeuvre, and no more: not those who must wait for it."""
    words, free = domain.vocabulary.english, domain.world(world).free
    light = LIGHT.get((world, manoeuvre))
    cars = () if light and manoeuvre == "go straight" else CARS.get(manoeuvre, (*CARS["go straight"], "opposite_car"))
    crossed = {CROSSED[manoeuvre], *(["pedestrian_in_front"] if world in CROSSED_FIRST else [])}
    clear = [f"no {words[name]}" for name in free if name in cars or name in crossed]
    return " and ".join([*([light] if light else []), *clear])


@pytest.mark.parametrize("world", SCENARIOS)
@pytest.mark.parametrize("manoeuvre", CROSSED)
@pytest.mark.parametrize("ending", [pytest.param(ENDINGS[0], marks=pytest.mark.slow), ENDINGS[1]])
def test_a_guarded_controller_never_crashes_by_its_own_fault(
    driving: Domain, world: str, manoeuvre: str, ending: str
) -> None:
    text = f"1. wait until {guard(driving, world, manoeuvre)} then {manoeuvre}\n{ending}"
    episodes = run_controller(text, world, range(3_000_000, 3_000_060), driving.vocabulary, Reading())
    assert [episode.seed for episode in episodes if episode.at_fault] == []
    assert sum(episode.arrived for episode in episodes) >= 30


@pytest.mark.parametrize(
    ("world", "manoeuvre", "seed"),
    [
        # A car on the bend before the ring, while the ego was about to pass its line.
        ("roundabout", "go straight", 2_000_055),
        ("roundabout", "go straight", 2_000_190),
        # A queue before the crossing of an exit, with its tail on the ring.
        ("roundabout", "go straight", 3_000_024),
        # A pedestrian who stepped on while the ego was on the ring.
        ("roundabout", "turn right", 3_000_201),
        # An oncoming left turn, while the ego stood at green.
        ("traffic_light", "turn right", 3_000_115),
        ("traffic_light", "turn right", 3_000_148),
        # One that was let through before the ego was there.
        ("left_turn_light", "turn right", 4_000_100),
        # An oncoming right turn, when the ego changed its mind too late to halt.
        ("traffic_light", "turn left", 3_000_039),
        # A pedestrian who stepped on when the ego could hardly halt any more.
        ("traffic_light", "go straight", 3_000_059),
        # An oncoming car that had just set off and did not count as coming yet.
        ("two_way_stop", "turn left", 2_000_671),
        # An oncoming left turn that rolled up to its gate and was let through too late to be gone before the ego came.
        ("traffic_light", "go straight", 2_001_888),
        ("traffic_light", "turn right", 1_509_192),
    ],
)
def test_what_once_crashed(driving: Domain, world: str, manoeuvre: str, seed: int) -> None:
    for ending in ENDINGS:
        text = f"1. wait until {guard(driving, world, manoeuvre)} then {manoeuvre}\n{ending}"
        (episode,) = run_controller(text, world, (seed,), driving.vocabulary, Reading())
        assert not episode.at_fault


def signals(phase: Phase, manoeuvre: str, arm: int = 2):
    """Return a signalised intersection at the start of a phase, the ego at its line, and a car at its own line."""
    env = make_env("traffic_light", **EMPTY).unwrapped
    env.reset(seed=1)
    for _ in range(8):
        env.step(STOP)
    light = env.road.right_of_way.light
    while light.phase == phase:
        light.step(0.1)
    while light.phase != phase:
        light.step(0.1)
    path = env.road.layout.paths[arm, manoeuvre]
    car = TrafficCar(env.road, path, path.gates[0] - TrafficCar.LENGTH / 2 - 0.5, 0.0)
    env.road.vehicles.append(car)
    return env, car, light


def test_an_oncoming_left_turn_waits_for_an_ego_that_stands_at_green_and_clears_on_amber() -> None:
    env, car, light = signals(Phase.THROUGH, "turn_left")
    while light.phase == Phase.THROUGH:
        assert car.front < car.path.gates[0]
        env.step(STOP)
    assert light.colour(2, "turn_left") == "amber"
    for _ in range(3):
        env.step(STOP)
    assert car.rear > car.path.gates[0]


def test_an_oncoming_left_turn_waits_for_an_ego_that_ends_on_amber_what_it_began_at_green() -> None:
    env, car, light = signals(Phase.THROUGH, "turn_left")
    while light.phase == Phase.THROUGH:
        light.step(0.1)
    car.has_stopped = True
    env.vehicle.obey("go_straight")
    assert light.colour(0) == "amber"
    assert not env.road.right_of_way.may_enter(car, env.road)
    env.vehicle.obey("stop")
    assert env.road.right_of_way.may_enter(car, env.road)


def far(env, car: TrafficCar, way: float, speed: float) -> None:
    """Put the ego so far before where it meets a car, in metres."""
    env.vehicle.progress = env.road.layout.zones[car.path, env.vehicle.path].their_start - way - EgoCar.LENGTH / 2
    env.vehicle.speed, env.vehicle.gate = speed, 0


@pytest.mark.parametrize(("before", "speed", "enters"), [(0.5, 0.0, True), (15.0, 8.0, False)])
def test_who_rolls_up_to_its_gate_needs_the_time_until_it_is_there_as_well(
    before: float, speed: float, enters: bool
) -> None:
    env, car, _ = signals(Phase.THROUGH, "turn_left")
    car.progress, car.speed = car.path.gates[0] - before - TrafficCar.LENGTH / 2, speed
    far(env, car, 40.0, CRUISING_SPEED)
    assert env.road.right_of_way.may_enter(car, env.road) == enters
    far(env, car, 60.0, CRUISING_SPEED)
    assert env.road.right_of_way.may_enter(car, env.road)


def test_the_ego_is_there_before_anybody_is_let_through_who_is_still_in_its_way_when_the_episode_begins() -> None:
    env = make_env("traffic_light").unwrapped
    braking = CRUISING_SPEED**2 / (2 * COMFORTABLE_BRAKING) + CRUISING_SPEED / env.config["simulation_frequency"]
    assert ACCEPTED_GAP + (braking + AT_LINE) / CRUISING_SPEED < APPROACH < WARM_UP


@pytest.mark.parametrize(("command", "enters"), [("stop", True), ("turn_left", False)])
def test_a_slow_ego_that_is_told_to_move_is_expected_to_be_fast_soon(command: str, enters: bool) -> None:
    env = make_env("two_way_stop", **EMPTY).unwrapped
    env.reset(seed=1)
    path = env.road.layout.paths[2, "turn_right"]
    car = TrafficCar(env.road, path, path.gates[0] - TrafficCar.LENGTH / 2 - 0.5, 0.0)
    car.has_stopped = True
    env.road.vehicles.append(car)
    env.vehicle.obey("turn_left")
    far(env, car, 25.0, 4.4)
    env.vehicle.obey(command)
    assert env.road.right_of_way.may_enter(car, env.road) == enters


@pytest.mark.parametrize("manoeuvre", ["go_straight", "turn_right"])
def test_others_do_not_start_on_amber(manoeuvre: str) -> None:
    env, car, light = signals(Phase.THROUGH, manoeuvre)
    while light.phase == Phase.THROUGH:
        light.step(0.1)
    car.has_stopped = True
    assert not env.road.right_of_way.may_enter(car, env.road)


def test_on_a_ring_it_does_not_matter_where_one_wants_to_go() -> None:
    env = make_env("roundabout", **EMPTY).unwrapped
    env.reset(seed=1)
    paths, rules = env.road.layout.paths, env.road.right_of_way
    assert len({rules.rank(path) for path in paths.values()}) == 1
    rules = make_env("two_way_stop").unwrapped.make_right_of_way(None)
    layout = make_env("two_way_stop").unwrapped.make_layout()
    ranks = [rules.rank(layout.paths[arm, name]) for arm, name in ((1, "go_straight"), (1, "turn_left"))]
    ranks += [rules.rank(layout.paths[arm, name]) for arm, name in ((2, "turn_right"), (2, "turn_left"))]
    assert ranks == [3, 2, 1, 0]


@pytest.mark.parametrize(("way", "waits"), [(14.0, True), (16.0, False)])
def test_pedestrians_wait_for_who_cannot_halt_any_more_however_far_its_crossing_is(way: float, waits: bool) -> None:
    env = make_env("roundabout", **EMPTY).unwrapped
    env.reset(seed=1)
    env.vehicle.obey("turn_right")
    crossing, place = env.vehicle.path.crossings[-1]
    assert crossing.proposition == "pedestrian_at_right"
    env.vehicle.progress = env.vehicle.next_gate - way - EgoCar.LENGTH / 2
    assert place - env.vehicle.front > 35
    person = Pedestrian(env.road, crossing, 1.3)
    env.road.objects.append(person)
    env.road.walkers.step(env.road, 0.2)
    assert person.is_walking != waits


def test_the_ego_halts_behind_a_car_that_has_hardly_left_the_ring() -> None:
    env = make_env("roundabout", **EMPTY).unwrapped
    env.reset(seed=1)
    path = env.road.layout.paths[1, "go_straight"]
    car = TrafficCar(env.road, path, path.starts[-2] + 1.0, 0.0)
    car.act = lambda action=None: car.steer(0.0)
    env.road.vehicles.append(car)
    for _ in range(25):
        env.step(STRAIGHT)
    assert not env.vehicle.crashed
    assert 4 < env.road.distance_ahead(env.vehicle, car) < 12
    assert env.vehicle.speed < 0.1
