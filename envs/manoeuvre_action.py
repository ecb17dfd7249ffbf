"""What an environment takes: actions of the vocabulary."""

from typing import Any

import numpy as np
from gymnasium import spaces
from highway_env.envs.common.action import ActionType

from .ego_car import EgoCar


class ManoeuvreAction(ActionType):
    """One action of the vocabulary, by number."""

    def __init__(self, env: Any, actions: tuple[str, ...]) -> None:
        super().__init__(env)
        self.actions = actions

    def space(self) -> spaces.Space[Any]:
        """Return the space of the actions' numbers."""
        return spaces.Discrete(len(self.actions))

    @property
    def vehicle_class(self) -> type[EgoCar]:
        """The class of the car that can execute the actions."""
        return EgoCar

    def name(self, action: Any) -> str:
        """Return the id of an action, a whole number of Python's or numpy's; raises ValueError for anything else."""
        number = np.asarray(action)
        if number.ndim or not np.issubdtype(number.dtype, np.integer) or not 0 <= number < len(self.actions):
            numbers = ", ".join(f"{number} ({name})" for number, name in enumerate(self.actions))
            raise ValueError(f"action, got {action!r}, expected the number of one: {numbers}")
        return self.actions[int(number)]

    def act(self, action: int) -> None:
        """Pass an action on to the ego."""
        self.controlled_vehicle.obey(self.name(action))
