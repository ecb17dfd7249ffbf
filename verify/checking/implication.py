"""Which rules follow from which, given that exactly one action is given at a time."""

from collections.abc import Mapping, Sequence

from ...specs.logic import Automaton, new_automaton, one_of
from ...specs.processes.deadline import Deadline
from .compiled import CompiledFormula
from .product import intersects, product


def any_action(action_ids: Sequence[str]) -> Automaton:
    """Return the behaviour that gives exactly one action at each instant, any one."""
    automaton = new_automaton(action_ids)
    state = automaton.new_state()
    automaton.new_edge(state, state, one_of(action_ids))
    return automaton


class Implications:
    """Tells which formulas follow from which; raises Unanswered at a deadline, and for automata that are too large."""

    def __init__(self, formulas: Mapping[str, CompiledFormula], action_ids: Sequence[str]) -> None:
        self._formulas = formulas
        self._actions = any_action(action_ids)
        self._behaviours: dict[str, Automaton] = {}

    def of(self, name: str, deadline: Deadline) -> tuple[str, ...]:
        """Return the other formulas that imply one; one that cannot be satisfied implies nothing here."""
        complement = self._formulas[name].complement
        others = ((other, self._behaviour(other, deadline)) for other in self._formulas if other != name)
        return tuple(
            other
            for other, behaviour in others
            if behaviour is not None and not intersects(behaviour, complement, deadline)
        )

    def _behaviour(self, name: str, deadline: Deadline) -> Automaton | None:
        """Return the runs of a formula that give one action at each instant, None if there are none."""
        if name not in self._behaviours:
            behaviour = product(self._actions, self._formulas[name].automaton, deadline)
            self._behaviours[name] = None if behaviour.is_empty() else behaviour
        return self._behaviours[name]


def implications(
    formulas: Mapping[str, CompiledFormula], action_ids: Sequence[str], deadline: Deadline
) -> dict[str, tuple[str, ...]]:
    """Return, for each formula, the others that imply it; raises Unanswered."""
    found = Implications(formulas, action_ids)
    return {name: found.of(name, deadline) for name in formulas}
