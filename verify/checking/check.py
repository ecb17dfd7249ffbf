"""Does a behaviour keep a formula? On chains, on all runs, or on fair runs.

A behaviour is a graph of letters: a world, alone or in step with a controller. On a chain every letter of every edge
has positive probability, so a formula is kept when it holds almost surely: no bottom component of behaviour x
deterministic automaton may reject (Baier and Katoen, Principles of Model Checking, section 10.3). A safety formula is
judged on prefixes, which a dead end cannot hide.
"""

from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ...specs.logic import Automaton, Bdd, owned, spot
from .compiled import CompiledFormula


class Runs(StrEnum):
    """Which courses of events count: almost all of a Markov chain, all, or all that keep the world's LTL fairness."""

    CHAIN = "chain"
    ALL = "all"
    FAIR = "fair"


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Sets of letters, one an instant; any choice from them violates. `cycle` repeats, and is empty for a prefix."""

    prefix: tuple[Bdd, ...]
    cycle: tuple[Bdd, ...] = ()


FindCounterexample = Callable[[], Counterexample]


def find_violation(behaviour: Automaton, formula: CompiledFormula, runs: Runs) -> FindCounterexample | None:
    """Return None if the formula is kept, else a function that finds a run which violates it.

    For `Runs.FAIR` the behaviour must already be the product with the fairness automaton.
    """
    if runs is not Runs.FAIR and formula.is_safety:
        return _bad_prefix(behaviour, formula)
    if runs is Runs.CHAIN:
        return _rejecting_bottom(behaviour, formula)
    if behaviour.intersects(formula.complement):
        return lambda: _from_spot(behaviour.intersecting_run(formula.complement))
    return None


def _bad_prefix(behaviour: Automaton, formula: CompiledFormula) -> FindCounterexample | None:
    product = spot.product(behaviour, formula.automaton)
    pairs = product.get_product_states()
    bad = frozenset(state for state, (_, monitor) in enumerate(pairs) if monitor in formula.bad)
    if not bad:
        return None
    return lambda: Counterexample(_labels(_walk(_Steps(product), product.get_init_state_number(), bad)))


def _rejecting_bottom(behaviour: Automaton, formula: CompiledFormula) -> FindCounterexample | None:
    product = spot.product(behaviour, formula.automaton)
    components = spot.scc_info(product)
    acceptance = product.acc()
    for component in range(components.scc_count()):
        if components.succ(component):
            continue
        assert not components.is_trivial(component), "a behaviour without dead ends"
        if not acceptance.accepting(components.acc_sets_of(component)):
            states = frozenset(components.states_of(component))
            return lambda: _into_bottom(product, states)
    return None


def _into_bottom(product: Automaton, bottom: frozenset[int]) -> Counterexample:
    """Return a path into a bottom component and a cycle through every edge of it."""
    steps = _Steps(product)
    prefix = _walk(steps, product.get_init_state_number(), bottom)
    home = state = prefix[-1].target if prefix else product.get_init_state_number()
    # Loops last, from where they are taken first, which saves coming back for them.
    missing = {source: sorted(steps[source], key=lambda step: step.target == step.source) for source in bottom}
    cycle: list[_Step] = []
    while missing:
        cycle += _walk(steps, state, missing)
        state = cycle[-1].target if cycle else state
        cycle.append(missing[state].pop())
        if not missing[state]:
            del missing[state]
        state = cycle[-1].target
    cycle += _walk(steps, state, {home})
    return Counterexample(_labels(prefix), _labels(cycle))


class _Step(NamedTuple):
    """An edge in Python's hands: reading one from Spot again and again would take most of the time."""

    source: int
    target: int
    letters: Bdd


class _Steps(dict[int, list[_Step]]):
    """The edges that leave each state of a graph, read when they are first asked for."""

    def __init__(self, graph: Automaton) -> None:
        self._graph = graph

    def __missing__(self, state: int) -> list[_Step]:
        self[state] = [_Step(state, edge.dst, owned(edge.cond)) for edge in self._graph.out(state)]
        return self[state]


def _walk(steps: _Steps, start: int, targets: Container[int]) -> list[_Step]:
    """Return a shortest path from a state to any of the targets, which must be reachable."""
    reached_by: dict[int, _Step | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if state in targets:
            path = []
            while (step := reached_by[state]) is not None:
                path.append(step)
                state = step.source
            return path[::-1]
        for step in steps[state]:
            if step.target not in reached_by:
                reached_by[step.target] = step
                queue.append(step.target)
    raise AssertionError("no target can be reached")


def _labels(path: Iterable[_Step]) -> tuple[Bdd, ...]:
    return tuple(step.letters for step in path)


def _from_spot(run: Any) -> Counterexample:
    return Counterexample(*(tuple(owned(step.label) for step in part) for part in (run.prefix, run.cycle)))
