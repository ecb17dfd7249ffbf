"""Short cycles inside a component of a graph that carry the marks of a reason."""

from collections.abc import Container, Sequence
from typing import NamedTuple

from ...specs.logic import Automaton
from ...specs.processes.deadline import Deadline

# Edges that the search for a shorter cycle may look at: half a second of Python. What it has found then is taken.
MAX_VISITS = 1_000_000


class Step(NamedTuple):
    """One of the edges that leave a state, by its number there."""

    state: int
    edge: int


class _Inner(NamedTuple):
    """An edge inside a component; `marks` has bit k if it bears the k-th mark of the reason."""

    edge: int
    target: int
    marks: int


class CycleSearch:
    """Looks for a short cycle that bears all marks of a reason, in a component whose states reach each other."""

    def __init__(self, graph: Automaton, component: Container[int], reason: Sequence[int], deadline: Deadline) -> None:
        self._graph = graph
        self._component = component
        self._reason = reason
        self._all = (1 << len(reason)) - 1
        self._deadline = deadline
        self._edges: dict[int, list[_Inner]] = {}
        self._visits = 0

    def shortest(self, states: Sequence[int]) -> list[Step]:
        """Return a shortest cycle; of equally short ones that through the first of the states."""
        homes = self._homes(states)
        for home in homes:
            for inner in self._inner(home):
                if inner.target == home and inner.marks == self._all:
                    return [Step(home, inner.edge)]
        best: list[Step] | None = None
        for home in homes:
            if self._visits > MAX_VISITS or (best and len(best) == 2):
                break
            # With one step fewer than the best, or else it is no better.
            best = self._around(home, len(best) - 1 if best else None) or best
        return best or self._tour(homes[0])

    def _homes(self, states: Sequence[int]) -> Sequence[int]:
        """Return states of which every cycle that is looked for visits one: sources of the rarest mark, or all."""
        bearing = [
            [state for state in states if any(inner.marks >> bit & 1 for inner in self._inner(state))]
            for bit in range(len(self._reason))
        ]
        return min(bearing, key=len) if bearing else states

    def _around(self, home: int, limit: int | None) -> list[Step] | None:
        """Return a shortest cycle from a state back to it, None if none of at most so many steps is found in time."""
        start, goal = (home, 0), (home, self._all)
        reached_by: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {start: None}
        level, length = [start], 0
        while level and self._visits <= MAX_VISITS and (limit is None or length < limit):
            length += 1
            following = []
            for node in level:
                edges = self._inner(node[0])
                self._visits += len(edges)
                for inner in edges:
                    after = (inner.target, node[1] | inner.marks)
                    if after == goal:
                        path = [Step(node[0], inner.edge)]
                        while (came := reached_by[node]) is not None:
                            node = came[0]
                            path.append(Step(node[0], came[1]))
                        return path[::-1]
                    if after not in reached_by:
                        reached_by[after] = (node, inner.edge)
                        following.append(after)
            level = following
        return None

    def _tour(self, home: int) -> list[Step]:
        """Return a cycle that takes the nearest missing mark again and again: seldom the shortest, but always found."""
        tour: list[Step] = []
        state, missing = home, self._all
        while missing or state != home or not tour:
            path, last = self._nearest(state, missing, home)
            tour += path
            state, missing = last.target, missing & ~last.marks
        return tour

    def _nearest(self, start: int, missing: int, home: int) -> tuple[list[Step], _Inner]:
        """Return a shortest path whose last edge bears a missing mark, or leads home if none is, and that edge."""
        reached_by: dict[int, Step | None] = {start: None}
        queue = [start]
        for state in queue:
            for inner in self._inner(state):
                if inner.marks & missing if missing else inner.target == home:
                    path = [Step(state, inner.edge)]
                    while (step := reached_by[path[-1].state]) is not None:
                        path.append(step)
                    return path[::-1], inner
                if inner.target not in reached_by:
                    reached_by[inner.target] = Step(state, inner.edge)
                    queue.append(inner.target)
        raise AssertionError("all states of the component reach each other, and its edges bear the marks")

    def _inner(self, state: int) -> list[_Inner]:
        if state not in self._edges:
            self._deadline.check()
            self._edges[state] = [
                _Inner(number, edge.dst, sum(1 << bit for bit, mark in enumerate(self._reason) if edge.acc.has(mark)))
                for number, edge in enumerate(self._graph.out(state))
                if edge.dst in self._component
            ]
        return self._edges[state]
