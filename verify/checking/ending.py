"""Behaviours whose runs may end: states that nothing follows.

A run that ends breaks a rule only by a bad prefix: whatever else could have followed, the rule would be broken. It
reaches a goal only if the goal holds of the finite run, as LTL on finite traces has it (`FiniteFormula`). A run that
never ends is judged as any other. So never ending cannot be better than ending: what a rule or a goal demands is
demanded of it for ever.
"""

from ...specs.logic import Automaton
from ...specs.processes.deadline import Deadline
from .check import FindCounterexample, Runs, find_bad_prefix, find_endless_violation
from .compiled import CompiledFormula, FiniteFormula
from .lasso import Counterexample, Explorer
from .product import product

_ENDLESS = Deadline()


def find_broken_rule(
    behaviour: Automaton, formula: CompiledFormula, runs: Runs, deadline: Deadline = _ENDLESS
) -> FindCounterexample | None:
    """Return None if a rule is kept by runs that end and by runs that do not, else how to find one that breaks it."""
    if runs is not Runs.FAIR:
        broken = find_bad_prefix(behaviour, formula, deadline)
    else:
        # A prefix that is no part of a fair run breaks nothing, unless the run ends.
        broken = _find_end(behaviour, formula.automaton, formula.bad, deadline)
    return broken or find_endless_violation(behaviour, formula, runs, deadline)


def find_missed_goal(
    behaviour: Automaton, goal: CompiledFormula, finite: FiniteFormula, runs: Runs, deadline: Deadline = _ENDLESS
) -> FindCounterexample | None:
    """Return None if every run that ends has reached the goal and so does every other, else how to find one."""
    missing = frozenset(range(finite.automaton.num_states())) - finite.accepting
    missed = _find_end(behaviour, finite.automaton, missing, deadline)
    return missed or find_endless_violation(behaviour, goal, runs, deadline)


def has_end(behaviour: Automaton) -> bool:
    """Return whether some run ends."""
    return any(_ends(behaviour, state) for state in range(behaviour.num_states()))


def _find_end(
    behaviour: Automaton, automaton: Automaton, missed: frozenset[int], deadline: Deadline
) -> FindCounterexample | None:
    """Return how to find a run that ends while an automaton is in one of some states; None if none does."""
    both = product(behaviour, automaton, deadline)
    pairs = both.get_product_states()
    ends = frozenset(state for state, (_, judged) in enumerate(pairs) if judged in missed and _ends(both, state))
    if not ends:
        return None

    def find() -> Counterexample:
        return Explorer(both, deadline).path(ends)

    return find


def _ends(graph: Automaton, state: int) -> bool:
    return next(iter(graph.out(state)), None) is None
