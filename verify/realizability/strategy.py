"""Strategies of a decision process as machines.

Outside of the winning components a machine chooses what leads nearer to one. Inside it bears the marks of the reason in
turn: its memory is which of them comes next.
"""

from collections.abc import Sequence
from typing import Any

from ...specs.logic import Automaton, Bdd, buddy, cube, new_automaton, one_of, spot
from ...specs.vocabulary import Vocabulary
from .almost_sure import distances_to
from .decision_process import Choice, DecisionProcess, Graph
from .end_components import Winning

# Spot's level of bisimulation that also merges states which differ only in choices left open.
SIMPLIFY = 2
_Node = tuple[int, int]


class Strategy:
    """Chooses in the region from which one of the winning components is reached almost surely."""

    def __init__(
        self, process: DecisionProcess, region: Graph, distances: dict[int, int], winning: Sequence[Winning]
    ) -> None:
        self._process = process
        self._region = region
        self._distances = distances
        self._home = {state: component for component in winning for state in component.graph}
        self._ways = {
            (id(component), mark): distances_to(component.graph, _bearing(component.graph, mark))
            for component in winning
            for mark in component.reason
        }

    def machine(self, vocabulary: Vocabulary) -> Automaton:
        """Return the machine as a Spot automaton whose edges may leave a choice of actions."""
        machine = new_automaton((*vocabulary.proposition_ids, *vocabulary.action_ids))
        actions = one_of(vocabulary.action_ids)
        nodes = [(0, 0)]
        number = {nodes[0]: machine.new_state()}
        for node in nodes:
            open_letters = self._process.drawn[node[0]]
            for choice, target in self._preferred(node):
                letters = choice.letters & open_letters
                if letters == buddy.bddfalse:
                    continue
                open_letters = open_letters & -letters
                if target not in number:
                    number[target] = machine.new_state()
                    nodes.append(target)
                machine.new_edge(number[node], number[target], choice.guard & letters)
            # What the world never shows is answered anyhow.
            _complete(machine, number[node], -self._process.drawn[node[0]], actions)
        spot.set_synthesis_outputs(machine, cube(vocabulary.action_ids))
        spot.simplify_mealy_here(machine, SIMPLIFY, False)
        return machine

    def _preferred(self, node: _Node) -> list[tuple[Choice, _Node]]:
        """Return the choices in a state of process and memory with what they lead to, the best ones first."""
        state, turn = node
        home = self._home.get(state)
        if home is None:
            nearest = sorted(self._region[state], key=lambda choice: self._distances[choice.target])
            return [(choice, (choice.target, 0)) for choice in nearest]
        if not home.reason:
            return [(choice, (choice.target, 0)) for choice in home.graph[state]]
        mark = home.reason[turn]
        way = self._ways[id(home), mark]
        ranked = [((0 if _bears(choice, mark) else 1 + way[choice.target]), choice) for choice in home.graph[state]]
        following = (turn + 1) % len(home.reason)
        return [
            (choice, (choice.target, following if _bears(choice, mark) else turn))
            for _, choice in sorted(ranked, key=lambda pair: pair[0])
        ]


def _complete(machine: Any, state: int, letters: Bdd, actions: Bdd) -> None:
    if letters != buddy.bddfalse:
        machine.new_edge(state, state, letters & actions)


def _bearing(graph: Graph, mark: int) -> list[int]:
    """Return the states with a choice that bears a mark."""
    return [state for state, choices in graph.items() if any(_bears(choice, mark) for choice in choices)]


def _bears(choice: Choice, mark: int) -> bool:
    return bool(choice.marks >> mark & 1)
