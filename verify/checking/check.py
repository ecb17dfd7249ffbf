"""Does a behaviour keep a formula? On chains, on all runs, or on fair runs.

A behaviour is a graph of letters: a world, alone or in step with a controller. On a chain every letter of every edge
has positive probability, so a formula is kept when it holds almost surely: no bottom component of behaviour x
deterministic automaton may reject (Baier and Katoen, Principles of Model Checking, section 10.3). A safety formula is
judged on prefixes, which a dead end cannot hide.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from ...specs.logic import Automaton, owned, spot
from ...specs.processes.deadline import Deadline
from .compiled import CompiledFormula
from .lasso import Counterexample, Explorer
from .product import intersects, product
from .reason import least_reason


class Runs(StrEnum):
    """Which courses of events count: almost all of a Markov chain, all, or all that keep the world's LTL fairness."""

    CHAIN = "chain"
    ALL = "all"
    FAIR = "fair"


FindCounterexample = Callable[[], Counterexample]
_ENDLESS = Deadline()


def find_violation(
    behaviour: Automaton, formula: CompiledFormula, runs: Runs, deadline: Deadline = _ENDLESS
) -> FindCounterexample | None:
    """Return None if the formula is kept, else a function that finds a short run which violates it.

    For `Runs.FAIR` the behaviour must already be the product with the fairness automaton. Of a behaviour with ends
    (see `ending.py`) the runs that never end are judged. Raises Unanswered at the deadline, and for products that are
    too large; so does the function.
    """
    if runs is not Runs.FAIR and formula.is_safety:
        return find_bad_prefix(behaviour, formula, deadline)
    return find_endless_violation(behaviour, formula, runs, deadline)


def find_endless_violation(
    behaviour: Automaton, formula: CompiledFormula, runs: Runs, deadline: Deadline = _ENDLESS
) -> FindCounterexample | None:
    """Return None if every infinite run that counts keeps the formula, else a function that finds one that does not."""
    if runs is Runs.CHAIN:
        return _rejecting_bottom(behaviour, formula, deadline)
    if intersects(behaviour, formula.complement, deadline):
        return lambda: _accepted(product(behaviour, formula.complement, deadline), deadline)
    return None


def find_bad_prefix(
    behaviour: Automaton, formula: CompiledFormula, deadline: Deadline = _ENDLESS
) -> FindCounterexample | None:
    """Return None if nothing that the behaviour does makes the formula impossible, else a function that finds it."""
    both = product(behaviour, formula.automaton, deadline)
    pairs = both.get_product_states()
    if not any(monitor in formula.bad for _, monitor in pairs):
        return None

    def find() -> Counterexample:
        bad = frozenset(state for state, (_, monitor) in enumerate(pairs) if monitor in formula.bad)
        return Explorer(both, deadline).path(bad)

    return find


def _rejecting_bottom(behaviour: Automaton, formula: CompiledFormula, deadline: Deadline) -> FindCounterexample | None:
    both = product(behaviour, formula.automaton, deadline)
    components = spot.scc_info(both)
    acceptance = both.acc()
    for component in range(components.scc_count()):
        if components.succ(component):
            continue
        # Of a single state that nothing follows: the run has ended.
        if components.is_trivial(component):
            continue
        if not acceptance.accepting(components.acc_sets_of(component)):
            return lambda: _lasso(both, components, component, deadline, accepts=False)
    return None


def _accepted(graph: Automaton, deadline: Deadline) -> Counterexample:
    """Return an accepting run of a graph that has one, a short one if some component accepts with all its marks."""
    components = spot.scc_info(graph)
    for component in range(components.scc_count()):
        is_loop = not components.is_trivial(component)
        if is_loop and graph.acc().accepting(components.acc_sets_of(component)):
            return _lasso(graph, components, component, deadline, accepts=True)
    run = graph.accepting_run()
    return Counterexample(*(tuple(owned(step.label) for step in part) for part in (run.prefix, run.cycle)))


def _lasso(graph: Automaton, components: Any, component: int, deadline: Deadline, *, accepts: bool) -> Counterexample:
    """Return a run into a component and a cycle of it that carries the reason why it accepts, or else rejects.

    Almost every run that enters a bottom component takes all its marks again and again. Where what would have to recur
    is missing none of them is needed, and any cycle does.
    """
    marks = components.acc_sets_of(component).sets()
    reason = least_reason(graph.acc().get_acceptance(), list(marks), accepts=accepts)
    return Explorer(graph, deadline).lasso(frozenset(components.states_of(component)), reason)
