"""Reaching targets with probability 1, and the distances that tell a controller how.

Where every state that need not be left can still reach a target, choosing what leads nearer reaches one almost surely:
again and again the letters that allow it are drawn (Baier and Katoen, Principles of Model Checking, section 10.6.1).
"""

from collections import deque
from collections.abc import Collection, Iterable

from .decision_process import DecisionProcess, Graph
from .end_components import closed


def almost_sure_region(
    process: DecisionProcess, targets: Collection[int], ends: Collection[int] = ()
) -> tuple[Graph, dict[int, int]]:
    """Return the part of a process from which targets are reached almost surely, and how far each state is from one.

    Nothing is drawn in the targets that are `ends`.
    """
    region = closed(process.graph, process, ends)
    while True:
        distances = distances_to(region, (target for target in targets if target in region))
        if len(distances) == len(region):
            return region, distances
        region = closed({state: region[state] for state in distances}, process, ends)


def distances_to(graph: Graph, targets: Iterable[int]) -> dict[int, int]:
    """Return for each state from which a target can be reached how many choices that takes at least."""
    before: dict[int, list[int]] = {}
    for state, choices in graph.items():
        for choice in choices:
            before.setdefault(choice.target, []).append(state)
    distances = dict.fromkeys(targets, 0)
    queue = deque(distances)
    while queue:
        state = queue.popleft()
        for source in before.get(state, ()):
            if source not in distances:
                distances[source] = distances[state] + 1
                queue.append(source)
    return distances
