"""The contract with gymnasium, seeds, options, pictures; highway-env stays as it was."""

import hashlib
import math
import re
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from highway_env.envs.common.abstract import AbstractEnv
from highway_env.road.lane import AbstractLane
from highway_env.vehicle.behavior import IDMVehicle
from highway_env.vehicle.controller import ControlledVehicle
from highway_env.vehicle.kinematics import Vehicle
from highway_env.vehicle.objects import Obstacle

import verilora.envs.register as register
from verilora.envs.scenario import SCENARIOS, make_env
from verilora.specs.domain import Domain


def trace(world: str, seed: int, steps: int = 12) -> str:
    """Return a digest of labels and positions under fixed changing actions."""
    env, digest = make_env(world), hashlib.sha256()
    env.reset(seed=seed)
    for step in range(steps):
        _, _, terminated, truncated, info = env.step((0, 0, 2, 0, 1, 0, 0, 3)[step % 8])
        places = [(*car.position.tolist(), float(car.speed)) for car in env.unwrapped.road.vehicles]
        people = [person.position.tolist() for person in env.unwrapped.road.pedestrians]
        digest.update(repr((info["labels"], places, people)).encode())
        if terminated or truncated:
            break
    return digest.hexdigest()


def merge_trace() -> list[list[float]]:
    env = gymnasium.make("merge-v0")
    env.reset(seed=7)
    positions = []
    for _ in range(8):
        _, _, terminated, _, _ = env.step(1)
        positions.append([float(x) for car in env.unwrapped.road.vehicles for x in car.position])
        if terminated:
            break
    return positions


def constants() -> dict:
    classes = (AbstractEnv, IDMVehicle, ControlledVehicle, Vehicle, Obstacle, AbstractLane)
    plain = (int, float, str, tuple, list, dict, bool)
    return {
        (cls.__name__, name): repr(value)
        for cls in classes
        for name, value in vars(cls).items()
        if isinstance(value, plain) and not name.startswith("__")
    }


@pytest.mark.parametrize("env_id", register.ENTRY_POINTS)
def test_gymnasium_accepts_it(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id, render_mode="rgb_array").unwrapped)


