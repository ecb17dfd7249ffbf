"""A controller that is stepped along recorded seconds, letter by letter."""

from collections.abc import Callable, Sequence
from itertools import groupby

from ...specs.logic import Bdd
from ...synth.controllers.controller import Controller

LetterRuns = tuple[tuple[int, int], ...]
"""Letters with how many seconds each lasts."""


def letter_runs(letters: Sequence[int], mask: int) -> LetterRuns:
    """Return what of letters is in a mask, those that follow each other and are the same together."""
    return tuple((letter, len(list(same))) for letter, same in groupby(letter & mask for letter in letters))


class SteppedController:
    """A controller that remembers its steps under letters: what follows, and an action that is the event.

    `diagram` makes a decision diagram of a letter, `is_event` says whether an action under it begins the event.
    """

    def __init__(
        self, controller: Controller, diagram: Callable[[int], Bdd], is_event: Callable[[str, Bdd], bool]
    ) -> None:
        self._controller = controller
        self._diagram = diagram
        self._is_event = is_event
        self._known: list[dict[int, tuple[int, str | None]]] = [{} for _ in controller.states]
        self._diagrams: dict[int, Bdd] = {}

    def begin(self, state: int, runs: LetterRuns) -> tuple[int, str] | None:
        """Return the state behind the second in which the event begins, and the action that it is; None if it never."""
        for letter, count in runs:
            for _ in range(count):
                target, event = self._known[state].get(letter) or self._step(state, letter)
                if event is not None:
                    return target, event
                if target == state:
                    break
                state = target
        return None

    def go_on(self, state: int, runs: LetterRuns) -> int:
        """Return the state behind all these seconds, whatever happens in them."""
        for letter, count in runs:
            for _ in range(count):
                state = (self._known[state].get(letter) or self._step(state, letter))[0]
        return state

    def _step(self, state: int, letter: int) -> tuple[int, str | None]:
        if letter not in self._diagrams:
            self._diagrams[letter] = self._diagram(letter)
        diagram = self._diagrams[letter]
        edge = self._controller.edge(state, diagram)
        is_over = state == self._controller.end
        event = edge.action if not is_over and self._is_event(edge.action, diagram) else None
        self._known[state][letter] = (state if is_over else edge.target, event)
        return self._known[state][letter]
