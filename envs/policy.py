"""Policies: what decides on the next action, once a second, from what is the case.

Exploration wants episodes in which much happens around a car that mostly waits (`random`), that goes when it is safe
(`cautious`) and that just goes (`bold`). A controller drives as a policy too.
"""

import random
from collections.abc import Callable
from typing import Protocol

from ..specs.vocabulary import Vocabulary
from ..synth.controllers.controller import Controller, Letter

SIGNALS = frozenset({"green_traffic_light", "green_left_turn_light", "stop_sign", "at_line"})
"""Propositions about things that are in nobody's way."""
# A random policy moves in one second of this many, so that most episodes are watched to their end.
_SECONDS_PER_MOVE = 30


class Policy(Protocol):
    """Decides on an action, an id of the vocabulary, each time it is called."""

    def __call__(self, labels: Letter) -> str: ...


def explorers(vocabulary: Vocabulary) -> dict[str, Callable[[random.Random], Policy]]:
    """Return the exploration policies by name, each made anew for an episode from its random numbers."""
    moves = [action for action in vocabulary.action_ids if action != vocabulary.idle]

    def waiting(random_: random.Random) -> Policy:
        return lambda labels: random_.choice(moves) if random_.randrange(_SECONDS_PER_MOVE) == 0 else vocabulary.idle

    def cautious(random_: random.Random) -> Policy:
        move = random_.choice(moves)
        return lambda labels: vocabulary.idle if labels - SIGNALS else move

    def bold(random_: random.Random) -> Policy:
        move = random_.choice(moves)
        return lambda labels: move

    return {"random": waiting, "cautious": cautious, "bold": bold}


class ControllerPolicy:
    """A controller at the wheel. `steps` are the steps of the last instant, for people who watch.

    Of a machine that was not made of steps it is the number of the state, from 1 on.
    """

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.state = 0
        self.steps: tuple[int, ...] = ()
        self._has_steps = any(edge.steps for edges in controller.states for edge in edges)

    def __call__(self, labels: Letter) -> str:
        edge = self.controller.react(self.state, labels)
        self.steps = edge.steps if self._has_steps else (self.state + 1,)
        self.state = edge.target
        return edge.action
