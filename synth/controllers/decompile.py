"""Controller → steps that build a controller with the same behaviour.

Each state becomes a block: jumps to one arm per different reaction, or a single `if` where two reactions lead to the
same place. A machine can need more steps than the grammar allows a response.
"""

from ...specs.logic import buddy
from .condition import condition_of
from .controller import Controller, Edge
from .steps import Act, GoTo, If, Program, Stay, Step


def to_steps(controller: Controller) -> Program:
    """Return steps whose controller is equivalent, whatever the ending and the meaning of an omitted `otherwise`."""
    order = _reachable(controller)
    steps: list[Step] = []
    start: dict[int, int] = {}
    for position, state in enumerate(order):
        start[state] = len(steps) + 1
        following = order[position + 1] if position + 1 < len(order) else None
        steps.extend(_block(controller, state, following, len(steps) + 1))
    return tuple(_resolved(step, start) for step in steps)


def _reachable(controller: Controller) -> list[int]:
    order = [0]
    for state in order:
        order.extend(dict.fromkeys(edge.target for edge in controller.states[state] if edge.target not in order))
    return order


def _merged(edges: tuple[Edge, ...]) -> list[Edge]:
    """Return the edges with those of one action and one target joined, the widest guard last."""
    joined: dict[tuple[str, int], Edge] = {}
    for edge in edges:
        key = (edge.action, edge.target)
        joined[key] = Edge(joined[key].guard | edge.guard if key in joined else edge.guard, *key)
    return sorted(joined.values(), key=lambda edge: buddy.bdd_satcount(edge.guard))


def _block(controller: Controller, state: int, following: int | None, first_step: int) -> list[Step]:
    """Return a state's steps. Until all blocks are placed a jump to state q is written as a jump to step -q - 1."""
    edges = _merged(controller.states[state])
    stays = [edge for edge in edges if edge.target == state and edge.action == controller.vocabulary.idle]
    moves = [edge for edge in edges if edge not in stays]
    if len(moves) == 1 and stays:
        return [_if(moves[0], Act(moves[0].action), Stay()), *_goto(moves[0].target, following)]
    if len(edges) == 2 and edges[0].target == edges[1].target:
        return [_if(edges[0], Act(edges[0].action), Act(edges[1].action)), *_goto(edges[0].target, following)]
    arms: list[Step] = []
    jumps: list[Step] = []
    # The jumps are followed by the last edge's arm, then by the other arms, two steps each.
    first_arm = first_step + len(edges) - 1
    for edge in edges:
        if edge is not edges[-1]:
            arm = first_arm + 2 * (len(jumps) + 1)
            jumps.append(_if(edge, GoTo(arm), GoTo(first_step + len(jumps) + 1)))
            arms += [Act(edge.action), GoTo(-edge.target - 1)]
    last: list[Step] = [Act(edges[-1].action), GoTo(-edges[-1].target - 1)]
    return [*jumps, *last, *arms] if arms else [last[0], *_goto(edges[-1].target, following)]


def _if(edge: Edge, then: Act | GoTo, otherwise: Act | GoTo | Stay) -> If:
    condition = condition_of(edge.guard)
    assert condition is not None, "an edge beside others cannot cover all letters"
    return If(condition, then, otherwise)


def _goto(target: int, following: int | None) -> list[Step]:
    return [] if target == following else [GoTo(-target - 1)]


def _resolved(step: Step, start: dict[int, int]) -> Step:
    return GoTo(start[-step.step - 1]) if isinstance(step, GoTo) and step.step < 0 else step
