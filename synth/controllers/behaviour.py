"""What a controller does, as a name: equivalent controllers have the same, different ones do not."""

import hashlib
import json

from ...specs.logic import DICTIONARY, Bdd, buddy, spot
from .controller import Controller


def behaviour_digest(controller: Controller) -> str:
    """Return SHA-256 over the smallest machine with a controller's behaviour, its states in breadth-first order.

    Two controllers over one vocabulary have the same digest if and only if they are equivalent.
    """
    classes = _classes(controller)
    machine: list[list[tuple[str, str, int]]] = []
    order = [classes[0]]
    member = {group: state for state, group in reversed(list(enumerate(classes)))}
    for group in order:
        rows = sorted(
            (spot.bdd_format_formula(DICTIONARY, guard), action, target)
            for (action, target), guard in _reactions(controller, member[group], classes).items()
        )
        order.extend(dict.fromkeys(target for _, _, target in rows if target not in order))
        machine.append([(guard, action, order.index(target)) for guard, action, target in rows])
    return hashlib.sha256(json.dumps(machine).encode()).hexdigest()


def never_moves(controller: Controller) -> bool:
    """Return whether a controller only ever gives the idle action, whatever happens."""
    return all(edge.action == controller.vocabulary.idle for edges in controller.states for edge in edges)


def _classes(controller: Controller) -> list[int]:
    """Return the class of each state under Moore's partition refinement; equivalent states share one.

    Classes are numbered by their first state in the order of the machine's states. The end of a run is in none with a
    state that goes on.
    """
    classes = [int(state == controller.end) for state in range(len(controller.states))]
    while True:
        # Kept alive while compared: the id of a freed diagram is given to another one.
        reactions = [_reactions(controller, state, classes) for state in range(len(classes))]
        signatures = [frozenset((*key, guard.id()) for key, guard in reaction.items()) for reaction in reactions]
        numbers: dict[tuple[int, object], int] = {}
        refined = [
            numbers.setdefault((group, sign), len(numbers)) for group, sign in zip(classes, signatures, strict=True)
        ]
        if len(numbers) == len(set(classes)):
            return refined
        classes = refined


def _reactions(controller: Controller, state: int, classes: list[int]) -> dict[tuple[str, int], Bdd]:
    """Return the guard of each (action, class of the target) of a state; none of the end of a run."""
    reactions: dict[tuple[str, int], Bdd] = {}
    if state == controller.end:
        return reactions
    for edge in controller.states[state]:
        key = (edge.action, classes[edge.target])
        reactions[key] = reactions.get(key, buddy.bddfalse) | edge.guard
    return reactions
