"""Strongly connected components, against what nodes can reach."""

from hypothesis import given
from hypothesis import strategies as st

from verilora.verify.realizability.components import components

graphs = st.integers(1, 8).flatmap(
    lambda num: st.tuples(*[st.lists(st.integers(0, num - 1), max_size=3)] * num).map(
        lambda rows: dict(enumerate(rows))
    )
)


def reached(graph: dict[int, list[int]], start: int) -> set[int]:
    found = {start}
    while further := {target for node in found for target in graph[node]} - found:
        found |= further
    return found


@given(graphs)
def test_nodes_are_together_if_they_reach_each_other(graph: dict[int, list[int]]) -> None:
    found = components(graph)
    assert sorted(node for component in found for node in component) == sorted(graph)
    reach = {node: reached(graph, node) for node in graph}
    for component in found:
        for node in component:
            assert {other for other in reach[node] if node in reach[other]} == {*component}


def test_a_long_path_needs_no_recursion() -> None:
    path = {node: [node + 1] for node in range(5000)} | {5000: [0]}
    assert [len(component) for component in components(path)] == [5001]
