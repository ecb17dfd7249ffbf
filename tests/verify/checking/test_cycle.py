"""Short cycles against all closed walks of small random graphs."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.logic import Automaton, buddy, new_automaton, spot
from verilora.specs.processes.deadline import Deadline
from verilora.verify.checking import cycle
from verilora.verify.checking.cycle import CycleSearch

NUM_MARKS = 3
Edges = list[tuple[int, int, frozenset[int]]]
marks = st.frozensets(st.integers(0, NUM_MARKS - 1), max_size=2)


@st.composite
def components(draw: st.DrawFn) -> Edges:
    """Up to four states that reach each other, in a ring and by other edges, with marks."""
    num_states = draw(st.integers(1, 4))
    state = st.integers(0, num_states - 1)
    others = draw(st.lists(st.tuples(state, state, marks), max_size=4))
    return [(one, (one + 1) % num_states, draw(marks)) for one in range(num_states)] + others


def graph_of(edges: Edges) -> Automaton:
    """Return the component, and a way out of it and back that is no part of it."""
    graph = new_automaton(())
    graph.set_acceptance(NUM_MARKS, spot.acc_code("t"))
    graph.new_states(5)
    for source, target, borne in [*edges, (0, 4, frozenset(range(NUM_MARKS))), (4, 0, frozenset())]:
        graph.new_edge(source, target, buddy.bddtrue, spot.mark_t(sorted(borne)))
    return graph


def found_in(edges: Edges, reason: list[int]) -> Edges:
    """Return the edges of the cycle that is found; it is one and bears the reason."""
    search = CycleSearch(graph_of(edges), range(4), reason, Deadline())
    found = [
        [edge for edge in edges if edge[0] == step.state][step.edge]
        for step in search.shortest(sorted({*range(4)} & {edge[0] for edge in edges}))
    ]
    assert is_cycle(found)
    assert {*reason} <= borne_by(found)
    return found


def is_cycle(walk: Edges) -> bool:
    return all(edge[1] == following[0] for edge, following in zip(walk, [*walk[1:], walk[0]], strict=True))


def borne_by(walk: Edges) -> frozenset[int]:
    return frozenset().union(*(edge[2] for edge in walk))


def shortest_by_force(edges: Edges, reason: list[int], below: int) -> int | None:
    for length in range(1, below):
        for walk in product(edges, repeat=length):
            if {*reason} <= borne_by([*walk]) and is_cycle([*walk]):
                return length
    return None


@settings(max_examples=150, deadline=None)
@given(components(), marks)
def test_no_shorter_cycle_carries_the_reason(edges: Edges, wanted: frozenset[int]) -> None:
    reason = sorted(wanted & borne_by(edges))
    # By force only up to four steps.
    assert shortest_by_force(edges, reason, min(len(found_in(edges, reason)), 5)) is None


@settings(max_examples=100)
@given(components(), marks)
def test_a_search_that_is_cut_short_finds_a_cycle_all_the_same(edges: Edges, wanted: frozenset[int]) -> None:
    reason = sorted(wanted & borne_by(edges))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cycle, "MAX_VISITS", -1)
        found = found_in(edges, reason)
    assert len(found) >= len(found_in(edges, reason))