def test_every_world_has_its_scenario(driving: Domain) -> None:
    assert set(SCENARIOS) == set(driving.worlds) - {"universal"}
    vocabulary = driving.vocabulary
    for world, scenario in SCENARIOS.items():
        env = make_env(world)
        assert scenario.world == world
        assert env.spec.id == scenario.env_id
        assert env.action_space == gymnasium.spaces.Discrete(len(vocabulary.action_ids))
        assert env.observation_space == gymnasium.spaces.MultiBinary(len(vocabulary.proposition_ids))
        assert (
            env.unwrapped.action_type.actions
            == vocabulary.action_ids
            == ("stop", "go_straight", "turn_left", "turn_right")
        )
        observation, info = env.reset(seed=1)
        assert env.observation_space.contains(observation)
        assert set(info) == {"labels", "crashed", "at_fault", "arrived", "line_distance"}
        assert info["labels"] == tuple(sorted(env.unwrapped.labels()))
        assert info["line_distance"] == env.unwrapped.line_distance()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"left_arow": True}, r"unknown option of SignalIntersection: got 'left_arow'.*left_arrow"),
        ({"action": {}}, "unknown option of SignalIntersection: got 'action'.*duration"),
        ({"left_arrow": "yes"}, "left_arrow of SignalIntersection: expected true or false, got 'yes'"),
        ({"left_arrow": 1}, "left_arrow of SignalIntersection: expected true or false, got 1"),
        ({"duration": 0}, "duration of SignalIntersection: expected a finite number from 1 on, got 0"),
        ({"duration": math.inf}, "duration of SignalIntersection: expected a finite number from 1 on, got inf"),
        ({"cars_per_minute": "many"}, "cars_per_minute of .*: expected a finite number from 0 on, got 'many'"),
        ({"cars_per_minute": -1}, "cars_per_minute of .*: expected a finite number from 0 on, got -1"),
        ({"cars_per_minute": math.nan}, "cars_per_minute of .*: expected a finite number from 0 on, got nan"),
        ({"pedestrians_per_minute": True}, "pedestrians_per_minute of .*: expected a finite number .* got True"),
        ({"simulation_frequency": 7.5}, "simulation_frequency of .*: expected a whole number from 5 on, got 7.5"),
        ({"simulation_frequency": 4}, "simulation_frequency of .*: expected a whole number from 5 on, got 4"),
        ({"simulation_frequency": math.inf}, "simulation_frequency of .*: expected a whole number .* got inf"),
        ({"screen_width": 600.5}, "screen_width of .*: expected a whole number from 16 on, got 600.5"),
        ({"screen_height": -600}, "screen_height of .*: expected a whole number from 16 on, got -600"),
        ({"scaling": 0}, "scaling of .*: expected a finite number from 0.1 on, got 0"),
        ({"centering_position": [0.5]}, r"centering_position of .*: expected two finite numbers, got \[0.5\]"),
        ({"centering_position": [0.5, math.nan]}, r"centering_position of .*: expected two finite numbers, got"),
        ({"real_time_rendering": "no"}, "real_time_rendering of .*: expected true or false, got 'no'"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_env("traffic_light", **options)


ACTIONS = r"0 \(stop\), 1 \(go_straight\), 2 \(turn_left\), 3 \(turn_right\)"


@pytest.mark.parametrize("world", SCENARIOS)
def test_an_action_outside_the_space_is_refused_before_anything_moves(world: str) -> None:
    env = make_env(world)
    env.reset(seed=1)
    ego = env.unwrapped.vehicle
    before = (env.unwrapped.time, ego.position.tolist(), ego.command)
    wrong = (-1, 4, np.int64(-1), np.int8(4), 1.0, math.nan, np.float32(1.7), True, np.bool_(True), "1", "stop", None)
    for action in (*wrong, [1], np.array([1]), np.array(-1), np.uint64(2**64 - 1), 2**70):
        with pytest.raises(
            ValueError, match=rf"^action, got {re.escape(repr(action))}, expected the number of one: {ACTIONS}$"
        ):
            env.step(action)
    assert (env.unwrapped.time, ego.position.tolist(), ego.command) == before
    for action in (3, np.int64(3), np.uint8(3), np.array(3)):
        env.reset(seed=1)
        env.step(action)
        assert env.unwrapped.vehicle.command == "turn_right"


def test_the_ego_obeys_the_vocabulary_alone() -> None:
    env = make_env("roundabout")
    env.reset(seed=1)
    with pytest.raises(
        ValueError, match=r"unknown action of the ego: got 'turn_rigth', expected one of .*mean 'turn_right'"
    ):
        env.unwrapped.vehicle.obey("turn_rigth")
    assert env.unwrapped.vehicle.command == "stop"


def test_only_the_light_has_an_arrow_and_unknown_worlds_are_named() -> None:
    with pytest.raises(ValueError, match="unknown option of TwoWayStop: got 'left_arrow'"):
        make_env("two_way_stop", left_arrow=True)
    with pytest.raises(ValueError, match="no simulated world: got 'round'"):
        make_env("round")


def test_seeds_decide_everything_in_any_order_and_in_another_process() -> None:
    worlds = list(SCENARIOS)
    first = {world: trace(world, 3) for world in worlds}
    assert {world: trace(world, 3) for world in reversed(worlds)} == first
    assert len(set(first.values())) == len(worlds)
    assert trace(worlds[0], 4) != first[worlds[0]]
    code = f"import sys; sys.path.insert(0, {__file__.rsplit('/', 1)[0]!r}); import test_environments as t\n"
    code += "print(*(t.trace(world, 3) for world in t.SCENARIOS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == list(first.values())


def test_interleaved_environments_do_not_disturb_each_other() -> None:
    def run(others: bool) -> list:
        env, other = make_env("traffic_light"), make_env("two_way_stop")
        env.reset(seed=8)
        other.reset(seed=1)
        seen = []
        for _ in range(10):
            seen.append(env.step(0)[4])
            if others:
                other.step(1)
                np.random.random()
        return seen

    assert run(False) == run(True)


def test_what_comes_does_not_depend_on_the_actions_before_the_line() -> None:
    lights = []
    for action in (0, 1):
        env = make_env("traffic_light").unwrapped
        env.reset(seed=2)
        phases = []
        for _ in range(6):
            env.step(action)
            phases.append(env.road.right_of_way.light.phase)
        lights.append(phases)
    assert lights[0] == lights[1]


def test_highway_env_stays_as_it_was() -> None:
    before, merge = constants(), merge_trace()
    for world in SCENARIOS:
        trace(world, 1)
        make_env(world, render_mode="rgb_array").reset(seed=0)
    assert merge_trace() == merge
    after = constants()
    # highway-env itself writes the frame rate of the last environment that was reset there.
    for snapshot in (before, after):
        snapshot.pop(("AbstractEnv", "metadata"))
    assert after == before


@pytest.mark.parametrize("world", SCENARIOS)
def test_pictures_show_lights_lines_and_pedestrians(world: str) -> None:
    env = make_env(world, render_mode="rgb_array", pedestrians_per_minute=20)
    env.reset(seed=0)
    env.step(0)
    picture = env.render()
    assert picture.shape == (600, 600, 3)
    assert picture.dtype == np.uint8
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert (255, 140, 0) in colours, "pedestrians"
    assert (50, 200, 0) in colours, "the ego"
    if world in ("traffic_light", "left_turn_light"):
        assert (240, 40, 40) in colours, "a red light"
    env.close()
    again = make_env(world, render_mode="rgb_array")
    again.reset(seed=0)
    assert again.render().shape == picture.shape
