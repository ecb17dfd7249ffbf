"""What all worlds have in common."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from highway_env.envs.common.abstract import AbstractEnv

from ..specs.files.errors import expected_one_of
from .driving import driving
from .ego_car import EgoCar
from .junction_road import JunctionRoad
from .junction_viewer import JunctionViewer
from .label_observation import LabelObservation
from .labeller import ego_labels, road_labels
from .layout import Layout
from .manoeuvre_action import ManoeuvreAction
from .options import check_options
from .path_car import CRUISING_SPEED
from .right_of_way import RightOfWay
from .traffic import Traffic
from .traffic_light import TrafficLight
from .walkers import Walkers

START_DISTANCE = (15.0, 30.0)
"""Where the ego's front bumper starts, in metres before its line."""
WARM_UP = 10.0
"""How long the road lives before an episode, in seconds: cars and pedestrians are on their way by then."""
APPROACH = 7.0
"""How long before it the ego is there, in seconds: longer than the gap that a car asks for which rolls up to its gate.

So whoever is bound to enter when the episode begins has seen the ego before.
"""
INTERNAL = {"observation", "action", "manual_control", "show_trajectories", "other_vehicles_type", "policy_frequency"}
INTERNAL |= {"neighbour_vehicles_connected_lanes", "render_agent"}


class JunctionEnv(AbstractEnv):
    """An ego that drives up to a junction, decides once a second, and either goes through, crashes or stays.

    Actions and observations are those of the driving vocabulary, in its order. An episode ends when the ego has
    arrived or crashed, and is cut at `duration` seconds. Equal seeds give equal episodes for equal actions; lights,
    arrivals and pedestrians are drawn independently of the actions.
    """

    # Set anew on every environment, see `update_metadata`.
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 1}  # noqa: RUF012
    action_space: Any
    viewer: Any
    START: ClassVar[str] = "go_straight"

    @classmethod
    def default_config(cls) -> dict[str, Any]:
        """Return the options with their defaults; those in `INTERNAL` cannot be set."""
        return {
            **super().default_config(),
            "other_vehicles_type": "verilora.envs.traffic_car.TrafficCar",
            "duration": 40.0,  # [s]
            "simulation_frequency": 5,  # [Hz]
            "cars_per_minute": 3.0,  # on each arm
            "pedestrians_per_minute": 1.2,  # on each crossing
            "screen_width": 600,  # [px]
            "screen_height": 600,  # [px]
            "scaling": 7.0,  # [px/m]
            "centering_position": [0.5, 0.5],
        }

    @abstractmethod
    def make_layout(self) -> Layout:
        """Return the roads."""

    @abstractmethod
    def make_right_of_way(self, light: TrafficLight | None) -> RightOfWay:
        """Return the rules."""

    def make_light(self, random: Any) -> TrafficLight | None:
        """Return the traffic light, if there is one."""
        return None

    def cars_per_minute(self) -> Mapping[int, float]:
        """Return how many cars come on each arm; none on the ego's own."""
        arms = {arm for arm, _ in self.make_layout().paths} - {0}
        return dict.fromkeys(sorted(arms), self.config["cars_per_minute"])

    def labels(self) -> frozenset[str]:
        """Return the propositions that are true now."""
        return frozenset(road_labels(self.road) | ego_labels(self.vehicle))

    def line_distance(self) -> float:
        """Return the way in metres from the ego's front bumper to its stop line, negative once it is past it."""
        return float(self.vehicle.line_distance)

    def configure(self, config: Mapping[str, Any] | None) -> None:
        """Set options; raises ValueError for one that does not exist or a value that makes no sense."""
        known = self.default_config().keys() - INTERNAL
        for name in config or ():
            if name not in known:
                raise ValueError(f"unknown option of {type(self).__name__}: {expected_one_of(name, known)}")
        check_options(type(self).__name__, self.default_config() | dict(config or {}))
        super().configure(config)

    def define_spaces(self) -> None:
        """Set the spaces, once: a seeded action space stays so over resets."""
        if self.action_space is None:
            vocabulary = driving().vocabulary
            self.action_type = ManoeuvreAction(self, vocabulary.action_ids)
            self.observation_type = LabelObservation(self, vocabulary.proposition_ids)
            self.action_space = self.action_type.space()
            self.observation_space = self.observation_type.space()

    def update_metadata(self, video_real_time_ratio: int = 1) -> None:
        """Set the frame rate on this environment; highway-env's own sets it for all of its environments."""
        frequency = "simulation_frequency" if self._record_video_wrapper else "policy_frequency"
        self.metadata = {**type(self).metadata, "render_fps": video_real_time_ratio * self.config[frequency]}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive for one second; raises ValueError for an action outside the space, before anything moves."""
        self.action_type.name(action)
        return super().step(action)  # type: ignore[no-any-return]

    def render(self) -> Any:
        """Return the picture of now."""
        if self.render_mode and self.viewer is None:
            self.viewer = JunctionViewer(self)
        return super().render()

    def _reset(self) -> None:
        light_random, cars_random, walkers_random, ego_random = self.np_random.spawn(4)
        layout = self.make_layout()
        self.road = JunctionRoad(
            layout,
            self.make_right_of_way(self.make_light(light_random)),
            Traffic(cars_random, layout, self.cars_per_minute()),
            Walkers(walkers_random, layout, self.config["pedestrians_per_minute"]),
            time_step=1 / self.config["simulation_frequency"],
            np_random=cars_random,
        )
        self._live(WARM_UP - APPROACH)
        paths = layout.manoeuvres(0)
        start = paths[self.START].gates[0] - EgoCar.LENGTH / 2 - ego_random.uniform(*START_DISTANCE)
        before = start - APPROACH * CRUISING_SPEED
        self.vehicle = EgoCar(self.road, paths, self.START, before, CRUISING_SPEED)
        # The first in the list is the one whose `handle_collisions` is called.
        self.road.vehicles.insert(0, self.vehicle)
        self._live(APPROACH)

    def _live(self, seconds: float) -> None:
        """Let time pass before the episode."""
        for _ in range(round(seconds / self.road.time_step)):
            self.road.act()
            self.road.step(self.road.time_step)

    def _reward(self, action: int) -> float:
        """Return 1 on arrival, -1 on a crash by the ego's fault, else 0."""
        return float(self.vehicle.has_arrived) - float(self.vehicle.at_fault)

    def _is_terminated(self) -> bool:
        return bool(self.vehicle.crashed or self.vehicle.has_arrived)

    def _is_truncated(self) -> bool:
        return bool(self.time >= self.config["duration"])

    def _info(self, obs: Any, action: int | None = None) -> dict[str, Any]:
        return {
            "labels": tuple(sorted(self.labels())),
            "crashed": bool(self.vehicle.crashed),
            "at_fault": bool(self.vehicle.at_fault),
            "arrived": bool(self.vehicle.has_arrived),
            "line_distance": self.line_distance(),
        }
