"""End components: where a controller can stay for ever, whatever is drawn, and come back to everything.

Maximal ones are found as de Alfaro has it (Formal verification of probabilistic systems, 1997, section 3.3); whether an
accepting one lies inside, with a condition of Emerson and Lei, as Baier, Blahoudek, Duret-Lutz, Klein, Müller and
Strejček have it for emptiness (Generic emptiness check for fun and profit, ATVA 2019): a mark that may not recur is
taken out, or left in with what asks that it may not recur taken as lost.
"""

from collections.abc import Collection
from dataclasses import dataclass

from ...specs.logic import buddy
from .acceptance import Acceptance
from .components import components
from .decision_process import DecisionProcess, Graph


@dataclass(frozen=True, slots=True)
class Winning:
    """An end component and the marks to bear again and again so that almost every run is accepted."""

    graph: Graph
    reason: tuple[int, ...]


def closed(graph: Graph, process: DecisionProcess, exempt: Collection[int] = ()) -> Graph:
    """Return the largest part of a graph that need not be left, whatever is drawn; nothing is drawn where exempt."""
    while True:
        inside = {
            state: tuple(choice for choice in choices if choice.target in graph) for state, choices in graph.items()
        }
        covered = {
            state: choices
            for state, choices in inside.items()
            if state in exempt or _is_covered(process, state, inside)
        }
        if len(covered) == len(graph):
            return covered
        graph = covered


def maximal_end_components(graph: Graph, process: DecisionProcess) -> list[Graph]:
    """Return the maximal end components inside a graph, each with all of its choices that stay."""
    found = []
    left = [closed(graph, process)]
    while left:
        part = left.pop()
        pieces = components({state: [choice.target for choice in part[state]] for state in part})
        if len(pieces) == 1:
            found.append(part)
            continue
        inner = (closed({state: part[state] for state in piece}, process) for piece in pieces)
        left += [piece for piece in inner if piece]
    return found


def winning_component(graph: Graph, process: DecisionProcess) -> Winning | None:
    """Return an end component inside a maximal one in which almost every run can be accepted, None if there is none."""
    found = _accepting(graph, process, process.acceptance)
    return Winning(found, process.acceptance.reason(_marks(found))) if found else None


def _accepting(graph: Graph, process: DecisionProcess, acceptance: Acceptance) -> Graph | None:
    marks = _marks(graph)
    left = acceptance.narrowed(marks)
    if left is None or left.accepts(marks):
        return graph if left else None
    mark = left.hindering(marks)
    if mark is None:
        return None
    without = {
        state: tuple(choice for choice in choices if not choice.marks >> mark & 1) for state, choices in graph.items()
    }
    for part in maximal_end_components(without, process):
        if found := _accepting(part, process, left):
            return found
    return _accepting(graph, process, left.where_recurring(mark))


def _marks(graph: Graph) -> int:
    marks = 0
    for choices in graph.values():
        for choice in choices:
            marks |= choice.marks
    return marks


def _is_covered(process: DecisionProcess, state: int, graph: Graph) -> bool:
    """Return whether a state has a choice on every letter that can be drawn."""
    letters = buddy.bddfalse
    for choice in graph[state]:
        letters = letters | choice.letters
    return bool(buddy.bdd_implies(process.drawn[state], letters))
