"""What is observed: which propositions are true."""

from typing import Any

import numpy as np
from gymnasium import spaces
from highway_env.envs.common.observation import ObservationType
from numpy.typing import NDArray


class LabelObservation(ObservationType):
    """The propositions of the vocabulary in its order, 1 where true; cheap, unlike highway-env's Kinematics."""

    def __init__(self, env: Any, propositions: tuple[str, ...]) -> None:
        super().__init__(env)
        self.propositions = propositions

    def space(self) -> spaces.Space[Any]:
        """Return the space of the observations."""
        return spaces.MultiBinary(len(self.propositions))

    def observe(self) -> NDArray[np.int8]:
        """Return the truth values of now."""
        labels = self.env.labels()
        return np.array([name in labels for name in self.propositions], dtype=np.int8)
