"""Controllers as HOA text (https://adl.github.io/hoaf), with the actions marked as controllable (`controllable-AP`)."""

import re

from ...specs.files.errors import expected_one_of
from ...specs.logic import Automaton, buddy, cube, exactly_one, spot
from ...specs.vocabulary import Vocabulary
from .controller import Controller, Edge
from .steps import InvalidController

# Finding a cycle through all edges of a machine takes time quadratic in its states.
MAX_STATES = 500
_QUOTED = re.compile(r'"(?:\\?[^"\\\0\ud800-\udfff]|\\["\\])*"?')


def to_hoa(controller: Controller) -> str:
    """Return a controller as HOA text."""
    automaton = controller.automaton()
    spot.set_synthesis_outputs(automaton, cube(controller.vocabulary.action_ids))
    # Spot writes names as they are.
    automaton.set_state_names([re.sub(r'(["\\])', r"\\\1", name) for name in controller.names])
    return str(automaton.to_str("hoa")) + "\n"


def from_hoa(text: str, vocabulary: Vocabulary) -> Controller:
    """Return the controller in HOA text; raises InvalidController unless it is deterministic and input-complete."""
    # Outside quotes Spot takes a null or non-ASCII character for the end of the text, and it allocates as many states
    # as the largest number announces.
    if unreadable := re.search(r"[^\x01-\x7f]|\d{6,}", _QUOTED.sub("", text)):
        raise InvalidController(f"not an HOA machine: unexpected {unreadable[0][:60]!r}")
    try:
        # The line break keeps Spot from taking the text for the name of a file or a command.
        automata = list(spot.automata(text + "\n"))
    except (SyntaxError, RuntimeError) as error:
        reason = str(error).strip().splitlines()
        raise InvalidController(f"not an HOA machine: {reason[0] if reason else 'empty'}") from None
    if len(automata) != 1:
        raise InvalidController(f"not an HOA machine: got {len(automata)} automata, expected one")
    if automata[0].num_states() > MAX_STATES:
        raise InvalidController(f"got {automata[0].num_states()} states, expected at most {MAX_STATES}")
    return from_automaton(automata[0], vocabulary)


def from_automaton(automaton: Automaton, vocabulary: Vocabulary) -> Controller:
    """Return the controller that a Spot automaton describes; raises InvalidController."""
    if not automaton.is_existential() or not automaton.acc().is_t():
        raise InvalidController("expected a machine that accepts all its runs ('Acceptance: 0 t') without alternation")
    declared = {ap.ap_name() for ap in automaton.ap()}
    for name in sorted(declared - {*vocabulary.proposition_ids, *vocabulary.action_ids}):
        known = (*vocabulary.proposition_ids, *vocabulary.action_ids)
        raise InvalidController(f"unknown proposition: {expected_one_of(name, known)}")
    for name in vocabulary.action_ids:
        if name not in declared:
            raise InvalidController(f"the action {name!r} is not declared: expected all of {vocabulary.action_ids}")
    # The guards outlive the automaton, so their variables must.
    cube(declared)
    given = automaton.get_state_names() or [""] * automaton.num_states()
    # The initial state comes first, the others keep their order.
    first = automaton.get_init_state_number()
    order = sorted(range(automaton.num_states()), key=lambda state: (state != first, state))
    number = {state: position for position, state in enumerate(order)}
    states = tuple(_edges(automaton, state, number, vocabulary) for state in order)
    return Controller(vocabulary, states, tuple(given[state] or f"state {state}" for state in order), len(states))


def _edges(automaton: Automaton, state: int, number: dict[int, int], vocabulary: Vocabulary) -> tuple[Edge, ...]:
    actions = cube(vocabulary.action_ids)
    outputs = {action: exactly_one(vocabulary.action_ids, action) for action in vocabulary.action_ids}
    edges = []
    for transition in automaton.out(state):
        rest = transition.cond
        for action, output in outputs.items():
            guard = buddy.bdd_exist(transition.cond & output, actions)
            if guard != buddy.bddfalse:
                edges.append(Edge(guard, action, number[transition.dst]))
                rest = rest & -output
        if rest != buddy.bddfalse:
            raise InvalidController(f"state {state}: an edge allows no action or several at once: expected exactly one")
    return tuple(edges)
