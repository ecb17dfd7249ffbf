"""Shortest runs of a graph: a path to a state, and a path with a cycle that carries the marks of a reason."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ...specs.logic import Automaton, Bdd, owned
from ...specs.processes.deadline import Deadline
from .cycle import CycleSearch, Step


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Sets of letters, one an instant; any choice from them violates. `cycle` repeats, and is empty for a prefix."""

    prefix: tuple[Bdd, ...]
    cycle: tuple[Bdd, ...] = ()


class Explorer:
    """Finds shortest runs from a graph's initial state; raises Unanswered at the deadline."""

    def __init__(self, graph: Automaton, deadline: Deadline) -> None:
        self._graph = graph
        self._deadline = deadline
        self._start = graph.get_init_state_number()
        self._reached_by: dict[int, Step | None] = {}

    def path(self, targets: Container[int]) -> Counterexample:
        """Return a shortest path to any of the targets, one of which must be reachable."""
        first = next(state for state in self._by_distance() if state in targets)
        return Counterexample(self._labels(self._path_to(first)))

    def lasso(self, component: Container[int], reason: Sequence[int]) -> Counterexample:
        """Return a path and a cycle in a component that bears all marks of a reason; all states there reach each other.

        The cycle is the shortest that a bounded search finds, of several the one closest to the initial state.
        """
        search = CycleSearch(self._graph, component, reason, self._deadline)
        cycle = search.shortest([state for state in self._by_distance() if state in component])
        return Counterexample(self._labels(self._path_to(cycle[0].state)), self._labels(cycle))

    def _by_distance(self) -> Iterator[int]:
        """Yield the reachable states, the closest first, and note the step by which each is reached."""
        self._reached_by = {self._start: None}
        queue = [self._start]
        for state in queue:
            yield state
            self._deadline.check()
            for number, edge in enumerate(self._graph.out(state)):
                target = edge.dst
                if target not in self._reached_by:
                    self._reached_by[target] = Step(state, number)
                    queue.append(target)

    def _path_to(self, state: int) -> list[Step]:
        path = []
        while (step := self._reached_by[state]) is not None:
            path.append(step)
            state = step.state
        return path[::-1]

    def _labels(self, path: Sequence[Step]) -> tuple[Bdd, ...]:
        # Only now: reading a label takes longer than reading where an edge leads.
        edges = (next(islice(self._graph.out(step.state), step.edge, None)) for step in path)
        return tuple(owned(edge.cond) for edge in edges)
