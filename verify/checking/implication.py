"""Which rules follow from which, given that exactly one action is given at a time."""

from collections.abc import Mapping, Sequence

from ...specs.logic import Automaton, new_automaton, one_of, spot
from .compiled import CompiledFormula


def any_action(action_ids: Sequence[str]) -> Automaton:
    """Return the behaviour that gives exactly one action at each instant, any one."""
    automaton = new_automaton(action_ids)
    state = automaton.new_state()
    automaton.new_edge(state, state, one_of(action_ids))
    return automaton


def implications(formulas: Mapping[str, CompiledFormula], action_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each formula, the others that imply it; one that cannot be satisfied implies nothing here."""
    actions = any_action(action_ids)
    behaviours = {name: spot.product(actions, formula.automaton) for name, formula in formulas.items()}
    return {
        name: tuple(
            other
            for other, behaviour in behaviours.items()
            if other != name and not behaviour.is_empty() and not behaviour.intersects(formula.complement)
        )
        for name, formula in formulas.items()
    }
