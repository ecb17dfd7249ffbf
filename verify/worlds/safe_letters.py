"""Letters under which an action breaks no safety rule."""

from collections.abc import Collection, Iterable

from ...specs.logic import Bdd, buddy, cube, exactly_one
from ..checking.compiled import CompiledFormula


def safe_letters(action: str, rules: Iterable[CompiledFormula], action_ids: Collection[str]) -> Bdd:
    """Return the letters under which giving an action at the start breaks none of the rules."""
    output = exactly_one(action_ids, action)
    actions = cube(action_ids)
    safe = buddy.bddtrue
    for formula in rules:
        for edge in formula.automaton.out(formula.automaton.get_init_state_number()):
            if edge.dst in formula.bad:
                safe = safe & -buddy.bdd_exist(edge.cond & output, actions)
    return safe
